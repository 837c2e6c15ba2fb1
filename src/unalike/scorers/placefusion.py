"""Images that are judged place by place, by the nearest patches and by what is usual at each place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from unalike.data import evenly
from unalike.errors import InvalidParameter
from unalike.plain import is_number
from unalike.scorers.arrays import require_choice, require_fitted
from unalike.scorers.patches import PatchBank
from unalike.scorers.placegaussians import PlaceGaussians
from unalike.scorers.places import LARGEST_REFERENCE, SomePlaces, check_top, held, joined
from unalike.types import FloatArray, IntArray, PlaceEmbeddings

_BANK, _GAUSSIANS = "bank_", "gaussians_"


@dataclass(kw_only=True)
class PlaceFusion:
    """Score = mean of an image's highest places, each a sum of two distances in multiples of the usual one.

    One asks whether a patch occurs on normal images, the other whether it belongs where it is. They miss different
    defects (docs/decisions/0012).

    Parameters
    ----------
    bank : PatchBank
        Its `top` and `pictured` do not count.
    gaussians : PlaceGaussians
        Nor do its.
    weight : float
        Of the Gaussians' part; that of the bank is 1.
    top : int or float
        As in `PatchBank`.
    pictured : bool
        As in `PatchBank`.

    Attributes
    ----------
    bank_, gaussians_
        The fitted ones.
    units_ : tuple of float
        The median distance of a place of normal images that are not in the bank, to the bank and under the Gaussians.
    reference_scores_ : ndarray
        As in `PatchBank`.

    Raises
    ------
    InvalidParameter
        A setting out of range.
    """

    bank: PatchBank = field(default_factory=PatchBank)
    gaussians: PlaceGaussians = field(default_factory=PlaceGaussians)
    weight: float = 1.0
    top: int | float = 0.05
    pictured: bool = True

    judges_places: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, kind in (("bank", PatchBank), ("gaussians", PlaceGaussians)):
            if not isinstance(getattr(self, name), kind):
                raise InvalidParameter(f"`{name}` must be a {kind.__name__}; got {getattr(self, name)!r}.")
        check_top(self.top)
        require_choice("pictured", self.pictured, (True, False))
        if not is_number(self.weight) or not 0.0 < self.weight < np.inf:
            raise InvalidParameter(f"`weight` must be a number above 0; got {self.weight!r}. Try 1.")

    def fit(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> Self:
        """Fit both on the places of ``n`` normal images, and score the reference."""
        embeddings = held(embeddings)
        reference = None if reference is None else held(reference)
        self.bank_, self.gaussians_ = replace(self.bank), replace(self.gaussians)
        near = self.bank_.fit_places(embeddings, reference, groups)
        usual = self.gaussians_.fit_places(embeddings, reference, groups)
        self.bank_.reference_scores_, self.gaussians_.reference_scores_ = self.joined(near), self.joined(usual)
        self.units_: tuple[float, float] = (_unit(near), _unit(usual))
        self.reference_scores_: FloatArray = self.joined(self._added(near, usual))
        return self

    def score(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n,)`` float64 scores of ``n`` images; at least 0."""
        return self.joined(self.places(embeddings))

    def places(self, embeddings: PlaceEmbeddings) -> FloatArray:
        """``(n, places)`` float64 scores of places."""
        require_fitted(self, "units_")
        embeddings = held(embeddings)
        return self._added(self.bank_.places(embeddings), self.gaussians_.places(embeddings))

    def absorb(self, embeddings: PlaceEmbeddings, groups: IntArray | None = None) -> FloatArray:
        """Let the bank take in held-out images (`PatchBank.absorb`); ``(n,)`` scores of each without its own places.

        The Gaussians and units stay, so that a score can only fall as the bank grows.
        """
        require_fitted(self, "units_")
        embeddings = held(embeddings)
        near = self.bank_.absorb_places(embeddings, groups)
        return self.joined(self._added(near, self.gaussians_.places(embeddings)))

    @property
    def absorbed_(self) -> int:
        """How many of the bank's last rows were absorbed."""
        return self.bank_.absorbed_

    def robust(self) -> Self:
        """As `PatchBank.robust`."""
        return replace(self, bank=self.bank.robust())

    def add(
        self, embeddings: PlaceEmbeddings, reference: PlaceEmbeddings | None = None, groups: IntArray | None = None
    ) -> Self:
        """Take ``n`` new normal images into both, as `PatchBank.add`; units stay."""
        require_fitted(self, "units_")
        embeddings = held(embeddings)
        self.bank_.forget_absorbed()
        new = None
        if reference is None:
            new = self.score(SomePlaces(embeddings, evenly(len(embeddings), LARGEST_REFERENCE)))
        self.bank_.add_places(embeddings)
        self.gaussians_.add_places(embeddings)
        if reference is not None:
            self.reference_scores_ = self.score(reference)
        elif new is not None:
            self.reference_scores_ = np.concatenate([self.reference_scores_, new])
        return self

    def joined(self, places: FloatArray) -> FloatArray:
        """``(n,)``: what `score` makes of ``(n, places)`` scores of places; each image as if it came alone."""
        return joined(places, self.top)

    def state(self) -> dict[str, Any]:
        require_fitted(self, "units_")
        return {
            **{f"{_BANK}{name}": value for name, value in self.bank_.state().items()},
            **{f"{_GAUSSIANS}{name}": value for name, value in self.gaussians_.state().items()},
            "units": list(self.units_),
            "reference_scores": self.reference_scores_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.bank_, self.gaussians_ = replace(self.bank), replace(self.gaussians)
        for scorer, prefix in ((self.bank_, _BANK), (self.gaussians_, _GAUSSIANS)):
            scorer.restore({name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)})
        near, usual = state["units"]
        self.units_ = (float(near), float(usual))
        self.reference_scores_ = np.asarray(state["reference_scores"], dtype=np.float64)

    def _added(self, near: FloatArray, usual: FloatArray) -> FloatArray:
        return near / self.units_[0] + self.weight * (usual / self.units_[1])


def _unit(places: FloatArray) -> float:
    """The median, or where that is 0 the mean, or 1."""
    return float(np.median(places)) or float(places.mean()) or 1.0
