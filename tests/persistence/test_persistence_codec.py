from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import skops.io
import torch
from sklearn.ensemble import IsolationForest

from unalike import Branch, Training, encoders, modalities, objectives, scorers, thresholds, views
from unalike.data import Split
from unalike.errors import CannotLoad, InvalidParameter
from unalike.persistence import Unavailable
from unalike.persistence.absent import unavailable
from unalike.persistence.codec import Packer, Unpacker, types
from unalike.persistence.steady import steady_skops


def there_and_back(value: Any, *, state: bool = True) -> Any:
    packer = Packer()
    packed = (packer.state if state else packer.settings)(value, "here")
    text = json.dumps(packed, allow_nan=False)
    arrays = safetensors.numpy.load(safetensors.numpy.save(packer.arrays))
    return Unpacker(arrays, packer.blobs).value(json.loads(text))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        0.1,
        math.inf,
        -math.inf,
        "ä\ud800",
        b"\x00bytes",
        [1, [2.5, None]],
        (1, ("a", ())),
        {"b": 1, "a": {"c": (1,)}},
        {"$type": "scorers.KNN", "fields": {}},
        {1: "one", (2, 3): "pair"},
        Path("folder/file.csv"),
        Training(steps=2, learning_rate=1e-4),
        Branch(name="x", encoder=encoders.TableMLP(hidden=(4,)), scorer=scorers.KNN(k=3), training=Training()),
        Branch(name="y", encoder="raw", scorer="centroid", views=[views.MaskCells(0.5), "noise"]),
        objectives.SimCLR(temperature=0.1),
        modalities.Table(ignore=("a",), id="b"),
        modalities.Image(size=(8, 9)),
        thresholds.Conformal(false_alarm_rate=0.05),
        scorers.Fusion(how="max", weights={"a": 2.0}),
        views.Compose((views.HorizontalFlip(), views.Compose((views.GaussianNoise(),)))),
        encoders.Timm(weights="somewhere/weights.safetensors", layers=(1, 2)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_values_come_back_equal_and_of_their_type(value: Any) -> None:
    back = there_and_back(value)
    assert type(back) is type(value)
    assert back == value


def test_nan_comes_back() -> None:
    assert math.isnan(there_and_back(math.nan))
    assert math.isnan(there_and_back({"history": [{"loss": math.nan}]})["history"][0]["loss"])


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.1, np.nan], [np.inf, -0.0]]),
        np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
        np.arange(10, dtype=np.int64)[::3],
        np.array([True, False]),
        np.array(3.5),
        np.zeros((0, 4)),
        np.arange(3, dtype=">f8"),
        np.array([["a", "bc"], ["", "ü"]]),
        np.array(["some", "names"], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_back_bit_equal_and_writable(array: Any) -> None:
    back = there_and_back({"deep": [array]})["deep"][0]
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(back), np.signbit(array))
    assert back.flags.writeable


@pytest.mark.parametrize("number", [np.float64(0.1), np.float32(0.1), np.int64(-7), np.uint8(3), np.bool_(True)])
def test_numpy_numbers_keep_their_type_which_decides_the_precision_of_sums(number: Any) -> None:
    back = there_and_back(number)
    assert type(back) is type(number)
    assert back == number


def test_keys_that_look_alike_do_not_overwrite_each_others_arrays() -> None:
    value = {"a/b": np.array([1.0]), "a": {"b": np.array([2.0])}}
    back = there_and_back(value)
    assert back["a/b"] == [1.0]
    assert back["a"]["b"] == [2.0]


def test_a_split_comes_back() -> None:
    split = Split(np.arange(3), np.arange(0), np.arange(3, 5))
    back = there_and_back(split)
    np.testing.assert_array_equal(back.calibration, split.calibration)
    assert back.reference.dtype == np.int64


def test_what_a_view_has_learned_is_no_setting() -> None:
    prepared = views.CorruptCells(rate=0.2).prepare(torch.zeros(5, 3, 2))
    packer = Packer()
    packed = packer.settings(prepared, "here")
    assert "pool" not in packed["fields"]
    assert not packer.arrays
    assert Unpacker({}, {}).value(packed) == views.CorruptCells(rate=0.2)


@dataclass(frozen=True)
class MySettings:
    size: int = 3


class MyKNN(scorers.KNN):
    pass


def my_view(data: Any, generator: Any) -> Any:
    return data


@pytest.mark.parametrize(
    ("mine", "name"),
    [
        (MySettings(), f"{__name__}:MySettings"),
        (MyKNN(), f"{__name__}:MyKNN"),
        (my_view, f"{__name__}:my_view"),
        (MyKNN, f"{__name__}:MyKNN"),
        (torch.nn.Flatten(), "torch.nn.modules.flatten:Flatten"),
        (functools.partial(my_view, None), "functools:partial"),
    ],
)
def test_parts_of_the_users_come_back_as_names(mine: Any, name: str) -> None:
    back = there_and_back((mine,), state=False)
    assert back == (Unavailable(name),)
    assert unavailable(back) == name
    assert there_and_back(back, state=False) == back


def test_users_functions_inside_of_our_views_come_back_as_names() -> None:
    composed = views.Compose((views.HorizontalFlip(), my_view, abs))
    back = there_and_back(composed, state=False)
    assert back.views[0] == views.HorizontalFlip()
    assert back.views[1] == Unavailable(f"{__name__}:my_view")
    assert back.views[2] == views.PerSample(Unavailable("builtins:abs"))
    assert there_and_back(back, state=False) == back
    assert unavailable(back) == f"{__name__}:my_view"
    assert unavailable(views.Compose((views.HorizontalFlip(),))) is None


def test_state_may_not_be_left_out() -> None:
    with pytest.raises(InvalidParameter, match=r"scorer/state/thing must hold numbers.*MySettings"):
        Packer().state({"thing": MySettings()}, "scorer/state")
    with pytest.raises(InvalidParameter, match=r"got an array of complex128"):
        Packer().state(np.zeros(2, dtype=complex), "here")
    with pytest.raises(InvalidParameter, match=r"got an array of object"):
        Packer().state(np.array([object()]), "here")


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "os:system",
        "builtins:eval",
        "subprocess:Popen",
        "unalike.scorers.neighbors:KNN",
        "scorers.described",
        "scorers.build",
        "views.as_view",
        "persistence.Unavailable",
        "Detector",
        "",
        None,
        7,
    ],
)
def test_a_file_can_name_only_what_is_on_the_list(name: Any) -> None:
    with pytest.raises(CannotLoad, match=r"must name parts of unalike only; got"):
        Unpacker({}, {}).value({"$type": name, "fields": {"command": "true"}})


def test_the_list_holds_inert_settings_of_ours_only() -> None:
    assert {"scorers.KNN", "views.Compose", "encoders.Timm", "modalities.Table", "Branch"} <= types().keys()
    for name, entry in types().items():
        module, _, attribute = entry.partition(":")
        cls = getattr(import_module(module), attribute)
        assert module.startswith("unalike."), name
        assert is_dataclass(cls), name
        assert name.rpartition(".")[2] == cls.__name__
        assert all(field.name.isidentifier() for field in fields(cls))


@pytest.mark.parametrize(
    "packed", [{"$what": 1}, {"$array": "missing"}, {"$bytes": "missing"}, {"$number": ["object", 1]}, {"$float": "1"}]
)
def test_what_the_packer_does_not_make_is_refused(packed: Any) -> None:
    with pytest.raises((KeyError, ValueError)):
        Unpacker({}, {}).value(packed)


@pytest.mark.parametrize("use", ["__call__", "build", "fit", "score"])
def test_unavailable_parts_teach_when_used(use: str) -> None:
    with pytest.raises(InvalidParameter, match=r"The part my:View of yours must be there to fit again.*set_params"):
        getattr(Unavailable("my:View"), use)(None)


def test_skops_archives_are_the_same_bytes_twice_and_load_as_before() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    forest = IsolationForest(n_estimators=4, random_state=0).fit(rows)
    first, second = skops.io.dumps(forest), skops.io.dumps(forest)
    assert first != second, "then unalike.persistence.steady is no longer needed"
    steady = steady_skops(first)
    assert steady is not None
    assert steady == steady_skops(second) == steady_skops(steady)
    again = skops.io.loads(steady, trusted=["sklearn.tree._tree.Tree"])
    np.testing.assert_array_equal(again.score_samples(rows), forest.score_samples(rows))


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_other_bytes_are_left_as_they_are(data: bytes) -> None:
    assert steady_skops(data) is None
    assert there_and_back(data) == data
