"""Models that are broken by accident or made by an attacker: refused, and nothing in them is ever run."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import skops.io
import torch
from sklearn.ensemble import IsolationForest as SklearnForest

from unalike import Detector, encoders, load, save, scorers
from unalike.errors import CannotLoad
from unalike.persistence import archive

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.UnalikeWarning")

NUMBERS = np.random.default_rng(1).normal(size=(40, 2))
Edit = Callable[[dict[str, Any], dict[str, bytes]], None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with a file of each kind: JSON, weights, arrays and a forest."""
    scorer = scorers.IsolationForest(n_trees=2)
    detector = Detector("table", encoder=encoders.MLP(hidden=(3,)), objective="frozen", scorer=scorer).fit(NUMBERS)
    return save(detector, tmp_path_factory.mktemp("models") / "model.unalike")


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Appears when a payload is run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "was-run"


class Payload:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch was-run",)


def changed(model: Path, target: Path, edit: Edit) -> Path:
    """A copy with other contents, hashed anew as an attacker would."""
    manifest, entries = archive.read(model)
    manifest = {name: value for name, value in manifest.items() if name not in ("entries", "sha256")}
    edit(manifest, entries)
    return archive.write(target, manifest, entries)


def test_damaged_files_are_refused_or_score_the_same(model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    expected = load(model).anomaly_scores(NUMBERS)
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.unalike"
    # The zip file's own structure is short; without a share of its own it would hardly be hit.
    header, listing = whole.find(b"PK\x03\x04", 1), whole.rfind(b"PK\x01\x02")
    places = [*rng.integers(0, len(whole), 150), *range(header, header + 50), *range(listing, len(whole))]
    refused = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            loaded = load(path)
        except CannotLoad:
            refused += 1
        else:
            np.testing.assert_array_equal(loaded.anomaly_scores(NUMBERS), expected)
    assert 150 <= refused < len(places)


def test_truncated_files_are_refused(model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    path = tmp_path / "truncated.unalike"
    for length in [*np.linspace(0, len(whole) - 1, 60).astype(int), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:length])
        with pytest.raises(CannotLoad, match=r"truncated.unalike' (must be a saved model|holds no unalike model)"):
            load(path)


def test_damaged_folders_are_refused(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = changed(model, tmp_path / "folder", lambda manifest, entries: None)
    for file in [place for place in folder.rglob("*") if place.is_file()]:
        whole = file.read_bytes()
        # Not the white space of JSON, where a blank for a line feed is no damage.
        solid = [
            place for place in range(len(whole)) if file.suffix != ".json" or not whole[place : place + 1].isspace()
        ]
        for place in rng.choice(solid, 25):
            damaged = bytearray(whole)
            damaged[place] ^= int(rng.integers(1, 256))
            file.write_bytes(damaged)
            with pytest.raises(CannotLoad, match=r"folder' (must be a saved model|holds no|was written in format)"):
                load(folder)
        for length in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:length])
            with pytest.raises(CannotLoad):
                load(folder)
        file.write_bytes(whole)
    load(folder)


def test_a_pickle_beside_the_entries_is_refused_and_not_run(model: Path, tmp_path: Path, marker: Path) -> None:
    for name in ("data.pkl", "weights.safetensors", "__main__.py"):
        path = tmp_path / "model.unalike"
        with zipfile.ZipFile(model) as old, zipfile.ZipFile(path, "w") as new:
            for entry in old.namelist():
                new.writestr(entry, old.read(entry) if entry != name else pickle.dumps(Payload()))
            if name not in old.namelist():
                new.writestr(name, pickle.dumps(Payload()))
        with pytest.raises(CannotLoad, match=name):
            load(path)
    assert not marker.exists()


def torch_pickle() -> bytes:
    stream = io.BytesIO()
    torch.save(Payload(), stream)
    return stream.getvalue()


def numpy_pickle() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Payload()], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("entry", ["weights.safetensors", "arrays.safetensors", "skops/0.skops"])
@pytest.mark.parametrize("payload", [lambda: pickle.dumps(Payload()), torch_pickle, numpy_pickle, bytes])
def test_pickles_in_the_place_of_entries_are_not_run(
    model: Path, tmp_path: Path, marker: Path, entry: str, payload: Callable[[], bytes]
) -> None:
    path = changed(model, tmp_path / "evil.unalike", lambda _, entries: entries.update({entry: payload()}))
    with pytest.raises(CannotLoad):
        load(path)
    assert not marker.exists()


class Trap:
    """Acts when skops restores it."""

    def __getstate__(self) -> dict[str, Any]:
        return {"command": 1}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path("was-run").touch()


def forest_with(attribute: Any) -> bytes:
    forest = SklearnForest(n_estimators=2, random_state=0).fit(NUMBERS)
    forest.verbose = attribute
    return skops.io.dumps(forest)


def forest_of_pickles() -> bytes:
    """A sound archive in which an array of numbers was exchanged for one of pickled objects."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(forest_with(0))) as sound, zipfile.ZipFile(stream, "w") as file:
        for name in sound.namelist():
            file.writestr(name, sound.read(name) if not name.endswith(".npy") else numpy_pickle())
    return stream.getvalue()


SKOPS = {
    "a trap": lambda: skops.io.dumps(Trap()),
    "a trap in a forest": lambda: forest_with(Trap()),
    "a trap deep in a forest": lambda: forest_with([{"a": (Trap(),)}]),
    "a function in a forest": lambda: forest_with(os.system),
    "a partial in a forest": lambda: forest_with(functools.partial(os.system, "touch was-run")),
    "a forest of pickles": forest_of_pickles,
    "no forest": lambda: skops.io.dumps({"no": "forest"}),
}


def test_the_traps_would_act(marker: Path) -> None:
    """Otherwise the tests below could pass with traps that are none."""
    payload = forest_with(Trap())
    skops.io.loads(payload, trusted=skops.io.get_untrusted_types(data=payload))
    assert marker.exists()
    marker.unlink()
    pickle.loads(pickle.dumps(Payload()))
    assert marker.exists()


@pytest.mark.parametrize("payload", SKOPS.values(), ids=SKOPS)
def test_forests_that_are_none_are_not_run(
    model: Path, tmp_path: Path, marker: Path, payload: Callable[[], bytes]
) -> None:
    path = changed(model, tmp_path / "evil.unalike", lambda _, entries: entries.update({"skops/0.skops": payload()}))
    with pytest.raises(CannotLoad):
        load(path)
    assert not marker.exists()


def set_scorer(packed: Any) -> Edit:
    def edit(manifest: dict[str, Any], entries: dict[str, bytes]) -> None:
        manifest["branches"][0]["trained"]["scorer"]["settings"] = packed

    return edit


def set_detector(name: str, packed: Any) -> Edit:
    return lambda manifest, _: manifest["detector"].update({name: packed})


def set_learned(name: str, packed: Any) -> Edit:
    return lambda manifest, _: manifest["learned"].update({name: packed})


EVIL: dict[str, Edit] = {
    "class by path": set_scorer({"$type": "os:system", "fields": {"command": "touch was-run"}}),
    "class by name": set_scorer({"$type": "subprocess.Popen", "fields": {"args": ["touch", "was-run"]}}),
    "class of ours that is no setting": set_scorer({"$type": "scorers.Outlier", "fields": {"detector": None}}),
    "adapter around a name": set_detector("views", {"$type": "views.PerSample", "fields": {"function": "os.system"}}),
    "unknown field": set_scorer({"$type": "scorers.KNN", "fields": {"command": "touch was-run"}}),
    "invalid field": set_scorer({"$type": "scorers.KNN", "fields": {"k": -1}}),
    "another scorer": set_scorer({"$type": "scorers.Centroid", "fields": {}}),
    "no scorer": set_scorer({"$type": "Training", "fields": {}}),
    "plain text": set_scorer("os.system"),
    "a user's": set_scorer({"$user": "os:system"}),
    "unknown kind of value": set_scorer({"$pickle": "gASVIg=="}),
    "encoder by path": lambda manifest, _: manifest["branches"][0]["settings"]["fields"].update(
        encoder={"$user": "os:system"}
    ),
    "unknown keyword": set_detector("command", "touch was-run"),
    "method": set_learned("anomaly_scores", None),
    "class attribute": set_learned("__class__", {"$user": "os:system"}),
    "property": set_learned("offset_", 1.0),
    "too deep": set_learned("deep_", json.loads("[" * 900 + "]" * 900)),
    "no branches": lambda manifest, _: manifest.update(branches=[]),
    "branches of another type": lambda manifest, _: manifest.update(branches=7),
    "precision": lambda manifest, _: manifest["branches"][0]["trained"].update(precision="load"),
    "missing part": lambda manifest, _: manifest.pop("fusion"),
    "missing array": lambda _, entries: entries.update({"arrays.safetensors": safetensors.numpy.save({})}),
    "missing weights": lambda _, entries: entries.update({"weights.safetensors": safetensors.numpy.save({})}),
    "missing entry": lambda _, entries: entries.pop("weights.safetensors") and None,
}


@pytest.mark.parametrize("edit", EVIL.values(), ids=EVIL)
def test_settings_that_do_not_fit_are_refused_and_not_run(
    model: Path, tmp_path: Path, marker: Path, edit: Edit
) -> None:
    path = changed(model, tmp_path / "evil.unalike", edit)
    with pytest.raises(CannotLoad):
        load(path)
    assert not marker.exists()


def test_what_was_changed_is_read_to_begin_with(model: Path, tmp_path: Path) -> None:
    """Otherwise the tests above could pass because `changed` breaks every model."""
    load(changed(model, tmp_path / "same.unalike", lambda manifest, entries: None))
