"""What can train, and what is refused at the door."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tests.training.parts import Pull, fit, make, rows
from torch import Tensor

from unalike import Branch, Detector, Training
from unalike.errors import InvalidParameter
from unalike.objectives import SupCon
from unalike.objectives.build import build_objective
from unalike.training import Checkpoint, branch_checkpoint, settle

NUMPY = {
    "epochs": np.int64(1),
    "batch_size": np.int32(8),
    "learning_rate": np.float32(1e-3),
    "warmup": np.float64(0.0),
    "gradient_clip": np.float32(1.0),
}


def test_numbers_of_numpy_become_plain() -> None:
    settings = settle(Training(accumulate=np.int8(2)), NUMPY)  # type: ignore[arg-type]
    assert settings == Training(**{name: value.item() for name, value in NUMPY.items()}, accumulate=2)
    assert json.loads(json.dumps(asdict(settings)))["accumulate"] == 2


def test_numbers_of_numpy_train_with_a_checkpoint_and_resume(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    first = fit(make(), Training(**NUMPY), checkpoint=checkpoint)
    plain = {name: value.item() for name, value in NUMPY.items()}
    assert len(fit(make(), Training(**plain), checkpoint=checkpoint)) == len(first)


@pytest.mark.parametrize("value", [-1.0, 0, float("nan"), float("inf"), "a", True, [1.0]])
def test_a_gradient_is_clipped_at_a_positive_number(value: object) -> None:
    with pytest.raises(InvalidParameter, match=r"`gradient_clip` must be a finite number above 0, or None; got"):
        settle(None, {"gradient_clip": value})


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "warmup"])
@pytest.mark.parametrize("value", ["a", None, True, [0.5], 1j])
def test_a_rate_is_a_number(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter, match=f"`{name}` "):
        settle(None, {name: value})


@pytest.mark.parametrize("own", [{"epochs": 1}, {}, 3, "long"])
def test_a_branch_has_whole_settings(own: object) -> None:
    with pytest.raises(InvalidParameter, match=r"`training` of a Branch must be a Training; got .* Give Training\("):
        settle(own, None)  # type: ignore[arg-type]
    branch = Branch(name="main", encoder="table-mlp", objective="simclr", training=own)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="of a Branch"):
        Detector("table", branches=[branch]).fit(np.random.default_rng(0).normal(size=(30, 3)))


def test_the_objective_is_prepared_with_the_rows_that_train() -> None:
    class Noted(Pull):
        def prepare(self, sample: Tensor) -> None:
            self.sample = sample

    whole, part = Noted(make().encoder), Noted(make().encoder)
    fit(whole, Training(epochs=1))
    fit(part, Training(epochs=1, patience=1, held_out=0.2))
    assert whole.sample.tolist() == rows().load(np.arange(50)).tolist()
    assert len(part.sample) == 40
    assert {tuple(row) for row in part.sample.tolist()} < {tuple(row) for row in whole.sample.tolist()}


@pytest.mark.parametrize(
    ("attract", "patience", "n_anomalies", "warned"),
    [(True, 2, 4, True), (False, 2, 4, False), (True, None, 4, False), (True, 2, 0, False)],
)
def test_early_stop_with_attraction_is_warned_of(
    attract: bool, patience: int | None, n_anomalies: int, warned: bool
) -> None:
    encoder = make().encoder
    encoder.width = 8
    objective = build_objective(SupCon(attract_normals=attract), encoder, 0)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit(objective, Training(epochs=1, patience=patience), rows(50, n_anomalies))
    told = [str(warning.message) for warning in found if "attract_normals=False" in str(warning.message)]
    assert len(told) == warned
    assert all(text.startswith("`patience` watches") for text in told)


def test_long_names_of_branches_make_names_of_files(tmp_path: Path) -> None:
    paths = []
    for name in ("a" * 300, "a" * 299 + "b", "\u00e4" * 120, "short"):
        checkpoint = branch_checkpoint(tmp_path, name, None)
        assert checkpoint is not None
        fit(make(), Training(epochs=1), checkpoint=checkpoint)
        paths.append(checkpoint.path)
    assert len(set(paths)) == 4
    assert all(path.exists() for path in paths)
    assert paths[-1].name == "branch-short.safetensors"


def test_an_unknown_field_is_named_beside_the_known_ones_and_the_one_that_was_meant() -> None:
    with pytest.raises(
        InvalidParameter, match=r"among \['epochs', 'steps'.*got \['epoch'\]\. Did you mean 'epochs'\?$"
    ):
        Detector("table", training={"epoch": 3, "steps": 4}).fit(np.eye(40))
    with pytest.raises(InvalidParameter, match=r"got \['lr', 7\]\.$"):
        settle(None, {"lr": 0.1, 7: 8})  # type: ignore[dict-item]
    with pytest.raises(InvalidParameter, match=r"a mapping of some of its fields, \['epochs'.*got 3\. Give"):
        settle(None, 3)  # type: ignore[arg-type]
