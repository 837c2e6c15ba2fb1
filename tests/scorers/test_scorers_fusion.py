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


def test_one_branch_keeps_its_units() -> None:
    for how in ("sum", "max"):
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
