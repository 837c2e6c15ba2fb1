"""Small real data that ships with scikit-learn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits

from one_class import OneClass

torch.set_num_threads(1)


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
