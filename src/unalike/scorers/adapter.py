"""Any outlier detector of PyOD's or scikit-learn's as a scorer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import clone

from unalike.errors import CannotLoad, InvalidInput, InvalidParameter
from unalike.scorers.arrays import checked, require_fitted
from unalike.scorers.reference import reference_scores
from unalike.seeding import derive, isolated
from unalike.types import FloatArray, IntArray

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass
class Outlier:
    """Wraps an outlier detector by its shape.

    Parameters
    ----------
    detector : object
        With ``fit(X)`` and either PyOD's ``decision_function`` and ``decision_scores_`` (higher = more
        anomalous, used as they are) or scikit-learn's ``score_samples``, else ``decision_function`` (lower =
        more anomalous, turned round); so scikit-learn's density models do as well. It is cloned, never fitted.
    seed : int
        For detectors that draw from the global random numbers, which are left as they were.

    Attributes
    ----------
    detector_ : object
        The fitted clone.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one, cross-fit over the rows (0 for a single row).

    Raises
    ------
    InvalidParameter
        When `detector` has not this shape.
    InvalidInput
        When it gives anything but one finite score per row.
    CannotLoad
        By `restore`, when `detector` is not of the class or has not the parameters of the one that was saved.

    Notes
    -----
    Other libraries' detectors have no file format that is safe to load. So the state is the ``(m, d)`` rows that the
    detector was fitted on, and what it is in words; `restore` fits a clone of `detector`, which the user gives anew,
    on the same rows under the same seed. A detector that draws neither from the global random numbers nor by a seed of
    its own will then score otherwise, which `unalike.load` notices.
    """

    detector: Any
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if not is_outlier_detector(self.detector):
            raise InvalidParameter(
                "`detector` must be an object with `fit` and `score_samples` or `decision_function`, as PyOD's and "
                f"scikit-learn's outlier detectors are; got {self.detector!r}. LocalOutlierFactor needs novelty=True."
            )

    def fit(self, embeddings: FloatArray, reference: FloatArray | None = None, groups: IntArray | None = None) -> Self:
        """Fit a clone of the detector on the ``(m, d)`` normal `embeddings` (see `unalike.types.Scorer`)."""
        rows = checked(embeddings).copy()
        self._learn(rows)
        self.reference_scores_: FloatArray = reference_scores(self, rows, reference, groups)
        return self

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64 scores of ``(n, d)`` embeddings, in the detector's units, higher = more anomalous."""
        require_fitted(self, "detector_")
        rows = checked(embeddings, width=self._rows.shape[1], empty=True)
        if len(rows) == 0:
            return np.zeros(0)
        scores = np.asarray(self._raw(_double(rows)), dtype=np.float64)
        if scores.shape != (len(rows),) or not np.isfinite(scores).all():
            raise InvalidInput(
                f"`detector` must give one finite score per row; {type(self.detector).__name__} gave shape "
                f"{scores.shape} for {len(rows)} rows, {int((~np.isfinite(scores)).sum())} of them not finite."
            )
        return scores

    def _raw(self, rows: FloatArray) -> Any:
        if hasattr(self.detector_, "decision_scores_"):
            return self.detector_.decision_function(rows)
        if hasattr(self.detector_, "score_samples"):
            return -self.detector_.score_samples(rows)
        return -self.detector_.decision_function(rows)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "detector_")
        return {
            "rows": self._rows,
            "detector": described(self.detector),
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        _check_alike(described(self.detector), state["detector"])
        self._learn(checked(state["rows"], name="rows"))
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)

    def _learn(self, rows: FloatArray) -> None:
        self.detector_ = clone(self.detector, safe=False)
        with isolated(derive(self.seed, "outlier")):
            self.detector_.fit(_double(rows))
        self._rows = rows


def described(detector: Any) -> dict[str, Any]:
    """Class and parameters of a detector in words, by which a file tells whether it is given the same one again."""
    cls = type(detector)
    # Libraries move their modules about, so only the package counts.
    name = f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"
    parameters = detector.get_params(deep=True) if hasattr(detector, "get_params") else {}
    return {"class": name, "parameters": {key: _ADDRESS.sub("", repr(value)) for key, value in parameters.items()}}


def _check_alike(found: dict[str, Any], stored: dict[str, Any]) -> None:
    """Same class, and no parameter differs; one that only another version of the library has is no difference."""
    common = found["parameters"].keys() & stored["parameters"].keys()
    differing = sorted(name for name in common if found["parameters"][name] != stored["parameters"][name])
    if found["class"] != stored["class"]:
        differing = []
    elif not differing:
        return
    wanted, got = (_told(each, differing) for each in (stored, found))
    raise CannotLoad(
        f"`scorer` must be the detector that the model was fitted with, {wanted}; got {got}. Give load() one of the "
        "same class with the same settings."
    )


def _told(description: dict[str, Any], names: list[str]) -> str:
    parameters = (f"{name}={description['parameters'][name]}" for name in names)
    return f"{description['class']}({', '.join(parameters)})"


def _double(rows: FloatArray) -> FloatArray:
    """Some libraries compute in the precision of their input, and in single a row scores otherwise in a batch."""
    return rows.astype(np.float64, copy=False)


def is_outlier_detector(value: Any) -> bool:
    """Whether `value` has the shape of PyOD's or scikit-learn's outlier detectors."""
    if isinstance(value, type) or not callable(getattr(value, "fit", None)):
        return False
    return hasattr(value, "score_samples") or hasattr(value, "decision_function")
