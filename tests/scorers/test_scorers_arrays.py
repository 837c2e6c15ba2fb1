from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from unalike.errors import InvalidInput
from unalike.scorers.arrays import checked, unit_rows


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64"), ("int8", "float64"), ("bool", "float64")],
)
def test_precision_is_kept(dtype: str, kept: str) -> None:
    assert checked(np.ones((2, 3), dtype=dtype)).dtype == kept


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros(3), "one row per sample; got shape (3,)"),
        (np.zeros((3, 0)), "got shape (3, 0)"),
        (np.array([["a"]]), "matrix of numbers"),
        (np.zeros((0, 3)), "at least one row"),
        (np.array([[0.0], [np.nan], [np.inf]]), "NaN or infinity in 2 of 3 rows, first in row 1"),
    ],
)
def test_what_cannot_be_used_is_refused(values: np.ndarray, told: str) -> None:
    with pytest.raises(InvalidInput) as error:
        checked(values)
    assert told in str(error.value)


def test_another_width_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"fitted on, 4; got 3"):
        checked(np.zeros((1, 3)), width=4)


def test_half_squared_distance_of_unit_rows_is_the_cosine_distance() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 50, 7))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(((unit_rows(a) - unit_rows(b)) ** 2).sum(1) / 2, 1 - cosine, atol=1e-14)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_unit_rows_of_any_size(scale: float) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(unit_rows(rows * scale), unit_rows(rows), rtol=1e-13)


def test_a_zero_row_has_a_direction_of_its_own() -> None:
    units = unit_rows(np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]]))
    distances = ((units[:, None] - units) ** 2).sum(-1) / 2
    np.testing.assert_array_equal(distances, [[0, 0, 1], [0, 0, 1], [1, 1, 0]])


def test_the_stage_is_imported_without_torch() -> None:
    code = "import sys, unalike.scorers, unalike.thresholds, unalike.evaluation; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert answer.stdout.strip() == "False"
