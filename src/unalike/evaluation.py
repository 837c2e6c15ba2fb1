"""How good are scores and decisions on labelled samples?

Every number comes with a 95% interval from a stratified bootstrap: normals and anomalies are resampled apart,
so that each resample has as many of both as the data (Efron and Tibshirani, "An introduction to the bootstrap",
1993). The scores are sorted once; a resample is a vector of counts, and each metric a sum over cumulated counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.errors import InvalidInput, InvalidParameter
from unalike.seeding import numpy_generator
from unalike.types import BoolArray, FloatArray, IntArray

Counts = npt.NDArray[np.int64]

_CELLS_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 95% bootstrap interval (percentiles); NaN ends where there was no bootstrap."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `evaluate` measured.

    Parameters
    ----------
    n_normal, n_anomalies : int
        Samples of each kind.
    rate : float
        The false-alarm rate at which `recall_at_rate` was taken.
    auroc : Estimate
        Area under the ROC curve: the probability that an anomaly scores above a normal sample, ties half.
    auprc : Estimate
        Average precision, ``sum (recall_i - recall_{i-1}) precision_i`` over distinct scores. Its chance level is
        the share of anomalies.
    f1 : Estimate
        F1 when exactly as many samples are flagged as there are anomalies; precision and recall then equal it.
        Samples that tie at the edge count by their expectation over a random order of the tie.
    recall_at_rate : Estimate
        Share of anomalies strictly above the score that at most `rate` of the *test* normals are strictly above.
    realised_rate, realised_recall : Estimate or None
        Share of normals and of anomalies that the given decisions flag; None without decisions. When none or all
        are flagged the bootstrap cannot vary: its interval then has no width, and says too much.
    """

    n_normal: int
    n_anomalies: int
    rate: float
    auroc: Estimate
    auprc: Estimate
    f1: Estimate
    recall_at_rate: Estimate
    realised_rate: Estimate | None = None
    realised_recall: Estimate | None = None

    def estimates(self) -> dict[str, Estimate]:
        """Name to estimate, of what was measured."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Estimate)}

    def to_dict(self) -> dict[str, float]:
        """Flat and ready for JSON: ``auroc``, ``auroc_low``, ``auroc_high`` and so on."""
        row: dict[str, float] = {"n_normal": self.n_normal, "n_anomalies": self.n_anomalies, "rate": self.rate}
        for name, estimate in self.estimates().items():
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return row

    def table(self) -> str:
        """The same as text, one line per metric."""
        return table({"value [95% interval]": self})


def evaluate(
    scores: FloatArray,
    labels: IntArray | BoolArray,
    *,
    is_anomaly: BoolArray | None = None,
    false_alarm_rate: float = 0.05,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compare scores, and decisions when given, with labels.

    Parameters
    ----------
    scores : array-like
        ``(n,)``, higher = more anomalous; infinite is fine, NaN is not.
    labels : array-like
        ``(n,)``, 1 or True for an anomaly, 0 or False for normal; at least one of each.
    is_anomaly : array-like of bool, optional
        ``(n,)`` decisions.
    false_alarm_rate : float
        In ``(0, 1)``, for `Evaluation.recall_at_rate`.
    n_bootstrap : int
        Resamples; 0 for none.
    seed : int
        Of the resamples.

    Raises
    ------
    InvalidInput
        Lengths that differ, NaN scores, other labels, or samples of one kind only.
    InvalidParameter
        A rate outside ``(0, 1)`` or a negative `n_bootstrap`.

    Examples
    --------
    >>> evaluate([0.1, 0.2, 0.4, 0.3, 0.9], [0, 0, 0, 1, 1], n_bootstrap=0).auroc.value
    0.8333333333333334
    """
    values, truth, flags = _checked(scores, labels, is_anomaly)
    if not 0.0 < false_alarm_rate < 1.0:
        raise InvalidParameter(f"`false_alarm_rate` must be above 0 and below 1; got {false_alarm_rate}.")
    if n_bootstrap < 0:
        raise InvalidParameter(f"`n_bootstrap` must be at least 0; got {n_bootstrap}.")
    order = np.argsort(-values, kind="stable")
    ranked = _Ranked(
        normal=~truth[order],
        ends=np.flatnonzero(np.append(values[order][1:] != values[order][:-1], True)),
        flagged=None if flags is None else flags[order],
        rate=false_alarm_rate,
    )
    measured = ranked.metrics(np.ones((1, len(values)), dtype=np.int64))
    resampled = [ranked.metrics(counts) for counts in _resamples(ranked.normal, n_bootstrap, seed)]
    estimates = {
        name: _estimate(float(value[0]), np.concatenate([part[name] for part in resampled] or [np.zeros(0)]))
        for name, value in measured.items()
    }
    n_anomalies = int(truth.sum())
    return Evaluation(n_normal=len(truth) - n_anomalies, n_anomalies=n_anomalies, rate=false_alarm_rate, **estimates)


def table(evaluations: Mapping[str, Evaluation]) -> str:
    """Evaluations of the same samples side by side: one column each, one line per metric.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        Heading to evaluation, for example ``{"trained": ..., "untrained": ...}``; at least one.
    """
    columns = {heading: evaluation.estimates() for heading, evaluation in evaluations.items()}
    first = next(iter(evaluations.values()))
    names = {
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "f1": "F1 at the true rate",
        "recall_at_rate": f"recall at {first.rate:.3g} false alarms",
        "realised_rate": "realised false-alarm rate",
        "realised_recall": "realised recall",
    }
    shown = [name for name in names if any(name in column for column in columns.values())]
    rows = [[f"{first.n_normal} normal, {first.n_anomalies} anomalous", *columns]]
    rows += [[names[name], *(str(column.get(name, "-")) for column in columns.values())] for name in shown]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Samples in order of falling score; `ends` are the last places of runs of equal scores."""

    normal: BoolArray
    ends: IntArray
    flagged: BoolArray | None
    rate: float

    def metrics(self, counts: Counts) -> dict[str, FloatArray]:
        """Each metric ``(b,)`` for ``(b, n)`` counts of how often each sample was drawn."""
        above_true = np.cumsum(np.where(self.normal, 0, counts), axis=1)[:, self.ends]
        above_false = np.cumsum(np.where(self.normal, counts, 0), axis=1)[:, self.ends]
        found = {
            "auroc": _auroc(above_true, above_false),
            "auprc": _average_precision(above_true, above_false),
            "f1": _f1_at_true_rate(above_true, above_false),
            "recall_at_rate": _recall_at_rate(above_true, above_false, self.rate),
        }
        if self.flagged is not None:
            for name, kind in (("realised_rate", self.normal), ("realised_recall", ~self.normal)):
                found[name] = counts[:, kind & self.flagged].sum(axis=1) / counts[:, kind].sum(axis=1)
        return found


def _auroc(true: Counts, false: Counts) -> FloatArray:
    """Trapezoids over ``(b, runs)`` cumulated counts of anomalies and normals."""
    width = np.diff(false, axis=1, prepend=0)
    height = true - np.diff(true, axis=1, prepend=0) / 2.0
    return np.asarray((width * height).sum(axis=1) / (true[:, -1] * false[:, -1]))


def _average_precision(true: Counts, false: Counts) -> FloatArray:
    # Before the first drawn sample nothing is found and the precision is 0/0; it weighs nothing there.
    precision = true / np.maximum(true + false, 1)
    return np.asarray((np.diff(true, axis=1, prepend=0) * precision).sum(axis=1) / true[:, -1])


def _f1_at_true_rate(true: Counts, false: Counts) -> FloatArray:
    flagged = true + false
    wanted = true[:, -1]
    edge = (flagged >= wanted[:, None]).argmax(axis=1)
    true_before, flagged_before = _before(true, edge), _before(flagged, edge)
    rows = np.arange(len(true))
    share = (wanted - flagged_before) / (flagged[rows, edge] - flagged_before)
    return np.asarray((true_before + share * (true[rows, edge] - true_before)) / wanted)


def _recall_at_rate(true: Counts, false: Counts, rate: float) -> FloatArray:
    allowed = np.floor(rate * false[:, -1] * (1.0 + 1e-12))
    edge = (false > allowed[:, None]).argmax(axis=1)
    return np.asarray(_before(true, edge) / true[:, -1])


def _before(cumulated: Counts, edge: IntArray) -> Counts:
    """``(b,)`` what had been counted before run `edge`."""
    rows = np.arange(len(cumulated))
    return np.where(edge > 0, cumulated[rows, np.maximum(edge - 1, 0)], 0)


def _resamples(normal: BoolArray, n_bootstrap: int, seed: int) -> Iterator[Counts]:
    """``(b, n)`` counts, some resamples at a time so that memory stays bounded."""
    generator = numpy_generator(seed, "bootstrap")
    n = len(normal)
    step = max(_CELLS_AT_ONCE // n, 1)
    for start in range(0, n_bootstrap, step):
        size = min(step, n_bootstrap - start)
        counts = np.zeros((size, n), dtype=np.int64)
        for kind in (normal, ~normal):
            places = np.flatnonzero(kind)
            drawn = places[generator.integers(len(places), size=(size, len(places)))]
            counts += np.bincount((drawn + n * np.arange(size)[:, None]).reshape(-1), minlength=size * n).reshape(
                size, n
            )
        yield counts


def _estimate(value: float, resampled: FloatArray) -> Estimate:
    if len(resampled) == 0:
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))


def _checked(scores: Any, labels: Any, is_anomaly: Any) -> tuple[FloatArray, BoolArray, BoolArray | None]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise InvalidInput(f"`scores` must be one number per sample, not NaN; got shape {values.shape}.")
    truth = _flags("labels", labels, len(values))
    if truth.all() or not truth.any():
        kind = "anomalies" if truth.any() else "normal samples"
        raise InvalidInput(
            f"`labels` must hold normal samples (0) and anomalies (1), to tell them apart; got {len(truth)} {kind} "
            "only. Add labelled samples of the other kind."
        )
    return values, truth, None if is_anomaly is None else _flags("is_anomaly", is_anomaly, len(values))


def _flags(name: str, given: Any, n: int) -> BoolArray:
    flags = np.asarray(given)
    if flags.shape != (n,):
        raise InvalidInput(f"`{name}` must have one value per score, {n}; got shape {flags.shape}.")
    if n and (flags.dtype.kind not in "biuf" or not np.isin(flags, (0, 1)).all()):
        raise InvalidInput(f"`{name}` must be 1 or True for an anomaly and 0 or False else; got other values.")
    return flags.astype(np.bool_)
