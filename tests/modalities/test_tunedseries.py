"""The default pipeline of series: it trains, is saved, explained and streamed, and learns from labelled anomalies."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import average_precision_score

from unalike import Detector, load, save
from unalike.encoders import ChannelCNN, RawWindow, WindowCNN
from unalike.errors import InvalidInput, InvalidParameter
from unalike.modalities import Series
from unalike.objectives import ChannelContrast, InjectedContrast
from unalike.scorers import KNN, NeighborRatio, PerBlock
from unalike.seeding import RowGenerator

Array = npt.NDArray[np.float64]
pytestmark = pytest.mark.filterwarnings("ignore:A false-alarm rate of::")

WINDOW = 24
STEPS = 12
MANY = pytest.mark.parametrize("channels", [1, 3])


def waves(n: int, channels: int, seed: int = 0) -> Array:
    rng, t = np.random.default_rng(seed), np.arange(n)[:, None]
    phase = np.arange(channels) + rng.uniform(0.0, 6.0)
    return np.asarray(np.sin(2 * np.pi * t / (WINDOW / 2) + phase) + 0.15 * rng.normal(size=(n, channels)))


def detector(steps: int = STEPS, **settings: Any) -> Detector:
    settings = {"training": {"steps": steps, "batch_size": 32}, "random_state": 0, **settings}
    return Detector(Series(window=WINDOW), **settings)


@cache
def fitted(channels: int) -> Detector:
    return detector().fit(waves(500, channels))


def spoilt(channels: int) -> Array:
    X = waves(300, channels, seed=1)
    X[150:162, 0] += 2.5
    X[40:43], X[80:84, -1] = np.nan, np.nan
    return X


@MANY
def test_branches_are_those_of_the_docstring(channels: int) -> None:
    model = fitted(channels)
    settings = [branch.settings for branch in model.branches_]
    names = [branch.name for branch in settings]
    first = settings[0]
    assert model.fusion_.how == "ratio"
    if channels == 1:
        assert names == ["contrast", "windows", "statistics", "spectrum"]
        assert isinstance(first.encoder, WindowCNN)
        assert isinstance(first.objective, InjectedContrast)
        assert "channel-mix-up" not in first.objective.injection.kinds
        assert settings[1].encoder == RawWindow(center=True)
        assert all(isinstance(branch.scorer, KNN) for branch in settings)
    else:
        assert names == ["contrast", "windows", "statistics"]
        assert isinstance(first.encoder, ChannelCNN)
        assert isinstance(first.objective, ChannelContrast)
        assert [isinstance(branch.scorer, PerBlock) for branch in settings] == [True, True, False]
        assert settings[0].scorer.blocks == channels


@MANY
def test_the_network_trains(channels: int) -> None:
    model = fitted(channels)
    assert list(model.history_) == ["contrast"]
    assert model.history_["contrast"][-1]["step"] == STEPS
    assert all(np.isfinite(row["loss"]) for row in model.history_["contrast"] if row["step"])
    branch = model.branches_[0]
    assert branch.untrained is not None
    before = dict(branch.untrained.encoder.named_parameters())
    moved = [bool((weight != before[name]).any()) for name, weight in branch.judge.encoder.named_parameters()]
    assert moved
    assert all(moved)
    assert all(other.untrained is None for other in model.branches_[1:])


@MANY
def test_it_finds_what_is_odd_and_is_saved_bit_equal(channels: int, tmp_path: Path) -> None:
    model, X = fitted(channels), spoilt(channels)
    scores = model.anomaly_scores(X)
    assert 150 - WINDOW < scores.argmax() < 162 + WINDOW
    loaded = load(save(model, tmp_path / "m.unalike"))
    np.testing.assert_array_equal(loaded.anomaly_scores(X), scores)
    np.testing.assert_array_equal(loaded.embed(X), model.embed(X))
    assert [branch.settings.name for branch in loaded.branches_] == [branch.settings.name for branch in model.branches_]


@MANY
def test_one_seed_has_one_result_and_a_fit_forgets(channels: int) -> None:
    X, train = spoilt(channels), waves(500, channels)
    expected = fitted(channels).anomaly_scores(X)
    np.testing.assert_array_equal(detector().fit(train).anomaly_scores(X), expected)
    again = detector().fit(waves(400, channels, seed=5)[:, :channels]).fit(train)
    np.testing.assert_array_equal(again.anomaly_scores(X), expected)
    assert not np.array_equal(detector(random_state=1).fit(train).anomaly_scores(X), expected)


@MANY
def test_it_streams(channels: int) -> None:
    model, X = fitted(channels), spoilt(channels)
    stream = model.stream()
    told = [stream.push(X[at : at + 70]) for at in range(0, len(X), 70)]
    rest = stream.close()
    final = np.concatenate([*(part.final.scores for part in told), rest.final.scores])
    # A chunk is another batch for the network: equal but for rounding.
    np.testing.assert_allclose(final, model.anomaly_scores(X), rtol=1e-4)


def test_it_explains_which_channel() -> None:
    model, X = fitted(3), waves(120, 3, seed=1)
    X[50:62, 1] += 4.0
    only = np.zeros(120, dtype=bool)
    only[56] = True
    (why,) = model.explain(X, only=only)
    assert why.parts[0].place == str(model.modality_.learned_.channels[1])
    assert why.parts[0].share > 0.5


def test_a_branch_may_be_switched_off() -> None:
    model = detector(switch_off=["contrast"]).fit(waves(500, 1))
    assert [branch.settings.name for branch in model.branches_] == ["windows", "statistics", "spectrum"]
    assert model.history_ == {}


@MANY
def test_views_of_the_default_keep_missing_cells(channels: int) -> None:
    model, X = fitted(channels), spoilt(channels)
    parts, _ = model.modality_.cut(model.modality_.check(X))
    data = model.modality_.tensors(parts)
    seen = model.modality_.view()(data, RowGenerator(0, torch.arange(len(data))))
    assert (seen.isnan() == data.isnan()).all()
    apart = (seen - data).abs().nan_to_num(0.0)
    assert 0.0 < apart.mean() < 0.1  # it stays what it is


# Labelled anomalies


def odd(n: int, channels: int, kind: str, places: list[int], seed: int) -> tuple[Array, Array]:
    """A record with anomalies a window long: a faster wave on top, or a level that is a little higher."""
    X, label = waves(n, channels, seed), np.zeros(n)
    for place in places:
        at = slice(place, place + WINDOW)
        label[at] = 1.0
        X[at, 0] += 0.15 if kind == "level" else 0.2 * np.sin(6.0 * np.pi * np.arange(WINDOW) / 12.0)
    return X, label


def excerpts(channels: int, kind: str, count: int = 5) -> list[Array]:
    return [odd(3 * WINDOW, channels, kind, [WINDOW], 50 + n)[0][WINDOW - 4 : 2 * WINDOW + 4] for n in range(count)]


@MANY
@pytest.mark.parametrize("kind", ["fast", "level"])
def test_labelled_anomalies_make_their_kind_found_and_hardly_cost_others(channels: int, kind: str) -> None:
    train = waves(900, channels)
    plain, told = detector(steps=4).fit(train), detector(steps=4).fit(train, anomalies=excerpts(channels, kind))
    found = {}
    for other in ("fast", "level"):
        X, label = odd(3000, channels, other, list(range(60, 2950, 97)), seed=9)
        found[other] = [average_precision_score(label, model.anomaly_scores(X)) for model in (plain, told)]
    same, unlike = found.pop(kind), *found.values()
    assert same[1] > same[0] + 0.01
    assert unlike[1] > unlike[0] - 0.03
    names = [branch.settings.name for branch in told.branches_]
    assert names == [branch.settings.name for branch in plain.branches_] + ["labelled", "labelled-spectrum"]


def test_the_labelled_windows_are_what_is_compared_with() -> None:
    records = [*excerpts(2, "fast", 2), waves(WINDOW // 2, 2, seed=77) + 5.0]
    model = detector(steps=2).fit(waves(500, 2), anomalies=records)
    checked = model.modality_.check(records)
    parts, _ = model.modality_.cut(checked)
    (branch,) = [branch for branch in model.branches_ if branch.settings.name == "labelled"]
    scorer = branch.judge.scorer
    assert isinstance(scorer, NeighborRatio)
    assert scorer.anomalies_ is not None
    assert len(scorer.anomalies_.bank_) == len(parts)
    assert np.median(scorer.reference_scores_) < 1.05 < np.median(scorer.score(scorer.anomalies_.bank_))
    assert (scorer.reference_scores_ > 0.0).all()


def test_a_detector_with_labels_is_saved_and_streamed(tmp_path: Path) -> None:
    model = detector(steps=2).fit(waves(500, 2), anomalies=excerpts(2, "fast", 3))
    X = spoilt(2)
    expected = model.anomaly_scores(X)
    loaded = load(save(model, tmp_path / "m.unalike"))
    np.testing.assert_array_equal(loaded.anomaly_scores(X), expected)
    stream = loaded.stream()
    final = np.concatenate([stream.push(X).final.scores, stream.close().final.scores])
    np.testing.assert_allclose(final, expected, rtol=1e-4)
    without = detector(steps=2).fit(waves(500, 2))
    assert not np.array_equal(without.anomaly_scores(X), expected)


@pytest.mark.parametrize("anomalies", [waves(40, 3), np.full((40, 2), np.inf), []])
def test_labelled_records_must_be_of_the_same_kind(anomalies: Any) -> None:
    with pytest.raises(InvalidInput, match="`anomalies` must be of the same kind as the training data"):
        detector(steps=2).fit(waves(500, 2), anomalies=anomalies)


def test_someone_must_learn_from_them() -> None:
    off = ["contrast", "labelled", "labelled-spectrum"]
    with pytest.raises(InvalidParameter, match="`anomalies` must have a branch that trains"):
        detector(switch_off=off).fit(waves(500, 1), anomalies=excerpts(1, "fast"))
