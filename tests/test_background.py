"""A scorer that compares with a background gets it from its branch's encoder, wherever it is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unalike import Branch, Detector, load, save, thresholds
from unalike.errors import InvalidParameter
from unalike.scorers import KNN, RelativeMahalanobis

ROWS = np.random.default_rng(0).normal(size=(240, 4))
NEW = np.random.default_rng(1).normal(size=(40, 4)) * 2.0
asked: list[int] = []


class WithBackground(nn.Module):
    """The numbers of a table, and a background of 60 rows."""

    width = 4

    def background(self) -> Tensor:
        asked.append(60)
        return torch.from_numpy(np.random.default_rng(2).normal(size=(60, 4, 2))).float()

    def forward(self, data: Tensor) -> Tensor:
        return data[:, :, 0].float()


def detector(share: float = 0.0) -> Detector:
    return Detector(
        "table",
        encoder=WithBackground(),
        objective="frozen",
        scorer="relative-mahalanobis",
        threshold=thresholds.Conformal(false_alarm_rate=0.05),
        reference_fraction=share,
    )


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_the_scorer_is_fitted_on_the_encoders_background(share: float) -> None:
    fitted = detector(share).fit(ROWS)
    rows = fitted.modality_.tensors(ROWS)[:, :, 0].numpy()
    background = WithBackground().background()[:, :, 0].numpy()
    held = rows[fitted.split_.reference] if share else None
    twin = RelativeMahalanobis().fit(rows[fitted.split_.train], held, background=background)
    new = fitted.modality_.tensors(NEW)[:, :, 0].numpy()
    np.testing.assert_allclose(fitted.branches_[0].judge.scorer.score(new), twin.score(new), rtol=1e-9)
    np.testing.assert_allclose(fitted.branches_[0].judge.scorer.reference_scores_, twin.reference_scores_, rtol=1e-9)


def test_it_is_saved_and_updated(tmp_path: Path) -> None:
    fitted = detector().fit(ROWS)
    again = load(save(fitted, tmp_path / "m.unalike"), encoder=WithBackground())
    np.testing.assert_array_equal(again.anomaly_scores(NEW), fitted.anomaly_scores(NEW))
    before = fitted.branches_[0].judge.scorer
    for made in (fitted, again):
        made.update(ROWS[:50] + 0.01, into="scorer")
    after = fitted.branches_[0].judge.scorer
    np.testing.assert_array_equal(after.background_.whitening_, before.background_.whitening_)
    assert not np.array_equal(after.normal_.mean_, before.normal_.mean_)
    np.testing.assert_array_equal(again.anomaly_scores(NEW), fitted.anomaly_scores(NEW))


def test_branches_that_share_an_encoder_ask_once() -> None:
    encoder = WithBackground()
    scorers = {"near": KNN(), "one": RelativeMahalanobis(), "two": RelativeMahalanobis()}
    branches = [Branch(name=name, encoder=encoder, scorer=scorer) for name, scorer in scorers.items()]
    asked.clear()
    Detector("table", branches=branches, calibration_fraction=0.0).fit(ROWS)
    assert len(asked) == 1


def test_an_encoder_without_a_background_is_told() -> None:
    with pytest.raises(InvalidParameter, match=r"by `background\(\)`; RawCells does not. Take PretrainedText"):
        Detector("table", encoder="raw-table", objective="frozen", scorer="relative-mahalanobis").fit(ROWS)
