"""Settings from TOML equal those of the constructor, and back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as SkForest

from unalike import Branch, Detector, Training
from unalike.configuration import STAGES, keywords, read_settings, settings_as_toml
from unalike.encoders import MLP, ConvNet, Timm
from unalike.errors import InvalidInput, InvalidParameter
from unalike.lookup import named
from unalike.modalities import Table
from unalike.objectives import InjectAnomalies, InjectedContrast, SimCLR
from unalike.scorers import KNN, Outlier
from unalike.thresholds import Conformal, Fixed, Normal, PerEntity
from unalike.views.compose import Compose
from unalike.views.image import Affine, GaussianNoise, HorizontalFlip

KEYWORD = {
    "encoders": "encoder",
    "modalities": "modality",
    "objectives": "objective",
    "scorers": "scorer",
    "thresholds": "threshold",
    "views": "views",
}
EVERY = [(stage, name) for stage, names in STAGES.items() for name in names]
NEEDED: dict[str, dict[str, Any]] = {
    "fixed": {"value": 2.5},
    "compose": {"views": (HorizontalFlip(), Affine())},
    "pretrained-text": {"model": "models/some"},
}


def params(**settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = Detector(**settings).get_params(deep=False)
    return found


def read(folder: Path, text: str) -> dict[str, Any]:
    (folder / "settings.toml").write_text(text, encoding="utf-8")
    return read_settings(folder / "settings.toml")


@pytest.mark.parametrize(("stage", "name"), EVERY)
def test_every_part_comes_back_equal(tmp_path: Path, stage: str, name: str) -> None:
    part = named(stage, STAGES[stage], name)(**NEEDED.get(name, {}))
    expected = params(**{KEYWORD[stage]: part})
    assert params(**read(tmp_path, settings_as_toml(expected))) == expected


@pytest.mark.parametrize(("stage", "name"), EVERY)
def test_names_of_parts_are_short_or_those_of_the_class(tmp_path: Path, stage: str, name: str) -> None:
    attribute = STAGES[stage][name].rpartition(":")[2]
    key = KEYWORD[stage]
    for text in (name, attribute, f"{stage}.{attribute}"):
        assert read(tmp_path, f'{key} = "{text}"') == {key: name}
        if name not in NEEDED:
            made = read(tmp_path, f'[{key}]\ntype = "{text}"')[key]
            assert made == named(stage, STAGES[stage], name)()


def test_a_file_is_the_constructor_call(tmp_path: Path) -> None:
    text = """
    modality = "image"
    calibration_fraction = 0.3
    switch_off = ["pixels"]
    random_state = 7

    [threshold]
    type = "Conformal"
    false_alarm_rate = 0.05

    [training]
    epochs = 10
    steps = "none"

    [[branches]]
    name = "contrast"
    objective = "SimCLR"
    views = ["horizontal-flip", { type = "GaussianNoise", scale = [0, 0.2] }]
    weight = 2
    [branches.encoder]
    type = "ConvNet"
    channels = [16, 32]
    [branches.scorer]
    type = "scorers.KNN"
    k = 5
    [branches.training]
    batch_size = 64

    [[branches]]
    name = "pixels"
    encoder = "raw"
    """
    contrast = Branch(
        name="contrast",
        encoder=ConvNet(channels=(16, 32)),
        objective="simclr",
        scorer=KNN(k=5),
        views=["horizontal-flip", GaussianNoise(scale=(0.0, 0.2))],
        training=Training(batch_size=64),
        weight=2.0,
    )
    expected = params(
        modality="image",
        calibration_fraction=0.3,
        switch_off=("pixels",),
        random_state=7,
        threshold=Conformal(false_alarm_rate=0.05),
        training={"epochs": 10, "steps": None},
        branches=[contrast, Branch(name="pixels", encoder="raw")],
    )
    assert params(**read(tmp_path, text)) == expected


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"random_state": None, "progress": True, "device": 'a "quoted" \\ and \t ä 🜁 \x7f name'},
        {"training": Training(steps=3, learning_rate=1e-5)},
        {"training": {"epochs": None, "steps": 3}},
        {"modality": Table(ignore=("when", "who"), id="name"), "objective": "frozen"},
        {"threshold": PerEntity(each=Normal(sigmas=3.0), least=5)},
        {"threshold": Fixed(-1e-300)},
        {"encoder": MLP(hidden=(8,), normalization="none"), "objective": SimCLR(temperature=1.0)},
        {"objective": InjectedContrast(injection=InjectAnomalies(kinds=("spike", "trend"), speed=(2.0, 3.0)))},
        {"views": [HorizontalFlip(p=0.1), "vertical-flip", Compose((Affine(degrees=(-3.0, 9.0)),))]},
        {"branches": [Branch(name="a", encoder=Timm(layers=(1, -2), size=32)), Branch(name="b", encoder="raw")]},
        {"branches": [Branch(name="a", encoder="raw", training=Training(patience=2), agreement=0.2)]},
    ],
)
def test_what_is_written_reads_back_equal(tmp_path: Path, settings: dict[str, Any]) -> None:
    expected = params(**settings)
    text = settings_as_toml(expected)
    assert set(tomllib.loads(text)) <= set(keywords())
    assert params(**read(tmp_path, text)) == expected


def test_lists_become_tuples_so_that_settings_compare_equal(tmp_path: Path) -> None:
    found = read(tmp_path, 'encoder = { type = "convnet", channels = [4, 8] }')["encoder"]
    assert found == ConvNet(channels=(4, 8))
    assert isinstance(found.channels, tuple)


@pytest.mark.parametrize(
    "settings",
    [{"scorer": Outlier(SkForest())}, {"views": [print]}, {"random_state": object()}, {"encoder": ConvNet}],
)
def test_what_no_file_can_hold_is_not_written(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}"):
        settings_as_toml(params(**settings))


MISTAKES = {
    'modalty = "image"': r"the keys must be .*'encoder',.*; got \['modalty'\]. Did you mean 'modality'\?",
    'modality = "sound"': r"`modality` must be one of \['image', 'series', 'table', 'text'\]; got 'sound'",
    "scorer = 5": "`scorer` must be the name of a part or a table with its 'type'; got 5",
    "[scorer]\nk = 5": "`scorer` must have a 'type', one of .*'knn'",
    '[scorer]\ntype = "KNNN"': "`scorer.type` must be one of .*'knn'.*; got 'KNNN'",
    '[scorer]\ntype = "encoders.KNN"': "`scorer.type` must be one of .*; got 'encoders.KNN'",
    '[scorer]\ntype = "sklearn.svm:OneClassSVM"': "`scorer.type` must be one of",
    '[scorer]\ntype = "KNN"\nkk = 5': r"the keys in `scorer` must be among \['k', 'metric'.*; got \['kk'\]",
    '[scorer]\ntype = "isolation-forest"\nn_trees = "five"': "`scorer.n_trees` must be a whole number; got 'five'",
    '[scorer]\ntype = "isolation-forest"\nn_trees = true': "`scorer.n_trees` must be a whole number; got True",
    '[scorer]\ntype = "KNN"\nk = 0': "`scorer`.*0",
    '[scorer]\ntype = "KNN"\nmetric = "manhattan"': r"`scorer.metric` must be one of \['euclidean', 'cosine'\]",
    '[threshold]\ntype = "fixed"': r"`threshold` must have \['value'\]",
    '[threshold]\ntype = "conformal"\nfalse_alarm_rate = 2': r"`threshold` cannot be made: .*false_alarm_rate",
    '[threshold]\ntype = "per-entity"\neach = { type = "median" }': "`threshold.each.type` must be one of",
    '[views]\ntype = "mix-up"\npool = [1]': r"the keys in `views` must be among \['low'",
    'views = ["flip"]': r"`views\[0\]` must be one of",
    "branches = 3": "`branches` must be tables",
    '[[branches]]\nencoder = "raw"': r"`branches\[0\]` must have \['name'\]",
    '[[branches]]\nname = "a"\nencoder = "row"': r"`branches\[0\].encoder` must be one of .*; got 'row'",
    '[[branches]]\nname = "a"\nencoder = { type = "convnet", channels = 3 }': r"`branches\[0\].encoder.channels` must "
    "be a list, each a whole number; got 3",
    '[[branches]]\nname = "a"\nencoder = "raw"\nwait = 1': r"the keys in `branches\[0\]` must be among",
    "[training]\nepoch = 1": r"the keys in `training` .*\['epochs'.*; got \['epoch'\]. Did you mean 'epochs'\?",
    "[training]\nqqq = 1": r"the keys in `training` must be among \['epochs'.*; got \['qqq'\].$",
    "[training]\nepochs = 1.5": "`training.epochs` must be a whole number or 'none'; got 1.5",
    "training = 3": "`training` must be a table",
    '[training]\ntype = "Trainer"': "`training.type` must be 'Training'",
    'calibration_fraction = "most"': "`calibration_fraction` must be a number; got 'most'",
    "progress = 1": "`progress` must be true or false; got 1",
    'switch_off = "pixels"': "`switch_off` must be a list, each text",
    "random_state = 0.5": "`random_state` must be a whole number or 'none'",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_names_the_file_the_place_and_the_known(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidParameter, match=MISTAKES[text]) as caught:
        Detector(**read(tmp_path, text)).fit([[0.0], [1.0]] * 10)
    assert str(caught.value).startswith(str(tmp_path / "settings.toml"))


def test_a_file_that_is_missing_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="where there is nothing"):
        read_settings(tmp_path / "nowhere.toml")
    with pytest.raises(InvalidInput, match=r"is not: .*line 1"):
        read(tmp_path, "modality = table")
    (tmp_path / "settings.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="must be a TOML file"):
        read_settings(tmp_path / "settings.toml")


def test_numbers_of_numpy_are_written_plainly(tmp_path: Path) -> None:
    settings = {
        "calibration_fraction": np.float64(0.3),
        "random_state": np.int64(4),
        "scorer": KNN(k=np.int64(3)),
        "training": {"learning_rate": np.float32(0.5), "epochs": np.int64(2)},
        "branches": [Branch(name="main", encoder=MLP(hidden=(8,)), weight=np.float64(2.0))],
    }
    text = settings_as_toml(settings)
    assert "np." not in text
    assert tomllib.loads(text)["training"] == {"learning_rate": 0.5, "epochs": 2}
    assert read(tmp_path, text) == settings


def test_the_text_none_is_not_written_where_it_would_be_read_as_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"`modality.id` must not be the text 'none'"):
        settings_as_toml(params(modality=Table(id="none")))
    with pytest.raises(InvalidParameter, match=r"`training.epochs` must not be the text 'none'"):
        settings_as_toml({"training": {"epochs": "none"}})
    written = settings_as_toml({"modality": Table(ignore=("none",)), "branches": [Branch(name="none", encoder="raw")]})
    read_back = read(tmp_path, written)
    assert read_back["modality"] == Table(ignore=("none",))
    assert read_back["branches"][0].name == "none"
