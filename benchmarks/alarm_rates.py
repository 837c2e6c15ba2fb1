"""What thresholds do with fixed scores: false alarms and recall over many random splits.

The scores of normal samples that did not train are divided at random into ``n`` calibration samples and the rest,
many times; false alarms are counted on the rest, recall on all labelled anomalies.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from unalike.errors import CalibrationWarning, UnalikeError
from unalike.thresholds import Conformal, PerEntity, benjamini_hochberg, build_threshold
from unalike.types import FloatArray, IntArray, Threshold

KINDS = ("conformal", "quantile", "extreme-value", "gamma", "lognormal", "adjusted-boxplot", "normal", "mad")
TESTED_KINDS = ("conformal", "extreme-value", "gamma", "normal")
RATES = (0.001, 0.01, 0.05, 0.10)
SIZES = (30, 100, 219, 1000)
LEAST_REST = 30
SPLITS = 100
ENTITY_SPLITS = 20
ENTITY_SIZE = 2_000
DISCOVERY_RATE = 0.10
BATCH, ANOMALIES_IN_BATCH = 200, 20
_LEAST_OF_ENTITY = 50

Values = dict[str, float]


@dataclass(frozen=True)
class Pool:
    """Scores of samples that did not train; higher = more anomalous.

    Parameters
    ----------
    normal, anomalies : ndarray
        ``(n,)`` and ``(a,)``.
    entities, entities_of_anomalies : ndarray, optional
        ``(n,)`` and ``(a,)`` names, where they differ.
    """

    normal: FloatArray
    anomalies: FloatArray
    entities: npt.NDArray[Any] | None = None
    entities_of_anomalies: npt.NDArray[Any] | None = None


def sizes(n: int) -> list[int]:
    """The calibration sizes that leave enough of `n` normal samples to count false alarms on."""
    return [size for size in SIZES if n - size >= LEAST_REST]


def rates(n: int) -> list[float]:
    """A rate of 0.1% is not told from 0 on fewer than 2,000 samples."""
    return [rate for rate in RATES if rate >= 0.01 or n >= 2_000]


def alarm_methods(n: int) -> list[str]:
    """Names of what `alarms` measures with `n` normal samples."""
    return [f"{kind}/{size}/{rate:g}" for size in sizes(n) for kind in KINDS for rate in rates(n - size)]


def alarms(pool: Pool) -> dict[str, Values]:
    """By kind, calibration size and rate: the realised false-alarm rate with its interval, and recall."""
    found: dict[str, Values] = {}
    for size in sizes(len(pool.normal)):
        wanted = rates(len(pool.normal) - size)
        for kind in KINDS:
            per_rate: dict[float, list[tuple[float, float]]] = {rate: [] for rate in wanted}
            for calibration, rest in splits(len(pool.normal), size, SPLITS):
                threshold = fitted(kind, pool.normal[calibration])
                for rate in wanted:
                    per_rate[rate].append(shares(threshold, rate, pool.normal[rest], pool.anomalies))
            found |= {f"{kind}/{size}/{rate:g}": summed(pairs) for rate, pairs in per_rate.items()}
    return found


def discovery_methods(n: int, anomalies: int) -> list[str]:
    """Names of what `discoveries` measures; none without enough samples for a batch."""
    fits = [size for size in SIZES[2:] if n - size >= BATCH - ANOMALIES_IN_BATCH and anomalies >= ANOMALIES_IN_BATCH]
    return [f"{kind}+bh/{size}/{DISCOVERY_RATE:g}" for size in fits for kind in TESTED_KINDS]


def discoveries(pool: Pool) -> dict[str, Values]:
    """Benjamini-Hochberg over batches of 180 normal samples and 20 anomalies.

    ``realised`` is the mean share of the alarms that are false (0 without an alarm), ``recall`` the share of the
    anomalies found.
    """
    found: dict[str, Values] = {}
    for method in discovery_methods(len(pool.normal), len(pool.anomalies)):
        kind, size = method.split("+")[0], int(method.split("/")[1])
        pairs = []
        for number, (calibration, rest) in enumerate(splits(len(pool.normal), size, SPLITS)):
            drawn = np.random.default_rng([1, number]).choice(len(pool.anomalies), ANOMALIES_IN_BATCH, replace=False)
            batch = np.concatenate([pool.normal[rest[: BATCH - ANOMALIES_IN_BATCH]], pool.anomalies[drawn]])
            flagged = benjamini_hochberg(fitted(kind, pool.normal[calibration]).p_values(batch), DISCOVERY_RATE)
            false = int(flagged[:-ANOMALIES_IN_BATCH].sum())
            pairs.append((false / max(int(flagged.sum()), 1), float(flagged[-ANOMALIES_IN_BATCH:].mean())))
        found[method] = summed(pairs)
    return found


def entity_methods() -> list[str]:
    """Names of what `by_entity` measures."""
    return [f"{kind}/{ENTITY_SIZE}/{rate:g}" for kind in ("pooled", "per-entity") for rate in RATES[1:]]


def by_entity(pool: Pool) -> dict[str, Values]:
    """One conformal threshold for all, and one per entity: also the lowest and highest rate of an entity."""
    assert pool.entities is not None
    assert pool.entities_of_anomalies is not None
    found: dict[str, Values] = {}
    made = splits(len(pool.normal), ENTITY_SIZE, ENTITY_SPLITS)
    for method in entity_methods():
        kind, _, rate = method.split("/")
        pairs, flags, entities = [], [], []
        for calibration, rest in made:
            threshold = PerEntity(Conformal(float(rate)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CalibrationWarning)
                threshold.fit(pool.normal[calibration], pool.entities[calibration].tolist())
                own = kind == "per-entity"
                flagged = threshold.is_anomaly(pool.normal[rest], pool.entities[rest].tolist() if own else None)
                hits = threshold.is_anomaly(pool.anomalies, pool.entities_of_anomalies.tolist() if own else None)
            pairs.append((float(flagged.mean()), float(hits.mean())))
            flags.append(flagged)
            entities.append(pool.entities[rest])
        found[method] = {**summed(pairs), **extremes(np.concatenate(flags), np.concatenate(entities))}
    return found


def extremes(flagged: npt.NDArray[np.bool_], entities: npt.NDArray[Any]) -> Values:
    """Lowest and highest share of `flagged` among the entities with enough samples."""
    names, positions, counts = np.unique(entities, return_inverse=True, return_counts=True)
    shares_ = np.bincount(positions, weights=flagged, minlength=len(names)) / counts
    large = shares_[counts >= _LEAST_OF_ENTITY * ENTITY_SPLITS]
    return {"lowest": float(large.min()), "highest": float(large.max())}


def splits(n: int, size: int, number: int) -> list[tuple[IntArray, IntArray]]:
    """Positions of the calibration samples and of the rest, `number` times."""
    orders: Iterator[IntArray] = (np.random.default_rng([0, one]).permutation(n) for one in range(number))
    return [(order[:size], order[size:]) for order in orders]


def fitted(kind: str, scores: FloatArray) -> Threshold:
    """A threshold of the kind; that few samples are few is known here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        return build_threshold(kind).fit(scores)


def shares(threshold: Any, rate: float, normal: FloatArray, anomalies: FloatArray) -> tuple[float, float]:
    """Shares of normal samples and of anomalies above the threshold at `rate`; NaN where it cannot be held."""
    try:
        limit = threshold.at(rate).threshold_
    except UnalikeError:
        return math.nan, math.nan
    return float((normal > limit).mean()), float((anomalies > limit).mean())


def summed(pairs: Sequence[tuple[float, float]]) -> Values:
    """Mean realised rate with its 95% t-interval over splits, and mean recall."""
    realised, recall = np.array(pairs).T
    mean, error = float(realised.mean()), float(realised.std(ddof=1)) / len(pairs) ** 0.5
    reach = float(t.ppf(0.975, len(pairs) - 1)) * error
    return {
        "realised": mean,
        "low": mean - reach,
        "high": mean + reach,
        "recall": float(recall.mean()),
        "lowest": math.nan,
        "highest": math.nan,
    }
