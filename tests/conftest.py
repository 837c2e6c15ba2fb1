"""Small real data that ships with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits

torch.set_num_threads(1)


@dataclass(frozen=True)
class OneClass:
    """Normal training samples, and a test set with labels (1 = anomaly)."""

    train: npt.NDArray[np.float64]
    test: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


def one_class(X: npt.NDArray[np.float64], anomaly: npt.NDArray[np.bool_], seed: int = 0) -> OneClass:
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(~anomaly))
    train, rest = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    test = np.concatenate([rest, np.flatnonzero(anomaly)])
    return OneClass(X[train], X[test], anomaly[test].astype(np.int64))


@pytest.fixture(scope="session")
def breast_cancer() -> OneClass:
    """Benign tumours are normal, malignant ones anomalies; 30 columns."""
    X, y = load_breast_cancer(return_X_y=True)
    return one_class(X, y == 0)


@pytest.fixture(scope="session")
def zeros() -> OneClass:
    """The handwritten digit 0 is normal; (n, 8, 8) in [0, 1]."""
    digits = load_digits()
    return one_class(digits.images / 16.0, digits.target != 0)
