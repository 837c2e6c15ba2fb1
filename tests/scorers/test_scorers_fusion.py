from __future__ import annotations

import numpy as np
import pytest

from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.scorers import Fusion
from unalike.tails import tail_scores

RNG = np.random.default_rng(0)
REFERENCES = {"a": RNG.normal(size=50), "b": RNG.exponential(size=80)}
SCORES = {"a": RNG.normal(size=20) * 3, "b": RNG.exponential(size=20) * 3}
TAILS = {name: tail_scores(SCORES[name], REFERENCES[name]) for name in SCORES}


def test_sums_the_tails() -> None:
    np.testing.assert_array_equal(Fusion().fit(REFERENCES).score(SCORES), TAILS["a"] + TAILS["b"])


def test_largest_of_the_tails() -> None:
    np.testing.assert_array_equal(Fusion(how="max").fit(REFERENCES).score(SCORES), np.maximum(TAILS["a"], TAILS["b"]))


def test_weights() -> None:
    fused = Fusion(weights={"b": 0.5}).fit(REFERENCES).score(SCORES)
    np.testing.assert_array_equal(fused, TAILS["a"] + 0.5 * TAILS["b"])


def test_units_of_a_branch_do_not_matter() -> None:
    stretched = {"a": REFERENCES["a"] * 1000 + 7, "b": REFERENCES["b"]}
    scores = {"a": SCORES["a"] * 1000 + 7, "b": SCORES["b"]}
    np.testing.assert_allclose(Fusion().fit(stretched).score(scores), Fusion().fit(REFERENCES).score(SCORES), rtol=1e-9)


def test_the_order_of_the_mapping_does_not_matter() -> None:
    backwards = dict(reversed(SCORES.items()))
    fusion = Fusion().fit({**REFERENCES, "c": REFERENCES["a"] / 3})
    given = {"c": SCORES["b"], **SCORES}
    np.testing.assert_array_equal(fusion.score(given), fusion.score(dict(reversed(given.items()))))
    np.testing.assert_array_equal(Fusion().fit(REFERENCES).score(backwards), Fusion().fit(REFERENCES).score(SCORES))


DISTANCES = {"a": np.abs(REFERENCES["a"]) + 1.0, "b": REFERENCES["b"]}


def test_ratios_are_scores_in_units_of_the_median_reference_score() -> None:
    found = Fusion(how="ratio", weights={"b": 0.5}).fit(DISTANCES).score(SCORES)
    units = {name: np.median(values) for name, values in DISTANCES.items()}
    expected = SCORES["a"] / units["a"] + 0.5 * SCORES["b"] / units["b"]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    # They do not level off, as tails do: twice as far is twice as high.
    fusion = Fusion(how="ratio").fit(DISTANCES)
    far = {name: np.array([1e3, 2e3]) for name in SCORES}
    low, high = fusion.score(far)
    assert high == pytest.approx(2.0 * low, rel=1e-14)


def test_the_unit_of_a_branch_drops_out_of_ratios() -> None:
    stretched = {"a": DISTANCES["a"] * 1000, "b": DISTANCES["b"]}
    scores = {"a": SCORES["a"] * 1000, "b": SCORES["b"]}
    found = Fusion(how="ratio").fit(stretched).score(scores)
    np.testing.assert_allclose(found, Fusion(how="ratio").fit(DISTANCES).score(SCORES), rtol=1e-12)


@pytest.mark.parametrize(
    ("reference", "unit"),
    [
        (np.zeros(50), 1.0),
        (np.r_[np.zeros(49), 4.0], 4.0),  # only the largest is known to be no 0
        (np.r_[np.zeros(40), np.full(10, 4.0)], 0.05 * 4.0),
        (np.r_[np.full(40, 1e-9), np.full(10, 4.0)], 0.05 * 4.0),
        (np.r_[np.full(40, 1.0), np.full(10, 4.0)], 1.0),
        (-np.full(50, 3.0), 3.0),
        (np.array([2.5]), 2.5),
    ],
    ids=["all 0", "all but one 0", "mostly 0", "mostly next to 0", "some high", "below 0", "one"],
)
def test_units_are_above_0_whatever_the_reference(reference: np.ndarray, unit: float) -> None:
    fusion = Fusion(how="ratio").fit({"a": reference, "b": np.ones(5)})
    scores = fusion.score({"a": np.array([-1.0, 0.0, 2.0]), "b": np.zeros(3)})
    np.testing.assert_allclose(scores, np.array([-1.0, 0.0, 2.0]) / unit, rtol=1e-12)


def test_ratios_restore_to_the_last_bit() -> None:
    fusion, other = Fusion(how="ratio").fit(DISTANCES), Fusion(how="ratio")
    other.restore(fusion.state())
    np.testing.assert_array_equal(other.score(SCORES), fusion.score(SCORES))


def test_one_branch_keeps_its_units() -> None:
    for how in ("sum", "max", "ratio"):
        fusion = Fusion(how=how, weights={"a": 3.0}).fit({"a": REFERENCES["a"]})  # type: ignore[arg-type]
        np.testing.assert_array_equal(fusion.score({"a": SCORES["a"]}), SCORES["a"])


def test_state_is_flat_and_restores_to_the_last_bit() -> None:
    state = Fusion().fit(REFERENCES).state()
    assert all(isinstance(value, (list, np.ndarray)) for value in state.values())
    other = Fusion()
    other.restore(state)
    np.testing.assert_array_equal(other.score(SCORES), Fusion().fit(REFERENCES).score(SCORES))


def test_errors_teach() -> None:
    fusion = Fusion().fit(REFERENCES)
    with pytest.raises(InvalidInput, match=r"branches \['a', 'b'\]; got \['a'\]"):
        fusion.score({"a": SCORES["a"]})
    with pytest.raises(InvalidInput, match="one value per sample in each branch"):
        fusion.score({"a": SCORES["a"], "b": SCORES["b"][:3]})
    with pytest.raises(InvalidInput, match="'b' does not"):
        Fusion().fit({"a": REFERENCES["a"], "b": np.array([np.nan])})
    with pytest.raises(InvalidInput, match="at least one branch"):
        Fusion().fit({})
    with pytest.raises(InvalidParameter, match=r"must name branches, \['a', 'b'\]; got \['c'\]"):
        Fusion(weights={"c": 1.0}).fit(REFERENCES)
    with pytest.raises(InvalidParameter, match="at least one branch above 0"):
        Fusion(weights={"a": 0.0, "b": 0.0}).fit(REFERENCES)
    with pytest.raises(InvalidParameter, match="at least 0; got -1"):
        Fusion(weights={"a": -1})
    with pytest.raises(InvalidParameter, match="`how` must be"):
        Fusion(how="product")  # type: ignore[arg-type]
    with pytest.raises(NotFitted, match="`Fusion` must be fitted"):
        Fusion().score(SCORES)
