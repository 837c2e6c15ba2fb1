"""Objectives: how pairs are drawn and what the network pays for them.

Settings by name, from `NAMES`; the losses themselves are pure functions in `unalike.objectives.losses`,
the signs of collapse in `unalike.objectives.metrics`, and `unalike.objectives.build.build_objective`
puts an encoder into any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike.lookup import exported

if TYPE_CHECKING:
    from unalike.objectives.anomalies import InjectAnomalies
    from unalike.objectives.csi import CSI
    from unalike.objectives.icl import ICL
    from unalike.objectives.moco import MoCo
    from unalike.objectives.simclr import SimCLR
    from unalike.objectives.supcon import SupCon
    from unalike.objectives.synthetic import SyntheticContrast

NAMES = {
    "csi": "unalike.objectives.csi:CSI",
    "icl": "unalike.objectives.icl:ICL",
    "moco": "unalike.objectives.moco:MoCo",
    "simclr": "unalike.objectives.simclr:SimCLR",
    "supcon": "unalike.objectives.supcon:SupCon",
    "synthetic-contrast": "unalike.objectives.synthetic:SyntheticContrast",
}

_TOOLS = {"inject-anomalies": "unalike.objectives.anomalies:InjectAnomalies"}

__all__ = ["CSI", "ICL", "NAMES", "InjectAnomalies", "MoCo", "SimCLR", "SupCon", "SyntheticContrast"]


def __getattr__(name: str) -> Any:
    return exported(__name__, {**NAMES, **_TOOLS}, name)
