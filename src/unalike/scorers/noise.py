"""Normal embeddings told from made-up ones: a contrast in the space of an encoder that stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy import linalg

from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import background_rows, checked, require_count, require_fitted
from unalike.scorers.kernel import in_fixed_order, squared_distances
from unalike.scorers.reference import at_most
from unalike.seeding import numpy_generator
from unalike.types import FloatArray, IntArray

_ZERO = 1.5
"""Above what normal rows are given, so that scores stay above 0, as `Fusion(how="ratio")` needs."""
_LEAST, _MOST = 0.3, 1.1
_ROWS_AT_ONCE = 512


@dataclass(kw_only=True)
class NoiseContrast:
    """Score = 1.5 minus what kernel ridge regression says of normal (1) against made-up embeddings (-1).

    Made up are the rows of a `background`, which the encoder offers by ``background()``
    (`encoders.PretrainedText` makes texts of no topic), and `shifted` normal rows: ``x + a (b - b')`` at the length
    of ``x``, of two background rows and an ``a`` between .3 and 1.1, for what is half normal. Either kind counts as
    much as the other, however many rows it has. The kernel is ``exp(-|x - y|^2 / s)``, ``s`` the median squared
    distance of normal rows. Far from everything the score is 1.5.

    Gutmann and Hyvärinen, "Noise-contrastive estimation", AISTATS 2010: normality is learned by telling data from
    noise; here by least squares, which has a closed form and exact leave-one-out scores.

    Parameters
    ----------
    penalty : float
        Of the ridge, above 0; per row of average weight.
    shifted : int
        How many shifted rows are made.
    most_rows : int
        At most so many normal rows, evenly spaced: time grows with the cube of all rows, 1,000 take seconds.
    seed : int
        Of the shifts.

    Attributes
    ----------
    bank_ : ndarray
        ``(m + b + shifted, d)`` normal and made-up rows.
    weights_ : ndarray
        ``(m + b + shifted,)`` float64, of their kernels.
    squared_scale_ : float
        ``s``.
    reference_scores_ : ndarray
        ``(r,)`` scores of `reference`; without one leave-one-out over the normal rows, whole `groups` when given
        (unless there is only one); of a single row, 0.

    Raises
    ------
    InvalidParameter
        A setting out of range.
    """

    penalty: float = 0.3
    shifted: int = 600
    most_rows: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_number(self.penalty) or not 0.0 < self.penalty < np.inf:
            raise InvalidParameter(f"`penalty` must be a number above 0; got {self.penalty!r}. Try 0.3.")
        require_count("shifted", self.shifted)
        require_count("most_rows", self.most_rows)

    def fit(
        self,
        embeddings: FloatArray,
        reference: FloatArray | None = None,
        groups: IntArray | None = None,
        background: FloatArray | None = None,
    ) -> Self:
        """Learn to tell the ``(m, d)`` normal `embeddings` from the ``(b, d)`` `background` and from shifted rows.

        Parameters
        ----------
        embeddings, reference, groups
            See `unalike.types.Scorer`.
        background : ndarray
            ``(b, d)`` embeddings of what is neither normal nor an anomaly. `Detector` asks the encoder for it.

        Raises
        ------
        InvalidParameter
            There is no `background`.
        """
        rows, groups = at_most(checked(embeddings), groups, self.most_rows)
        self.background_: FloatArray = background_rows(background, rows.shape[1], "KNN")
        left_out = self._learn(rows, groups)
        self.reference_scores_: FloatArray = (
            left_out if reference is None else self.score(checked(reference, name="reference"))
        )
        return self

    def refilled(self, embeddings: FloatArray) -> Self:
        """A scorer with the same background that knows these ``(m, d)`` normal rows alone."""
        require_fitted(self, "background_")
        return replace(self).fit(embeddings, background=self.background_)

    def score(self, embeddings: FloatArray) -> FloatArray:
        """``(n,)`` float64; low for what is like normal rows, above 1.5 for what is like made-up ones."""
        require_fitted(self, "bank_")
        rows = checked(embeddings, width=self.bank_.shape[1], empty=True)
        scores = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            # A sum by row, no product of matrices: one row scores as it does in a batch.
            scores[part] = _ZERO - (self._kernel(rows[part]) * self.weights_).sum(axis=1)
        return scores

    def state(self) -> dict[str, Any]:
        require_fitted(self, "bank_")
        return {
            "bank": self.bank_,
            "weights": self.weights_,
            "squared_scale": self.squared_scale_,
            "background": self.background_,
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.bank_: FloatArray = checked(state["bank"], name="bank")
        self.weights_: FloatArray = np.asarray(state["weights"], dtype=np.float64)
        self.squared_scale_ = float(state["squared_scale"])
        self.background_ = checked(state["background"], name="background")
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)

    def _learn(self, rows: FloatArray, groups: IntArray | None) -> FloatArray:
        """``(m,)`` leave-one-out scores of the normal rows."""
        made_up = np.concatenate([self.background_, self._shifted(rows)]).astype(rows.dtype, copy=False)
        self.bank_ = np.concatenate([rows, made_up])
        between = squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
        middle = float(np.median(between)) if len(between) else 0.0
        # Normal rows that are copies have no distance of their own.
        self.squared_scale_ = middle or float(squared_distances(rows[:1], made_up).mean()) or 1.0
        target = np.repeat([1.0, -1.0], [len(rows), len(made_up)])
        share = np.repeat([len(rows), len(made_up)], [len(rows), len(made_up)]) / (0.5 * len(target))
        inverse = linalg.inv(self._kernel(self.bank_) + self.penalty * np.diag(share), check_finite=False)
        self.weights_ = inverse @ target
        if len(rows) == 1:
            return np.zeros(1)
        codes = np.arange(len(rows)) if groups is None or np.ptp(groups) == 0 else groups
        said = np.empty(len(rows))
        for code in np.unique(codes):
            own = np.flatnonzero(codes == code)
            said[own] = target[own] - np.linalg.solve(inverse[np.ix_(own, own)], self.weights_[own])
        return _ZERO - said

    def _shifted(self, rows: FloatArray) -> FloatArray:
        generator = numpy_generator(self.seed, "noise-contrast")
        ordered, others = in_fixed_order(rows).astype(np.float64), self.background_.astype(np.float64)
        own, one, other = (generator.integers(len(of), size=self.shifted) for of in (ordered, others, others))
        by = generator.uniform(_LEAST, _MOST, size=(self.shifted, 1))
        moved = ordered[own] + by * (others[one] - others[other])
        length, before = (np.linalg.norm(of, axis=1, keepdims=True) for of in (moved, ordered[own]))
        return np.asarray(moved * np.divide(before, length, out=np.ones_like(length), where=length > 0.0))

    def _kernel(self, rows: FloatArray) -> FloatArray:
        return np.asarray(np.exp(-squared_distances(rows, self.bank_) / self.squared_scale_))
