"""Views of texts: what stays, what goes, and that no text is lost on the way."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from unalike import texts, views
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.seeding import RowGenerator

TEXTS = [
    "Dear Ms. Smith, your invoice (No. 42) is overdue!  Please pay.\n",
    "今天的天气很好,我们去公园。",
    "  one",
    "the cat sat on the mat and the dog lay by the door of the house",
    "e\u0301a b\u0308c 👍🏽 naïve Ωmega",
]
LENGTH = 80
SILENT = ["", "   ", "\n"]
EACH = [
    views.DeleteWords(0.5),
    views.ReplaceWords(p=0.5),
    views.MaskSpan(share=0.9),
    views.MaskSpan(share=0.9, mask="[MASK]"),
    views.CropText(0.0),
    views.ShuffleWords(4),
    views.ShuffleAll(),
    views.Splice(),
    views.Salad(),
    views.CharacterNoise(0.5),
    views.SpoilText(),
    views.standard_text_view(),
]
named = pytest.mark.parametrize("view", EACH, ids=repr)


def words_of(text):
    numbers = texts.words(texts.encoded([text], max(len(text), 1)))[0].tolist()
    made = {}
    for letter, number in zip(text, numbers, strict=False):
        if number >= 0:
            made[number] = made.get(number, "") + letter
    return [made[number] for number in sorted(made)]


def viewed(view, given, seed=0, length=LENGTH, known=TEXTS):
    if hasattr(view, "prepare"):
        view = view.prepare(texts.encoded(known, max(map(len, known))))
    return texts.decoded(view(texts.encoded(given, length), RowGenerator(seed, torch.arange(len(given)))))


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(word in rest for word in part)


@pytest.mark.parametrize(
    "view",
    [views.DeleteWords(0.4), views.MaskSpan(share=0.6), views.CropText(0.2)],
    ids=lambda view: type(view).__name__,
)
def test_what_stays_are_words_of_the_text_in_their_order(view):
    for seed in range(20):
        for before, after in zip(TEXTS, viewed(view, TEXTS, seed), strict=True):
            assert is_subsequence(words_of(after), words_of(before))
            assert words_of(after)


def test_a_crop_and_a_masked_span_are_one_run():
    numbered = " ".join(f"w{number}" for number in range(10))
    all_words = words_of(numbered)
    for seed in range(30):
        kept = words_of(viewed(views.CropText(0.3), [numbered], seed)[0])
        at = all_words.index(kept[0])
        assert kept == all_words[at : at + len(kept)]
        assert len(kept) >= 3
        masked = words_of(viewed(views.MaskSpan(share=0.5, mask="hidden"), [numbered], seed)[0])
        place = masked.index("hidden")
        left, right = masked[:place], masked[place + 1 :]
        assert 5 <= len(left) + len(right) <= 9
        assert left == all_words[:place]
        assert right == all_words[10 - len(right) :]


@pytest.mark.parametrize("window", [2, 5])
def test_words_move_by_less_than_the_window_and_none_is_lost(window):
    numbered = " ".join(f"w{number}" for number in range(14))
    furthest = 0
    for seed in range(40):
        moved = words_of(viewed(views.ShuffleWords(window), [numbered], seed)[0])
        steps = [abs(int(word[1:]) - at) for at, word in enumerate(moved)]
        assert sorted(moved) == sorted(words_of(numbered))
        furthest = max(furthest, *steps)
    assert 0 < furthest < window


@pytest.mark.parametrize("view", [views.ShuffleAll(), views.ShuffleWords(5)], ids=repr)
def test_shuffled_texts_have_the_same_words(view):
    for seed in range(10):
        for before, after in zip(TEXTS, viewed(view, TEXTS, seed), strict=True):
            assert Counter(words_of(after)) == Counter(words_of(before))


@named
def test_no_character_is_invented(view):
    known = set("".join(TEXTS)) | set(" [MASK]")
    for seed in range(10):
        assert set("".join(viewed(view, TEXTS, seed))) <= known


@pytest.mark.parametrize(
    "view", [view for view in EACH if not isinstance(view, (views.CharacterNoise, views.SpoilText))], ids=repr
)
def test_words_stay_whole(view):
    known = {word for text in TEXTS for word in words_of(text)} | {"[", "MASK", "]"}
    for seed in range(10):
        for text in viewed(view, TEXTS, seed):
            assert set(words_of(text)) <= known


@named
def test_no_text_becomes_empty_and_silent_ones_stay(view):
    for seed in range(10):
        made = viewed(view, [*TEXTS, "x", "字", *SILENT], seed)
        assert all(words_of(text) for text in made[: len(TEXTS) + 2])
    if not isinstance(view, (views.Splice, views.SpoilText)):  # half of another text makes them speak
        assert made[-3:] == SILENT


@named
def test_a_full_row_is_never_exceeded(view):
    full = ["ab " * 10, "abcdefghij" * 3, "一" * 30, "a" * 29 + "."]
    for seed in range(10):
        for text in viewed(view, full, seed, length=30):
            assert 0 < len(text) <= 30
            assert "\0" not in text


@pytest.mark.parametrize(
    "view",
    [views.DeleteWords(0.0), views.ReplaceWords(p=0.0), views.CropText(1.0), views.CharacterNoise(0.0)],
    ids=repr,
)
def test_with_nothing_to_do_it_gives_the_text_itself(view):
    full = [*TEXTS, *SILENT, " lead and trail ", "x" * LENGTH, "y" * (LENGTH - 1) + " "]
    assert viewed(view, full) == full


def test_the_chance_of_a_word_is_p():
    long = [" ".join(f"w{number}" for number in range(100))] * 40
    kept = [len(words_of(text)) for text in viewed(views.DeleteWords(0.3), long, length=500)]
    assert sum(kept) / 4000 == pytest.approx(0.7, abs=0.03)
    after = viewed(views.ReplaceWords(p=0.3), long, length=700, known=["other"])
    assert sum(words_of(text).count("other") for text in after) / 4000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
def test_words_are_drawn_by_their_frequency(power, share):
    drawn = words_of(viewed(views.Salad(power=power), ["a " * 200], length=1500, known=["often " * 9 + "rare"])[0])
    assert len(drawn) == 200
    assert drawn.count("often") / 200 == pytest.approx(share, abs=0.1)


def test_a_splice_is_half_of_each():
    first, second = "a1 a2 a3 a4 a5 a6", "b1 b2 b3 b4"
    assert viewed(views.Splice(), [first], known=[second]) == ["a1 a2 a3 b3 b4"]


def test_words_that_stood_apart_do_not_grow_together():
    for seed in range(20):
        made = viewed(views.DeleteWords(0.5), ["one,two-three.four"], seed)[0]
        assert set(words_of(made)) <= {"one", "two", "three", "four", ",", "-", "."}


def test_misspelt_texts_keep_most_characters_and_their_spaces():
    text = TEXTS[3]
    made = viewed(views.CharacterNoise(0.1), [text] * 30)
    assert all(one.count(" ") == text.count(" ") for one in made)
    assert len(set(made)) > 20
    same = sum((Counter(one) & Counter(text)).total() for one in made) / (30 * len(text))
    assert 0.85 < same < 1.0


def test_spoiled_texts_are_of_the_kinds_that_are_asked_for():
    shuffled = viewed(views.SpoilText(kinds=("shuffled",)), TEXTS)
    assert [Counter(words_of(text)) for text in shuffled] == [Counter(words_of(text)) for text in TEXTS]


def test_the_order_of_the_training_texts_does_not_count():
    assert viewed(views.Salad(), TEXTS, known=TEXTS) == viewed(views.Salad(), TEXTS, known=TEXTS[::-1])


def test_what_it_refuses():
    data, generator = texts.encoded(TEXTS, LENGTH), RowGenerator(0, torch.arange(len(TEXTS)))
    for view in (views.ReplaceWords(), views.Salad(), views.Splice(), views.SpoilText()):
        with pytest.raises(NotFitted, match="prepare"):
            view(data, generator)
    with pytest.raises(InvalidInput, match="code points"):
        views.DeleteWords()(data.float(), generator)
    wrong = [
        lambda: views.DeleteWords(1.5),
        lambda: views.ShuffleWords(1),
        lambda: views.MaskSpan(mask="\0"),
        lambda: views.ReplaceWords(power=-1.0),
        lambda: views.SpoilText(kinds=("sung",)),
        lambda: views.SpoilText(rate=2.0),
    ]
    for make in wrong:
        with pytest.raises(InvalidParameter, match="must be"):
            make()
