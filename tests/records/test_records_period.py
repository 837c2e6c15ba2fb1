from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from unalike.records import collected
from unalike.records.period import FALLBACK, autocorrelation, dominant_period, period_of

nan = float("nan")
Values = npt.NDArray[np.float64]


def waves(period: float, n: int = 1500, noise: float = 0.1, seed: int = 0) -> Values:
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(n) / period
    return np.sin(phase) + 0.6 * np.cos(2 * phase) + noise * rng.normal(size=n)


def walk(n: int, seed: int) -> Values:
    return np.random.default_rng(seed).normal(size=n).cumsum()


def test_the_autocorrelation_is_as_a_slow_twin_makes_it() -> None:
    level = waves(17, n=120)
    level -= level.mean()
    level[[5, 6, 7, 60]] = nan
    slow = []
    for lag in range(41):
        products = [a * b for a, b in zip(level, level[lag:], strict=False) if not np.isnan(a * b)]
        slow.append(np.mean(products))
    np.testing.assert_allclose(autocorrelation(level, 40), np.array(slow) / slow[0], atol=1e-12)


@pytest.mark.parametrize("period", [6, 17, 24, 48, 125, 288])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_periods_are_found(period: int, noise: float) -> None:
    found = dominant_period(waves(period, noise=noise))
    assert found is not None
    assert abs(found - period) <= max(1, 0.02 * period)


def test_the_highest_peak_of_a_clean_series_is_that_of_tsb_ad() -> None:
    """`find_length_rank` of TSB-AD 1.5: the highest local maximum of the autocorrelation from lag 4 on."""
    rng = np.random.default_rng(0)
    for period in (20, 37, 90):
        shape = rng.normal(size=period).cumsum()
        x = np.tile(shape - np.linspace(0, shape[-1] - shape[0], period), 3000 // period)
        level = x - x.mean()
        theirs = np.array([(level[: len(x) - lag] * level[lag:]).sum() for lag in range(401)])[3:]
        peaks = [lag for lag in range(1, 397) if theirs[lag] > max(theirs[lag - 1], theirs[lag + 1])]
        assert dominant_period(x) == max(peaks, key=lambda lag: theirs[lag]) + 3 == period


def test_unit_shift_trend_missing_steps_and_glitches_change_nothing() -> None:
    x = waves(48)
    rng = np.random.default_rng(1)
    holes = x.copy()
    holes[rng.choice(len(x), 500, replace=False)] = nan
    holes[400:600] = nan
    glitch = x.copy()
    glitch[[100, 700]] = 1e9
    for changed in (x * 1e-6, 1e6 + x, -x, x + np.linspace(0, 50, len(x)), holes, glitch):
        assert dominant_period(changed) == dominant_period(x) == 48


def test_sparse_spikes_are_a_period_too() -> None:
    beats = np.zeros(3000)
    beats[::75] = 1.0
    assert dominant_period(beats + 0.02 * np.random.default_rng(0).normal(size=3000)) == 75


def test_where_there_is_no_period_there_is_none() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 5, 30, 1000):
        assert dominant_period(rng.normal(size=n)) is None
        assert dominant_period(np.full(n, 3.3)) is None
        assert dominant_period(np.full(n, nan)) is None
        assert dominant_period(np.arange(float(n))) is None
    assert sum(dominant_period(rng.normal(size=500)) is not None for _ in range(50)) <= 2
    assert sum(dominant_period(walk(1000, seed)) is not None for seed in range(50)) <= 4
    assert dominant_period(waves(48, n=100)) is None  # not often enough to tell


def test_bounds() -> None:
    x = waves(48)
    assert dominant_period(x, most=40) is None
    found = dominant_period(x, least=60)
    assert found == 96
    assert dominant_period(waves(400, n=3000, noise=0.0)) is None
    assert dominant_period(waves(400, n=3000, noise=0.0), most=600) == 400


def test_of_records_it_is_the_median_of_those_that_have_one() -> None:
    rng = np.random.default_rng(0)
    X = np.stack([waves(24), waves(30, seed=1), waves(48, seed=2), rng.normal(size=1500), np.zeros(1500)], axis=1)
    assert period_of(collected(X)) == 30
    assert period_of(collected({"a": X, "b": X[:40]})) == 30


def test_without_a_period_it_is_the_fallback() -> None:
    rng = np.random.default_rng(0)
    assert period_of(collected(rng.normal(size=3000))) == FALLBACK
    assert period_of(collected(rng.normal(size=3000)), fallback=64) == 64
    assert period_of(collected([1.0])) == FALLBACK
