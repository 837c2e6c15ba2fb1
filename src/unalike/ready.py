"""The check of what is done with a whole detector: is it one, and has it learned?"""

from __future__ import annotations

from typing import Any

from unalike.detector import Detector
from unalike.errors import InvalidParameter, NotCalibrated, NotFitted


def check_detector(detector: Any, purpose: str, *, calibrated: bool = False) -> None:
    """Refuse what is no fitted detector.

    Parameters
    ----------
    detector : Any
        What the user gave.
    purpose : str
        Such as ``"to be saved"``; told in the error.
    calibrated : bool
        It must have a threshold too.

    Raises
    ------
    InvalidParameter
        It is no `Detector`.
    NotFitted, NotCalibrated
        It has not learned, or has no threshold.
    """
    if not isinstance(detector, Detector):
        raise InvalidParameter(f"`detector` must be a Detector; got {type(detector).__name__}.")
    if not hasattr(detector, "branches_"):
        raise NotFitted(f"`detector` must be fitted {purpose}; it is not. Call `fit` with normal samples first.")
    if calibrated and not hasattr(detector, "threshold_"):
        raise NotCalibrated(
            f"`detector` must be calibrated {purpose}; it is not. Call `calibrate` with normal samples first."
        )
