from __future__ import annotations

import numpy as np
import pytest

from unalike.modalities.prints import step_prints


def test_prints_are_equal_exactly_where_the_steps_before_are_equal() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, (4000, 2)).astype(float)
    prints = step_prints(values, 3)
    known: dict[bytes, int] = {}
    for step in range(2, len(values)):
        window = values[step - 2 : step + 1].tobytes()
        assert known.setdefault(window, int(prints[step])) == prints[step]
    assert len(set(known.values())) == len(known) == 64


@pytest.mark.parametrize("length", [1, 5, 50, 400])
def test_a_piece_of_a_record_has_its_prints(length: int) -> None:
    values = np.random.default_rng(0).normal(size=(300, 3))
    values[7] = np.nan
    whole, piece = step_prints(values, length), step_prints(values[100:], length)
    if length <= 200:
        assert np.array_equal(whole[100 + length - 1 :], piece[length - 1 :])
    assert length == 1 or whole[100] != piece[0]


def test_channels_are_not_exchangeable_and_zeros_have_no_sign() -> None:
    values = np.array([[1.0, 2.0], [0.0, 3.0]])
    assert (step_prints(values, 1) != step_prints(values[:, ::-1], 1)).all()
    assert np.array_equal(step_prints(values, 1), step_prints(np.array([[1.0, 2.0], [-0.0, 3.0]]), 1))
    assert len(step_prints(values[:0], 4)) == 0
