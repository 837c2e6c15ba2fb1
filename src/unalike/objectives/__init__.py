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
    from unalike.objectives.channels import ChannelContrast
    from unalike.objectives.csi import CSI
    from unalike.objectives.defects import SyntheticDefect
    from unalike.objectives.icl import ICL
    from unalike.objectives.injected import InjectedContrast
    from unalike.objectives.margin import Triplet
    from unalike.objectives.meanshift import MeanShifted
    from unalike.objectives.moco import MoCo
    from unalike.objectives.paano import PaAno
    from unalike.objectives.places import DefectContrast
    from unalike.objectives.replaced import ReplacedTokens
    from unalike.objectives.simclr import SimCLR
    from unalike.objectives.spoiled import SpoiledContrast
    from unalike.objectives.spoiling import SpoilImage
    from unalike.objectives.supcon import SupCon
    from unalike.objectives.synthetic import SyntheticContrast
    from unalike.objectives.temporal import TemporalContrast
    from unalike.objectives.tokens import TokenPrediction
    from unalike.objectives.triplet import CARLA

NAMES = {
    "carla": "unalike.objectives.triplet:CARLA",
    "channels": "unalike.objectives.channels:ChannelContrast",
    "csi": "unalike.objectives.csi:CSI",
    "defects": "unalike.objectives.places:DefectContrast",
    "icl": "unalike.objectives.icl:ICL",
    "injected": "unalike.objectives.injected:InjectedContrast",
    "mean-shifted": "unalike.objectives.meanshift:MeanShifted",
    "moco": "unalike.objectives.moco:MoCo",
    "paano": "unalike.objectives.paano:PaAno",
    "replaced": "unalike.objectives.replaced:ReplacedTokens",
    "simclr": "unalike.objectives.simclr:SimCLR",
    "spoiled": "unalike.objectives.spoiled:SpoiledContrast",
    "supcon": "unalike.objectives.supcon:SupCon",
    "synthetic-contrast": "unalike.objectives.synthetic:SyntheticContrast",
    "temporal": "unalike.objectives.temporal:TemporalContrast",
    "token-prediction": "unalike.objectives.tokens:TokenPrediction",
    "triplet": "unalike.objectives.margin:Triplet",
}

_TOOLS = {
    "inject-anomalies": "unalike.objectives.anomalies:InjectAnomalies",
    "spoil-image": "unalike.objectives.spoiling:SpoilImage",
    "synthetic-defect": "unalike.objectives.defects:SyntheticDefect",
}

__all__ = [
    "CARLA",
    "CSI",
    "ICL",
    "NAMES",
    "ChannelContrast",
    "DefectContrast",
    "InjectAnomalies",
    "InjectedContrast",
    "MeanShifted",
    "MoCo",
    "PaAno",
    "ReplacedTokens",
    "SimCLR",
    "SpoilImage",
    "SpoiledContrast",
    "SupCon",
    "SyntheticContrast",
    "SyntheticDefect",
    "TemporalContrast",
    "TokenPrediction",
    "Triplet",
]


def __getattr__(name: str) -> Any:
    return exported(__name__, {**NAMES, **_TOOLS}, name)
