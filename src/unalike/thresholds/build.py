"""From what the user wrote to a threshold."""

from __future__ import annotations

import copy
from typing import Any

from unalike import lookup
from unalike.errors import InvalidParameter
from unalike.thresholds import THRESHOLDS
from unalike.types import Threshold


def build_threshold(threshold: Any) -> Threshold:
    """A threshold that may be fitted without changing what the user passed.

    Parameters
    ----------
    threshold : str or object
        A name in `THRESHOLDS` that needs no value, or an object with `fit`, `p_values` and `is_anomaly` (copied).

    Raises
    ------
    InvalidParameter
        An unknown name, ``"fixed"`` without its value, or an object of another shape.
    """
    if isinstance(threshold, str):
        if threshold == "fixed":
            raise InvalidParameter("`threshold` 'fixed' must have its value; got none. Give thresholds.Fixed(value).")
        built: Threshold = lookup.named("threshold", THRESHOLDS, threshold)()
        return built
    verbs = ("fit", "p_values", "is_anomaly")
    if isinstance(threshold, type) or not all(callable(getattr(threshold, verb, None)) for verb in verbs):
        raise InvalidParameter(
            f"`threshold` must be one of {sorted(THRESHOLDS)} or an object with `fit`, `p_values` and `is_anomaly`, "
            f"such as thresholds.Conformal(false_alarm_rate=0.01); got {threshold!r}."
        )
    copied: Threshold = copy.deepcopy(threshold)
    return copied
