"""From scores to alarms, on held-out normal data.

A score is an anomaly when it is above `threshold_`, the largest score that is still normal, which is where its
p-value is at most the false-alarm rate. Changing the rate never needs another fit: see ``at(rate)``. Which kind
when, and what each realised on real data: docs/thresholds.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike import lookup

if TYPE_CHECKING:
    from unalike.thresholds.boxplot import AdjustedBoxplot
    from unalike.thresholds.build import build_threshold
    from unalike.thresholds.entities import PerEntity
    from unalike.thresholds.extreme import ExtremeValue
    from unalike.thresholds.fixed import Fixed
    from unalike.thresholds.gaussian import MAD, Normal
    from unalike.thresholds.multiple import benjamini_hochberg
    from unalike.thresholds.ranked import Conformal, Quantile
    from unalike.thresholds.skewed import Gamma, LogNormal

THRESHOLDS = {
    "conformal": "unalike.thresholds.ranked:Conformal",
    "quantile": "unalike.thresholds.ranked:Quantile",
    "normal": "unalike.thresholds.gaussian:Normal",
    "mad": "unalike.thresholds.gaussian:MAD",
    "gamma": "unalike.thresholds.skewed:Gamma",
    "lognormal": "unalike.thresholds.skewed:LogNormal",
    "adjusted-boxplot": "unalike.thresholds.boxplot:AdjustedBoxplot",
    "extreme-value": "unalike.thresholds.extreme:ExtremeValue",
    "per-entity": "unalike.thresholds.entities:PerEntity",
    "fixed": "unalike.thresholds.fixed:Fixed",
}
"""Names that ``threshold=`` takes."""

_EXPORTED = {
    **THRESHOLDS,
    "benjamini-hochberg": "unalike.thresholds.multiple:benjamini_hochberg",
    "build": "unalike.thresholds.build:build_threshold",
}

__all__ = [
    "MAD",
    "THRESHOLDS",
    "AdjustedBoxplot",
    "Conformal",
    "ExtremeValue",
    "Fixed",
    "Gamma",
    "LogNormal",
    "Normal",
    "PerEntity",
    "Quantile",
    "benjamini_hochberg",
    "build_threshold",
]


def __getattr__(name: str) -> Any:
    return lookup.exported(__name__, _EXPORTED, name)
