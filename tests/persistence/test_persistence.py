"""Save and load from end to end. How files can be broken: test_persistence_hostile.py."""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import safetensors.torch
import torch
from sklearn.base import clone
from torch import Tensor, nn

from unalike import Branch, Detector, Training, encoders, load, modalities, objectives, save, scorers, thresholds, views
from unalike.errors import CannotLoad, InvalidInput, InvalidParameter, NotCalibrated, NotFitted
from unalike.persistence import Unavailable, archive, inspect
from unalike.seeding import RowGenerator

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.UnalikeWarning")

QUICK = Training(steps=2, batch_size=32)
NUMBERS = np.random.default_rng(1).normal(size=(60, 3))
Array = npt.NDArray[np.float64]


def mixed_table(n: int = 90) -> pd.DataFrame:
    """Numbers, categories, booleans, missing cells, and an index of its own."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "length": rng.normal(5.0, 2.0, n),
            "price": rng.exponential(size=n),
            "kind": rng.choice(["nut", "bolt", "schräube"], n),
            "new": rng.random(n) < 0.3,
        },
        index=[f"row {number}" for number in range(n)],
    )
    frame.loc[rng.random(n) < 0.1, "length"] = np.nan
    frame.loc[rng.random(n) < 0.1, "kind"] = None
    return frame


def images(n: int = 50) -> Array:
    return np.random.default_rng(2).random((n, 9, 8))


def assert_same(loaded: Detector, original: Detector, X: Any) -> None:
    """All that a detector says, to the last bit."""
    ours, theirs = loaded.detect(X), original.detect(X)
    for name, column in theirs.to_dict().items():
        np.testing.assert_array_equal(ours.to_dict()[name], column, err_msg=name)
    assert (ours.threshold, ours.false_alarm_rate) == (theirs.threshold, theirs.false_alarm_rate)
    np.testing.assert_array_equal(loaded.anomaly_scores(X), original.anomaly_scores(X))
    expected = original.branch_scores(X)
    found = loaded.branch_scores(X)
    assert list(found) == list(expected)
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[name], scores, err_msg=name)
    for branch in original.branches_:
        embeddings = original.embed(X, branch=branch.settings.name)
        again = loaded.embed(X, branch=branch.settings.name)
        np.testing.assert_array_equal(again, embeddings)
        assert again.dtype == embeddings.dtype


@pytest.fixture(scope="module")
def table() -> Detector:
    return Detector("table", training=QUICK).fit(mixed_table())


@pytest.fixture(scope="module")
def small() -> Detector:
    """No training, one branch: quick to save and to load."""
    return Detector("table", encoder="raw-table", objective="frozen").fit(NUMBERS)


@pytest.fixture(params=["model.unalike", "model"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_tables_score_bit_equal(table: Detector, path: Path) -> None:
    assert save(table, path) == path
    loaded = load(path)
    new = mixed_table(40).assign(kind="never seen")
    new.loc[new.index[:5], "price"] = np.nan
    for X in (mixed_table(), new, new[::-1], new[:1]):
        assert_same(loaded, table, X)
    with pytest.raises(InvalidInput, match="price"):
        loaded.detect(new.drop(columns="price"))


def test_images_score_bit_equal(path: Path) -> None:
    detector = Detector("image", training=QUICK, device="cpu").fit(images())
    save(detector, str(path))
    assert_same(load(str(path)), detector, images(30))


PARTS: dict[str, dict[str, Any]] = {
    "knn": {"scorer": scorers.KNN(k=3, distance="mean")},
    "knn-cosine": {"scorer": scorers.KNN(metric="cosine")},
    "centroid": {"scorer": scorers.Centroid()},
    "centroid-cosine": {"scorer": scorers.Centroid(metric="cosine")},
    "forest": {"scorer": scorers.IsolationForest(n_trees=5)},
    "conformal": {"threshold": thresholds.Conformal(false_alarm_rate=0.2)},
    "quantile": {"threshold": "quantile"},
    "fixed": {"threshold": thresholds.Fixed(1.25)},
    "mlp": {"encoder": encoders.MLP(hidden=(8,), width=4)},
    "held-out reference": {"reference_fraction": 0.2, "switch_off": ["contrast-again"]},
    "trained": {"encoder": encoders.TableMLP(hidden=(8,)), "objective": objectives.SimCLR(), "training": QUICK},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_every_scorer_threshold_and_setting_comes_back(parts: dict[str, Any], tmp_path: Path) -> None:
    quick = {"training": QUICK} if "objective" in parts or len(parts) > 1 else {"objective": "frozen"}
    detector = Detector("table", **{"encoder": None, **quick, **parts}).fit(NUMBERS)
    loaded = load(save(detector, tmp_path / "model.unalike"))
    assert_same(loaded, detector, NUMBERS)
    assert loaded.get_params() == detector.get_params()
    np.testing.assert_array_equal(loaded.predict(NUMBERS), detector.predict(NUMBERS))


def test_all_that_was_learned_comes_back(table: Detector, tmp_path: Path) -> None:
    loaded = load(save(table, tmp_path / "model.unalike"))
    assert vars(loaded).keys() == vars(table).keys()
    assert loaded.history_.keys() == table.history_.keys()
    for name, rows in table.history_.items():
        pd.testing.assert_frame_equal(pd.DataFrame(loaded.history_[name]), pd.DataFrame(rows))
    for side in ("train", "reference", "calibration"):
        np.testing.assert_array_equal(getattr(loaded.split_, side), getattr(table.split_, side))
    assert [branch.settings for branch in loaded.branches_] == [branch.settings for branch in table.branches_]
    assert loaded.modality_ == table.modality_
    assert loaded.modality_.schema == table.modality_.schema
    for branch in loaded.branches_:
        assert not branch.judge.encoder.training
        assert not any(parameter.requires_grad for parameter in branch.judge.encoder.parameters())


def test_a_loaded_detector_fits_clones_and_calibrates_like_the_original(table: Detector, tmp_path: Path) -> None:
    loaded = load(save(table, tmp_path / "model.unalike"))
    assert clone(loaded).get_params() == table.get_params()
    frame = mixed_table()
    expected = clone(table).fit(frame[:60]).anomaly_scores(frame)
    np.testing.assert_array_equal(clone(loaded).fit(frame[:60]).anomaly_scores(frame), expected)
    np.testing.assert_array_equal(loaded.fit(frame[:60]).anomaly_scores(frame), expected)


def test_calibration_before_and_after_loading_agree(small: Detector, tmp_path: Path) -> None:
    other = thresholds.Quantile(false_alarm_rate=0.3)
    loaded = load(save(small, tmp_path / "model.unalike"))
    assert (
        loaded.calibrate(threshold=other).threshold_.threshold_
        == clone(small).fit(NUMBERS).calibrate(threshold=other).threshold_.threshold_
    )
    again = load(save(loaded, tmp_path / "other.unalike"))
    assert again.threshold_ == other
    assert again.threshold == "conformal"
    assert_same(again, loaded, NUMBERS)


def test_a_detector_without_calibration_comes_back_without(tmp_path: Path) -> None:
    detector = Detector("table", encoder="raw-table", objective="frozen", calibration_fraction=0.0).fit(NUMBERS)
    loaded = load(save(detector, tmp_path / "model.unalike"))
    np.testing.assert_array_equal(loaded.anomaly_scores(NUMBERS), detector.anomaly_scores(NUMBERS))
    with pytest.raises(NotCalibrated):
        loaded.detect(NUMBERS)
    assert inspect(tmp_path / "model.unalike")["summary"]["threshold"] is None


def test_saving_twice_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = scorers.IsolationForest(n_trees=3)
    detector = Detector("table", encoder=encoders.TableMLP(hidden=(8,)), scorer=scorer, training=QUICK).fit(NUMBERS)
    first = save(detector, tmp_path / "first.unalike").read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert save(detector, tmp_path / "second.unalike").read_bytes() == first


def test_a_loaded_model_saves_to_the_same_bytes(table: Detector, tmp_path: Path) -> None:
    first = save(table, tmp_path / "first.unalike")
    assert save(load(first), tmp_path / "second.unalike").read_bytes() == first.read_bytes()


def test_the_file_holds_no_pickle(table: Detector, tmp_path: Path) -> None:
    with zipfile.ZipFile(save(table, tmp_path / "model.unalike")) as file:
        assert file.namelist() == ["model.json", "weights.safetensors", "arrays.safetensors"]


def test_inspect_tells_what_the_model_is(table: Detector, path: Path) -> None:
    summary = inspect(save(table, path))["summary"]
    assert summary["modality"] == "table"
    assert summary["shape"] == [4, 2]
    assert summary["levels"] == [0, 0, 4, 0]
    assert summary["trained_on"] == len(table.split_.train)
    assert summary["calibrated_on"] == len(table.split_.calibration)
    assert summary["threshold"] == table.threshold_.threshold_
    first = summary["branches"]["contrast"]
    assert first["encoder"].startswith("TableMLP(hidden=(128, 128)")
    assert first["steps"] == 2
    assert inspect(path)["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_unfitted_detectors_and_other_things_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFitted, match=r"must be fitted to be saved; it is not. Call `fit`"):
        save(Detector("table"), tmp_path / "model.unalike")
    with pytest.raises(InvalidParameter, match="must be a Detector; got KNN"):
        save(scorers.KNN(), tmp_path / "model.unalike")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_generators_and_devices(tmp_path: Path) -> None:
    detector = Detector("table", encoder="raw-table", objective="frozen", random_state=np.random.default_rng(0))
    loaded = load(save(detector.fit(NUMBERS), tmp_path / "model.unalike"), device="cpu")
    assert loaded.device == "cpu"
    assert_same(loaded, detector, NUMBERS)
    with pytest.raises(InvalidParameter, match=r"`random_state` must be .* got Unavailable.*Generator"):
        loaded.fit(NUMBERS)


def test_pretrained_weights_are_in_the_model_and_their_file_is_not_needed(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), weights)
    encoder = encoders.Timm(name="test_resnet", weights=weights, layers=(1, 2), size=32, frozen=True)
    photos = np.random.default_rng(0).random((20, 3, 32, 32), dtype=np.float32)
    detector = Detector("image", encoder=encoder, objective="frozen").fit(photos)
    save(detector, tmp_path / "model.unalike")
    weights.unlink()
    loaded = load(tmp_path / "model.unalike")
    assert loaded.encoder == encoder
    assert loaded.branches_[0].settings.encoder == encoder
    assert_same(loaded, detector, photos)
    with pytest.raises(InvalidParameter, match=r"there is none at '.*weights.safetensors'"):
        loaded.fit(photos)


# Parity.


def scaled_weights(path: Path, factor: float) -> None:
    manifest, entries = archive.read(path)
    weights = safetensors.torch.load(entries["weights.safetensors"])
    changed = {name: values * factor if values.is_floating_point() else values for name, values in weights.items()}
    kept = {name: value for name, value in manifest.items() if name not in ("entries", "sha256")}
    archive.write(path, kept, {**entries, "weights.safetensors": safetensors.torch.save(changed)})


def test_a_model_that_gives_other_scores_here_is_refused(table: Detector, tmp_path: Path) -> None:
    path = save(table, tmp_path / "model.unalike")
    scaled_weights(path, 1.001)
    with pytest.raises(CannotLoad, match=r"model.unalike' must give the scores .* branch/0/trained differ by"):
        load(path)
    assert load(path, check_parity=False).anomaly_scores(mixed_table()).shape == (90,)


def test_the_last_digits_of_another_processor_are_tolerated(table: Detector, tmp_path: Path) -> None:
    path = save(table, tmp_path / "model.unalike")
    scaled_weights(path, 1.0 + 1e-8)
    load(path)


def test_parity_samples_are_drawn_unless_examples_are_given(table: Detector, tmp_path: Path) -> None:
    frame = mixed_table()
    raw = table.modality_.tensors(frame[:20]).numpy()

    def parity(path: Path) -> dict[str, Any]:
        packed, entries = archive.read(path)
        arrays = safetensors.numpy.load(entries["arrays.safetensors"])
        return {"inputs": arrays["parity/inputs"], "places": list(packed["parity"]["scores"])}

    drawn = parity(save(table, tmp_path / "drawn.unalike"))
    assert drawn["inputs"].shape == (8, 4, 2)
    assert not any((drawn["inputs"] == row).all(axis=(1, 2)).any() for row in raw)
    codes = drawn["inputs"][:, 2, 0]
    assert set(codes) <= {0.0, 1.0, 2.0, 3.0}
    given = parity(save(table, tmp_path / "given.unalike", examples=frame[:20]))
    np.testing.assert_array_equal(given["inputs"], raw[:8])
    trained = [f"branch/{number}/trained" for number in range(4)]
    floors = ["branch/0/untrained", "branch/1/untrained"]
    assert sorted(given["places"]) == [*sorted([*trained, *floors]), "fusion"]
    with pytest.raises(InvalidInput):
        save(table, tmp_path / "none.unalike", examples=frame[:0])
    assert not (tmp_path / "none.unalike").exists()


# Parts of the user's.


class TinyEncoder(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(3, width)

    def forward(self, data: Tensor) -> Tensor:
        return torch.tanh(self.layer(data[..., 0]))


class Picky(TinyEncoder):
    """Refuses what is no row of `NUMBERS`, so that noise cannot prove it."""

    def forward(self, data: Tensor) -> Tensor:
        if data.abs().max() > 0 and (data[..., 0].mean() == 0 or len(data) == 8):
            raise ValueError("no such row")
        return super().forward(data)


class MyScorer:
    def __init__(self, power: float = 2.0) -> None:
        self.power = power

    def fit(self, embeddings: Array, reference: Array | None = None, groups: Any = None) -> MyScorer:
        self.centre = embeddings.mean(axis=0)
        self.reference_scores_ = self.score(embeddings)
        return self

    def score(self, embeddings: Array) -> Array:
        return (np.abs(embeddings - self.centre) ** self.power).sum(axis=1)


class MySavedScorer(MyScorer):
    def state(self) -> dict[str, Any]:
        return {"centre": self.centre, "power": self.power, "reference": self.reference_scores_}

    def restore(self, state: dict[str, Any]) -> None:
        self.centre, self.power, self.reference_scores_ = state["centre"], state["power"], state["reference"]


@dataclass
class MyThreshold(thresholds.Quantile):
    pass


@dataclass(kw_only=True)
class MyTable(modalities.Table):
    pass


class MyView:
    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        return data + 0.1 * generator.normal(*data.shape[1:])


def halved(sample: Tensor) -> Tensor:
    return sample / 2


class MyObjective(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: Any, views: Any, generator: RowGenerator) -> Tensor:
        return self.encoder(views(batch.data, generator)).square().mean()


def with_encoder(encoder: nn.Module | None = None, **parts: Any) -> Detector:
    detector = Detector("table", encoder=encoder or TinyEncoder(), objective=objectives.SimCLR(), training=QUICK)
    return detector.set_params(**parts).fit(NUMBERS)


def test_an_encoder_of_the_users_takes_its_weights_from_the_file(path: Path) -> None:
    detector = with_encoder()
    save(detector, path)
    with pytest.raises(CannotLoad, match=rf"needs your encoder {__name__}:TinyEncoder of branch 'main'.*encoder=\{{"):
        load(path)
    mine = TinyEncoder()
    before = mine.layer.weight.detach().clone()
    for given in (mine, {"main": mine}):
        loaded = load(path, encoder=given)
        assert_same(loaded, detector, NUMBERS)
    assert torch.equal(mine.layer.weight, before)
    assert isinstance(loaded.encoder, TinyEncoder)
    expected = load(path, encoder=mine).fit(NUMBERS).anomaly_scores(NUMBERS)
    fresh = with_encoder(mine)
    np.testing.assert_array_equal(expected, fresh.anomaly_scores(NUMBERS))


def test_an_encoder_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = save(with_encoder(), tmp_path / "model.unalike")
    with pytest.raises(CannotLoad, match=r"(?s)must hold parts that fit together; .*size mismatch for layer.weight"):
        load(path, encoder=TinyEncoder(5))
    with pytest.raises(CannotLoad, match=r"needs your encoder"):
        load(path, encoder={"other": TinyEncoder()})


def test_encoders_by_name_of_branch(tmp_path: Path) -> None:
    branches = [
        Branch(name="narrow", encoder=TinyEncoder(2), objective="simclr"),
        Branch(name="wide", encoder=TinyEncoder(6)),
        Branch(name="raw", encoder="raw-table"),
        Branch(name="off", encoder=TinyEncoder(3)),
    ]
    detector = Detector("table", branches=branches, switch_off=["off"], training=QUICK).fit(NUMBERS)
    path = save(detector, tmp_path / "model.unalike")
    loaded = load(path, encoder={"narrow": TinyEncoder(2), "wide": TinyEncoder(6)})
    assert_same(loaded, detector, NUMBERS)
    assert [type(branch.encoder) for branch in loaded.branches or ()] == [TinyEncoder, TinyEncoder, str, Unavailable]
    with pytest.raises(
        InvalidParameter, match=r"`encoder` must be given where .*; got one for \['raw'\]. Leave it out"
    ):
        load(path, encoder={"narrow": TinyEncoder(2), "wide": TinyEncoder(6), "raw": TinyEncoder()})


def test_parts_that_the_model_does_not_need_are_refused(small: Detector, tmp_path: Path) -> None:
    path = save(small, tmp_path / "model.unalike")
    for kind, part in (("encoder", TinyEncoder()), ("scorer", MyScorer()), ("threshold", MyThreshold())):
        with pytest.raises(InvalidParameter, match=rf"`{kind}` must be given where .* Leave it out"):
            load(path, **{kind: part})


def test_an_encoder_that_refuses_noise_is_saved_without_proof(tmp_path: Path) -> None:
    detector = with_encoder(Picky())
    path = save(detector, tmp_path / "model.unalike")
    assert inspect(path)["parity"] is None
    assert_same(load(path, encoder=Picky()), detector, NUMBERS)
    assert inspect(save(detector, path, examples=NUMBERS[:5]))["parity"] is not None
    assert_same(load(path, encoder=Picky()), detector, NUMBERS)


def test_an_encoder_with_more_than_tensors_is_not_saved(tmp_path: Path) -> None:
    class Extra(TinyEncoder):
        def get_extra_state(self) -> Any:
            return {"words": 3}

        def set_extra_state(self, state: Any) -> None:
            pass

    with pytest.raises(InvalidParameter, match=r"only tensors in its state_dict\(\).*_extra_state"):
        save(with_encoder(Extra()), tmp_path / "model.unalike")
    assert list(tmp_path.iterdir()) == []


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    class Tied(TinyEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.again = self.layer

    detector = with_encoder(Tied())
    assert_same(load(save(detector, tmp_path / "model.unalike"), encoder=Tied()), detector, NUMBERS)


def test_a_scorer_of_the_users_takes_its_state_from_the_file(path: Path) -> None:
    detector = with_encoder(scorer=MySavedScorer(3.0))
    save(detector, path)
    with pytest.raises(CannotLoad, match=rf"needs your scorer {__name__}:MySavedScorer of branch 'main'.*state"):
        load(path, encoder=TinyEncoder())
    loaded = load(path, encoder=TinyEncoder(), scorer=MySavedScorer())
    assert_same(loaded, detector, NUMBERS)
    assert isinstance(loaded.scorer, MySavedScorer)


@pytest.mark.parametrize(
    ("scorer", "why"),
    [
        (MyScorer(), r"The branch/0/trained/scorer must have `state\(\)` and `restore\(state\)` to be saved; MyScorer"),
    ],
)
def test_scorers_without_state_are_not_saved(scorer: Any, why: str, tmp_path: Path) -> None:
    detector = Detector("table", encoder="raw-table", objective="frozen", scorer=scorer).fit(NUMBERS)
    with pytest.raises(InvalidParameter, match=why):
        save(detector, tmp_path / "model.unalike")
    assert list(tmp_path.iterdir()) == []


def test_modalities_and_thresholds_of_the_users(tmp_path: Path) -> None:
    detector = Detector(MyTable(ignore=("price",)), encoder="raw-table", objective="frozen", threshold=MyThreshold(0.1))
    path = save(detector.fit(mixed_table()), tmp_path / "model.unalike")
    for given, lacking in (({}, "modality"), ({"modality": MyTable()}, "threshold")):
        with pytest.raises(CannotLoad, match=rf"needs your {lacking} .*load\('.*', {lacking}=\.\.\.\)"):
            load(path, **given)
    loaded = load(path, modality=MyTable(ignore=("price",)), threshold=MyThreshold(0.1))
    assert_same(loaded, detector, mixed_table())
    assert isinstance(loaded.modality, MyTable)
    assert isinstance(loaded.threshold, MyThreshold)


def test_views_and_objectives_of_the_users_are_needed_to_fit_only(tmp_path: Path) -> None:
    mine = [views.Noise(), MyView(), halved]
    detector = Detector("table", encoder=encoders.TableMLP(hidden=(8,)), views=mine, training=QUICK)
    detector.set_params(objective=MyObjective).fit(NUMBERS)
    loaded = load(save(detector, tmp_path / "model.unalike"))
    assert_same(loaded, detector, NUMBERS)
    name = f"{__name__}:MyView"
    assert loaded.views == [views.Noise(), Unavailable(name), Unavailable(f"{__name__}:halved")]
    assert_same(load(save(loaded, tmp_path / "again.unalike")), detector, NUMBERS)
    with pytest.raises(InvalidParameter, match=rf"The part {__name__}:MyObjective of yours must be there to fit again"):
        clone(loaded).fit(NUMBERS)
    with pytest.raises(InvalidParameter, match=rf"The part {name} of yours must be there to fit again"):
        clone(loaded).set_params(objective=MyObjective).fit(NUMBERS)
    again = loaded.set_params(objective=MyObjective, views=MyView()).fit(NUMBERS)
    expected = clone(detector).set_params(views=MyView()).fit(NUMBERS)
    np.testing.assert_array_equal(again.anomaly_scores(NUMBERS), expected.anomaly_scores(NUMBERS))
