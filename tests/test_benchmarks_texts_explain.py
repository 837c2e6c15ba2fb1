"""The benchmark of explanations of texts on texts whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import texts_explain
from benchmarks.texts_explain import Planted

TEXT = "The pump, again: is warm。泵"


@pytest.mark.parametrize("many", [1, 2, 4, 12])
def test_planted_words_are_where_they_are_said_to_be(many: int) -> None:
    foreign = [f"word{number}" for number in range(many)]
    for seed in range(20):
        made = Planted.into(TEXT, foreign, np.random.default_rng(seed))
        assert [made.text[start:end] for start, end in made.spans] == foreign
        assert set(made.spans) <= set(texts_explain.words_of(made.text))
        left = made.text
        for word in foreign:
            left = left.replace(f"{word} ", "", 1)
        assert left == TEXT


def test_foreign_words_are_of_anomalies_and_rare_in_training() -> None:
    train = ["the pump is warm"] * 99 + ["casino pump"]
    words, chances = texts_explain.foreign_words(train, ["the casino Jackpot ok", "casino 1234 pump"])
    assert dict(zip(words, chances, strict=True)) == pytest.approx({"Jackpot": 1 / 3, "casino": 2 / 3})


def test_hits_are_counted_among_as_many_as_were_planted() -> None:
    planted = [Planted("a bad day", [(2, 5)]), Planted("bad a worse", [(0, 3), (6, 11)])]
    assert texts_explain.hit_rate([[(2, 5)], [(6, 11), (4, 5), (0, 3)]], planted) == pytest.approx(0.75)
    assert texts_explain.hit_rate([[], []], planted) == 0.0
    known = texts_explain.documents_with(["a day", "a Worse day"])
    assert texts_explain.rarest("bad a worse", known) == [(0, 3), (6, 11), (4, 5)]


def test_the_table_means_over_the_sets_of_a_family() -> None:
    lines = [
        {"data": f"news/{name}", "method": "scratch/1", "reached": "0.8", "hit": hit, "rarest": "0.5", "chance": "0.1",
         "explain_s": "2"}
        for name, hit in (("a", "0.5"), ("b", "1.0"))
    ]  # fmt: skip
    (_, line) = texts_explain.table(lines)
    assert line == ["scratch", "news", "2", "1", "0.80", "75.0%", "50.0%", "10.0%", "2.00"]
