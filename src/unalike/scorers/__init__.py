"""What judges an embedding: how unlike the normal ones is it?

Any PyOD or scikit-learn outlier detector can stand in: it is wrapped in `Outlier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.scorers.adapter import Outlier
    from unalike.scorers.background import RelativeMahalanobis
    from unalike.scorers.blocks import PerBlock
    from unalike.scorers.boundary import IsolationForest
    from unalike.scorers.density import KernelDensity
    from unalike.scorers.fusion import Fusion
    from unalike.scorers.local import LocalKNN
    from unalike.scorers.mahalanobis import Mahalanobis
    from unalike.scorers.mixture import GaussianMixture
    from unalike.scorers.neighbors import KNN
    from unalike.scorers.noise import NoiseContrast
    from unalike.scorers.objective import ObjectiveScore
    from unalike.scorers.parametric import Centroid
    from unalike.scorers.patches import PatchBank
    from unalike.scorers.placefusion import PlaceFusion
    from unalike.scorers.placegaussians import PlaceGaussians
    from unalike.scorers.ratio import NeighborRatio
    from unalike.scorers.svm import OneClassSVM

SCORERS = {
    "knn": "unalike.scorers.neighbors:KNN",
    "local-knn": "unalike.scorers.local:LocalKNN",
    "centroid": "unalike.scorers.parametric:Centroid",
    "mahalanobis": "unalike.scorers.mahalanobis:Mahalanobis",
    "gaussian-mixture": "unalike.scorers.mixture:GaussianMixture",
    "kernel-density": "unalike.scorers.density:KernelDensity",
    "isolation-forest": "unalike.scorers.boundary:IsolationForest",
    "noise-contrast": "unalike.scorers.noise:NoiseContrast",
    "one-class-svm": "unalike.scorers.svm:OneClassSVM",
    "neighbor-ratio": "unalike.scorers.ratio:NeighborRatio",
    "relative-mahalanobis": "unalike.scorers.background:RelativeMahalanobis",
    "patch-bank": "unalike.scorers.patches:PatchBank",
    "place-gaussians": "unalike.scorers.placegaussians:PlaceGaussians",
    "place-fusion": "unalike.scorers.placefusion:PlaceFusion",
    "objective": "unalike.scorers.objective:ObjectiveScore",
}
"""Names that ``scorer=`` takes. What cannot be made from a name alone is only exported."""

_EXPORTED = {
    **SCORERS,
    "outlier": "unalike.scorers.adapter:Outlier",
    "fusion": "unalike.scorers.fusion:Fusion",
    "per-block": "unalike.scorers.blocks:PerBlock",
}

__all__ = [
    "KNN",
    "SCORERS",
    "Centroid",
    "Fusion",
    "GaussianMixture",
    "IsolationForest",
    "KernelDensity",
    "LocalKNN",
    "Mahalanobis",
    "NeighborRatio",
    "NoiseContrast",
    "ObjectiveScore",
    "OneClassSVM",
    "Outlier",
    "PatchBank",
    "PerBlock",
    "PlaceFusion",
    "PlaceGaussians",
    "RelativeMahalanobis",
]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, _EXPORTED, name)
