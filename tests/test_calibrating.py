"""All steps of records calibrate: each stretch of time is judged by what was learned of the others."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from unalike import Branch, Detector, Training, load, save, thresholds
from unalike.calibrating import by_other_times
from unalike.encoders import RawWindow
from unalike.errors import CalibrationWarning
from unalike.modalities import Series
from unalike.modalities.blocks import stretches
from unalike.scorers import KNN, Centroid, NeighborRatio, PerBlock
from unalike.scorers.refill import refilled

Array = npt.NDArray[np.float64]

WINDOW = 12
RAW = (Branch(name="windows", encoder=RawWindow(), scorer=KNN(k=3)),)
MANY = "ignore:A false-alarm rate of:unalike.errors.CalibrationWarning"


def autoregressive(n: int, seed: int) -> Array:
    """Each step nine tenths of the one before, and a shock."""
    shocks = np.random.default_rng(seed).normal(size=n + 200)
    values = np.zeros(n + 200)
    for step in range(1, n + 200):
        values[step] = 0.9 * values[step - 1] + shocks[step]
    return np.asarray(values[200:, None])


def seasonal(n: int, seed: int) -> Array:
    """A wave whose height wanders slowly around one."""
    height = 1.0 + 0.1 * autoregressive(n, seed)[:, 0]
    return np.asarray((height * np.sin(2 * np.pi * (np.arange(n) + 0.5) / WINDOW))[:, None])


def detector(rate: float = 0.05, window: int = WINDOW, **settings: Any) -> Detector:
    settings = {"branches": RAW, "threshold": thresholds.Conformal(false_alarm_rate=rate), **settings}
    return Detector(Series(window=window), **settings)


@pytest.mark.parametrize("made", [autoregressive, seasonal])
def test_the_rate_holds_on_records_whose_steps_depend_on_each_other(made: Any) -> None:
    """As in blocks of time a single record may be far off, so in the mean over records."""
    rates = []
    for seed in range(16):
        record = made(2400, seed)
        rates.append(detector(0.1).fit(record[:1200]).detect(record[1200:]).is_anomaly.mean())
    error = np.std(rates, ddof=1) / np.sqrt(len(rates))
    assert 0.02 <= np.mean(rates) <= 0.1 + 2.0 * error
    assert error < 0.025


def test_few_windows_are_told_once_and_enough_are_not(tmp_path: Path) -> None:
    with pytest.warns(CalibrationWarning, match=r"at least 19 .* 200 calibration steps are no more than 16,") as told:
        model = detector(0.05).fit(seasonal(200, 0))
    assert len(told) == 1
    assert model.calibration_windows_ == 200 // WINDOW == 16
    with pytest.warns(CalibrationWarning, match=r"no more than 5, of 12 steps each, and back a rate of 0\.17"):
        model.calibrate(seasonal(70, 1))
    assert model.calibration_windows_ == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.calibrate(seasonal(19 * WINDOW, 1))
        detector(0.05).fit(seasonal(19 * WINDOW, 0))
    save(model, tmp_path / "m.unalike")
    assert load(tmp_path / "m.unalike").calibration_windows_ == 19


def test_the_default_rate_is_told_too() -> None:
    with pytest.warns(CalibrationWarning, match=r"of 0\.01 needs at least 99 .* no more than 50"):
        Detector(Series(window=WINDOW), branches=RAW).fit(seasonal(600, 0))


def test_of_thresholds_per_entity_the_one_of_fewest_windows_counts() -> None:
    records = {"much": seasonal(400, 0), "little": seasonal(130, 1)}
    each = thresholds.PerEntity(thresholds.Conformal(false_alarm_rate=0.05))
    with pytest.warns(CalibrationWarning, match=r"130 calibration steps of entity 'little' are no more than 10"):
        detector(threshold=each).fit(records)


def test_no_windows_are_counted_where_samples_are_no_steps() -> None:
    table = Detector("table", encoder="raw-table", objective="frozen", scorer="knn").fit(
        np.random.default_rng(0).normal(size=(600, 3))
    )
    assert not hasattr(table, "calibration_windows_")


def test_no_step_vouches_for_itself() -> None:
    """What is in the record once is at no distance from itself; among the calibration scores it stands out."""
    record = seasonal(1200, 0)
    record[500:512] = 4.0
    model = detector().fit(record)
    assert len(model.calibration_scores_) == 1200
    assert 500 - WINDOW < np.argmax(model.calibration_scores_) < 512 + WINDOW
    seen = model.anomaly_scores(record)
    assert model.calibration_scores_[505] > 5.0 * np.median(model.calibration_scores_) > 0.0
    assert (seen < model.calibration_scores_)[500:512].all()


def test_windows_of_other_stretches_alone_are_known() -> None:
    begins = np.sort(np.random.default_rng(0).choice(4000, 150, replace=False))
    begins[60:] += 5000  # another entity
    begins = np.random.default_rng(1).permutation(begins)
    stretch, known = stretches(begins, 40)
    assert np.bincount(stretch).tolist() == [30] * 5
    assert (np.diff(stretch[np.argsort(begins)]) >= 0).all()
    for number in range(5):
        nearest = np.abs(begins[:, None] - begins[stretch == number]).min(axis=1)
        np.testing.assert_array_equal(known[number], nearest >= 80)


def test_scores_are_those_of_a_slow_twin() -> None:
    model = detector().fit(seasonal(600, 3))
    record = model.modality_.check(seasonal(600, 3))
    parts, spans = model.modality_.cut(record)
    tensors = model.modality_.tensors(parts)

    def windows(at: npt.NDArray[np.int64]) -> Tensor:
        return tensors[torch.from_numpy(at)]

    found = by_other_times(model.branches_, model.fusion_, windows, spans[:, 0], WINDOW, torch.device("cpu"))
    rows = model.branches_[0].judge.encoder(tensors).numpy().astype(np.float64)
    order = np.arange(len(rows)) * 5 // len(rows)
    for number, row in enumerate(rows):
        own = spans[order == order[number], 0]
        others = [other for other in range(len(rows)) if np.abs(spans[other, 0] - own).min() >= 2 * WINDOW]
        distances = np.sort(np.linalg.norm(rows[others] - row, axis=1))
        assert found[number] == pytest.approx(distances[2], rel=1e-6)
    joined = model.modality_.join(found, spans, 600)
    np.testing.assert_array_equal(model.calibration_scores_, joined)
    ends = model.calibration_ends_
    np.testing.assert_array_equal(ends[spans[:, 1] - 1], found)
    assert np.isnan(np.delete(ends, spans[:, 1] - 1)).all()


@pytest.mark.filterwarnings(MANY)
def test_blocks_calibrate_alone_where_nothing_else_is_left() -> None:
    model = detector(0.1, window=50).fit(seasonal(130, 0))
    assert len(model.calibration_scores_) == len(model.split_.calibration)
    whole = detector(0.1).fit([seasonal(30, seed) for seed in range(20)])
    assert len(whole.calibration_scores_) == 600  # records too short for a block are stretches of time of their own


def test_a_network_that_scores_by_itself_calibrates_on_what_it_has_not_seen() -> None:
    branch = Branch(name="own", encoder=Tiny(), objective=own_score, scorer="objective", training=Training(steps=2))
    model = detector(0.2, branches=(branch,)).fit(seasonal(600, 0))
    assert len(model.calibration_scores_) == len(model.split_.calibration)


@pytest.mark.filterwarnings(MANY)
def test_gaps_in_which_no_suspects_were_looked_for_do_not_calibrate() -> None:
    model = detector(0.1, expected_anomalies=0.05).fit(seasonal(1200, 0))
    assert len(model.split_.gap) > 0
    assert len(model.calibration_scores_) <= 1200 - len(model.split_.gap)


class Tiny(nn.Module):
    width = 3

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WINDOW, 3)

    def forward(self, data: Tensor) -> Tensor:
        return self.linear(data.flatten(1))


class Shrinking(nn.Module):
    """The length of an embedding is its score."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, batch: Any, views: Any, generator: Any) -> Tensor:
        return self.score(batch).mean()

    def score(self, batch: Any) -> Tensor:
        length: Tensor = self.encoder(batch.data).square().sum(dim=1)
        return length


def own_score(encoder: nn.Module) -> nn.Module:
    return Shrinking(encoder)


@pytest.mark.parametrize("scorer", [KNN(k=2, most_rows=50), Centroid(), PerBlock(KNN(k=2), blocks=2)])
def test_a_refilled_scorer_is_one_fitted_on_those_rows_alone(scorer: Any) -> None:
    first, second, new = np.random.default_rng(0).normal(size=(3, 80, 6)).astype(np.float32)
    fitted = type(scorer)(**vars(scorer)).fit(first)
    before = fitted.score(new)
    again, alone = refilled(fitted, second), type(scorer)(**vars(scorer)).fit(second)
    if isinstance(scorer, PerBlock):  # in the units that it has
        expected = (alone.block_scores(new) * alone.units_ / fitted.units_).mean(axis=1)
        np.testing.assert_allclose(again.score(new), expected)
    else:
        np.testing.assert_array_equal(again.score(new), alone.score(new))
    np.testing.assert_array_equal(fitted.score(new), before)


def test_a_refilled_ratio_keeps_its_unit_and_the_labelled_anomalies() -> None:
    first, second, new = np.random.default_rng(0).normal(size=(3, 80, 6)).astype(np.float32)
    fitted = NeighborRatio(k=2, log=True).fit(first, anomalies=new[:5] + 1.0)
    near, far = (KNN(k=k).fit(rows).score(new) for k, rows in ((2, second), (1, new[:5] + 1.0)))
    expected = np.log1p(near / fitted.unit_) - np.log1p(far / fitted.unit_)
    np.testing.assert_allclose(refilled(fitted, second).score(new), expected)
