"""What the fixtures of real data give; apart from conftest.py, whose name more than one folder has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class OneClass:
    """Normal training samples, and a test set with labels (1 = anomaly)."""

    train: npt.NDArray[np.float64]
    test: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
