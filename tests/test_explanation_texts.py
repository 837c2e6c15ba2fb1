"""Explanations of texts: planted words are named where they stand, at a bounded cost, in any script."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unalike import Detector, load, save, scorers, texts
from unalike.decisions import Explanations
from unalike.encoders.lexical import Lexical
from unalike.errors import InvalidInput, InvalidParameter
from unalike.explanation import marked, words, write_marked
from unalike.explanation.documents import documents
from unalike.modalities import Text
from unalike.scorers import KNN
from unalike.types import Branch

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")

LEXICAL = Branch(name="lexical", encoder=Lexical(width=512), scorer=KNN(k=3))
ORDER = Branch(name="order", encoder=Lexical(words=(2, 2), width=256), scorer=KNN(k=3))
NORMAL = ["the", "pump", "valve", "motor", "is", "was", "runs", "stays", "warm", "dry", "quiet", "slow", "now", "since"]
FOREIGN = ("casino", "jackpot", "lottery", "bitcoin")
CHINESE = ["水泵温度正常", "电机运行稳定", "今天检查记录", "阀门压力正常", "中午停机维护"]


def split(text: str) -> list[str]:
    """Its words, by the spans of a document of one part."""
    numbers = texts.words(texts.encoded([text], len(text)))[0].tolist()
    return ["".join(text[at] for at in range(len(text)) if numbers[at] == word) for word in range(max(numbers) + 1)]


def normal_text(rng: np.random.Generator, size: int = 9) -> list[str]:
    return rng.choice(NORMAL, size).tolist()


def normal(n: int, seed: int = 0, size: int = 9) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(normal_text(rng, size)) + "." for _ in range(n)]


def planted(n: int, foreign: tuple[str, ...], seed: int = 1, size: int = 9) -> list[str]:
    """Normal texts with all of the foreign words, each at a random place."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        text = normal_text(rng, size)
        for word in foreign:
            text.insert(int(rng.integers(len(text) + 1)), word)
        made.append(" ".join(text) + ".")
    return made


def fitted(X: Any, *branches: Branch, **settings: Any) -> Detector:
    return Detector(Text(**settings), branches=branches or (LEXICAL,), random_state=0).fit(X)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return fitted(normal(200))


def spans_are_right(explained: Explanations, given: list[str]) -> bool:
    return all(
        part.at is not None and text[part.at[0] : part.at[1]] == part.value
        for sample, text in zip(explained, given, strict=True)
        for part in sample.parts
    )


@pytest.mark.parametrize(("many", "least"), [(1, 0.95), (2, 0.8), (4, 0.75)])
@pytest.mark.parametrize("branches", [(LEXICAL,), (LEXICAL, ORDER)], ids=["one branch", "two"])
def test_planted_words_stand_first_where_they_are_in_the_text(
    many: int, least: float, branches: tuple[Branch, ...]
) -> None:
    given = planted(12, FOREIGN[:many])
    explained = fitted(normal(200), *branches).explain(given)
    hits = [len({part.value for part in one.parts[:many]} & set(FOREIGN[:many])) / many for one in explained]
    assert np.mean(hits) >= least
    assert spans_are_right(explained, given)


def test_shares_the_score_and_the_picture_agree(detector: Detector) -> None:
    given = [*planted(6, FOREIGN[:2]), *normal(6, seed=9)]
    explained = detector.explain(given, most_places=3)
    np.testing.assert_allclose([one.score for one in explained], detector.anomaly_scores(given), rtol=1e-12)
    for one, text in zip(explained, given, strict=True):
        shares = [part.share for part in one.parts]
        assert len(shares) <= 3
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.0 + 1e-12
        assert min(shares, default=1.0) > 0.0
        assert one.picture is not None
        expected = np.zeros(len(text))
        for part in one.parts:
            expected[slice(*part.at)] = part.share
        np.testing.assert_array_equal(one.picture, expected)


def test_without_is_the_score_of_the_text_without_these_words(detector: Detector) -> None:
    (text,) = planted(1, FOREIGN[:2])
    (one,) = detector.explain([text], most_places=2)
    for gone in (1, 2):
        left = text
        for part in sorted(one.parts[:gone], key=lambda part: -part.at[0]):
            assert part.at is not None
            left = left[: part.at[0]] + left[part.at[1] :].removeprefix(" ")
        assert one.parts[gone - 1].without == pytest.approx(detector.anomaly_scores([left])[0], rel=1e-6)


def test_a_text_alone_is_explained_as_in_a_batch(detector: Detector) -> None:
    given = [*planted(5, FOREIGN[:2]), *planted(2, FOREIGN[:1], size=120)]
    together = detector.explain(given)
    assert len(together) == len(given)
    for position in range(len(given)):
        (alone,) = detector.explain(given, only=np.array([position]))
        same(alone, together[position])
    mask = np.arange(len(given)) % 2 == 0
    for one, other in zip(detector.explain(given, only=mask), together[::2], strict=True):
        same(one, other)


def same(one: Any, other: Any) -> None:
    assert (one.id, one.nearest) == (other.id, other.nearest)
    assert [(part.place, part.value, part.at) for part in one.parts] == [
        (part.place, part.value, part.at) for part in other.parts
    ]
    np.testing.assert_allclose([part.share for part in one.parts], [part.share for part in other.parts], rtol=1e-6)
    assert one.score == pytest.approx(other.score, rel=1e-6)


def test_a_saved_detector_explains_alike(detector: Detector, tmp_path: Path) -> None:
    save(detector, tmp_path / "a.unalike")
    given = planted(4, FOREIGN[:2])
    before, after = detector.explain(given), load(tmp_path / "a.unalike").explain(given)
    assert [(one.id, one.score, one.parts, one.nearest) for one in before] == [
        (one.id, one.score, one.parts, one.nearest) for one in after
    ]


def test_characters_of_scripts_without_spaces_are_words() -> None:
    rng = np.random.default_rng(0)
    usual = list(dict.fromkeys("，".join(rng.choice(CHINESE, 5)) + "。" for _ in range(250)))[:158]
    given = [text[:13] + "赌" + text[13:] for text in usual[150:]]
    explained = fitted(usual[:150]).explain(given, most_places=1)
    assert sum(one.parts[0].value == "赌" and one.parts[0].at == (13, 14) for one in explained) >= 7
    assert explained[0].parts[0].place == "word 13"


def test_a_word_is_whole_with_its_marks(detector: Detector) -> None:
    given = ["the pump is cafe\u0301s warm", "the pump is Ĳ𝒜x warm"]
    explained = detector.explain(given, most_places=1)
    assert spans_are_right(explained, given)
    assert [one.parts[0].value for one in explained] == ["cafe\u0301s", "Ĳ𝒜x"]


def test_what_a_mask_has_hidden_is_one_word() -> None:
    rng = np.random.default_rng(0)
    train = [f"{' '.join(normal_text(rng))} by {rng.integers(99)}" for _ in range(150)]
    given = ["2024-01-02T03:04:05Z the casino valve is warm by 17", "the pump is warm from 10.0.0.1:8080 by 8"]
    explained = fitted(train, mask="log").explain(given, most_places=3)
    assert spans_are_right(explained, given)
    assert {"2024-01-02T03:04:05Z", "casino"} <= {part.value for part in explained[0].parts}
    assert "10.0.0.1:8080" in {part.value for part in explained[1].parts}


@pytest.mark.parametrize("join_by", ["mean", "worst"])
def test_words_of_long_texts_are_found_in_the_part_that_they_are_in(join_by: str) -> None:
    detector = fitted(normal(200), part=80, join_by=join_by)
    given = planted(6, FOREIGN[:1], size=150)
    explained = detector.explain(given, most_places=1)
    assert spans_are_right(explained, given)
    assert sum(one.parts[0].value == "casino" for one in explained) >= 5


def test_a_cut_through_a_mask_or_a_word_loses_no_place() -> None:
    detector = fitted(normal(200), part=64, mask={"order": "[A-Z]{2}-[0-9]+"})
    for at in range(50, 66):
        text = "x" * at + " AB-1234567 " + "y" * 70
        (document,) = documents(detector.modality_, detector.modality_.check([text]))  # type: ignore[arg-type]
        assert "AB-1234567" in [text[start:end] for start, end in document.spans]
        assert all(end <= start for (_, end), (start, _) in zip(document.spans, document.spans[1:], strict=False))
        assert "".join(text[start:end] for start, end in document.spans) == text.replace(" ", "")


def test_lines_of_sessions_and_of_texts_are_named() -> None:
    rng = np.random.default_rng(0)
    rows = [(" ".join(normal_text(rng, 6)), f"s{row // 3}") for row in range(300)]
    detector = fitted(pd.DataFrame(rows, columns=["line", "session"]), column="line", session="session")
    rows = [*rows[:4], ("the pump casino is warm", "s1"), ("the pump is dry", "s1")]
    given = pd.DataFrame(rows, columns=["line", "session"])
    (one,) = detector.explain(given, only=np.array([1]), most_places=1)
    assert (one.id, one.parts[0].place, one.parts[0].value) == ("s1", "row 4, word 2", "casino")
    (one,) = fitted(normal(200)).explain(["the pump is dry\nthe casino is warm"], most_places=1)
    assert one.parts[0].place == "line 1, word 1"


def test_texts_of_one_word_or_none(detector: Detector) -> None:
    lone, nothing, usual = detector.explain(["casino", "\u200b", "the pump is warm since now."])
    assert [(part.value, part.share, part.at) for part in lone.parts] == [("casino", 1.0, (0, 6))]
    assert nothing.parts == ()
    assert nothing.picture is not None
    assert nothing.picture.shape == (1,)
    assert all(part.share <= 1.0 for part in usual.parts)
    assert len(detector.explain(["a text"], only=[])) == 0


@pytest.mark.parametrize("size", [5, 60, 400, 4000])
def test_the_cost_is_bounded_however_long_the_text(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    counted = []

    def counting(branches: Any, fusion: Any, data: torch.Tensor, device: Any) -> Any:
        counted.append(len(data))
        return scored(branches, fusion, data, device)

    scored = words.encoded_scores
    monkeypatch.setattr(words, "encoded_scores", counting)
    detector.explain(planted(1, FOREIGN[:1], size=size), most_places=4)
    assert sum(counted) <= words.most_scored(4)


def test_what_is_left_is_the_text_without_its_words(detector: Detector) -> None:
    given = ["the pump, (casino) is warm", "泵a温b", "  lead the end  ", "one\ntwo\n\nthree"]
    for document in documents(detector.modality_, detector.modality_.check(given)):  # type: ignore[arg-type]
        kept = split(document.text)
        trials = [(unit,) for unit in range(len(kept))] + [(0, len(kept) - 1)]
        rows, number, part = document.without(trials)
        assert number.tolist() == list(range(len(trials)))
        assert not part.any()
        for row, trial in zip(rows, trials, strict=True):
            (left,) = texts.decoded(row[None])
            assert split(left) == [word for unit, word in enumerate(kept) if unit not in trial]


def test_nearest_are_the_texts_that_are_nearest_without_the_guilty_words() -> None:
    ids = [f"ticket {number}" for number in range(200)]
    detector = fitted(pd.DataFrame({"id": ids, "text": normal(200)}), column="text", id="id")
    given = pd.DataFrame({"id": ["x", "y"], "text": planted(2, FOREIGN[:1])})
    explained = detector.explain(given, most_places=1)
    left = [text.replace("casino ", "").replace(" casino", "") for text in given["text"]]
    both = [*left, *normal(200)]
    embedded = detector.embed(pd.DataFrame({"id": range(len(both)), "text": both}))
    known = np.concatenate([detector.split_.train, detector.split_.calibration])
    for one, own in zip(explained, embedded[:2], strict=True):
        apart = np.linalg.norm(embedded[2 + known] - own, axis=1)
        expected = np.sort(apart)[: len(one.nearest)]
        named = [apart[np.flatnonzero(known == ids.index(name))[0]] for name in one.nearest]
        assert len(set(one.nearest)) == 5
        np.testing.assert_allclose(named, expected, atol=1e-6)


def test_new_texts_in_the_scorer_are_named_too(tmp_path: Path) -> None:
    detector = fitted(normal(100))
    new = ["the lottery pump is warm", "the lottery valve is dry"]
    detector.update(pd.DataFrame({"text": new}), into="scorer", calibration=normal(60, seed=5))
    save(detector, tmp_path / "a.unalike")
    for one in (detector, load(tmp_path / "a.unalike")):
        (found,) = one.explain(["the lottery valve is dry casino"], most_places=1)
        assert found.parts[0].value == "casino"
        assert found.nearest[0] == "1"


def test_scorers_without_neighbours_name_none() -> None:
    detector = fitted(normal(100), Branch(name="centre", encoder=Lexical(width=128), scorer=scorers.Centroid()))
    (one,) = detector.explain(planted(1, FOREIGN[:1]), most_places=1)
    assert one.nearest == ()
    assert one.parts[0].value == "casino"


def test_columns_hold_the_place_in_the_text(detector: Detector) -> None:
    given = planted(2, FOREIGN[:1])
    explained = detector.explain(given, most_places=2)
    columns = explained.to_dict()
    assert list(columns)[-3:] == ["start", "end", "without"]
    by_id = {str(number): text for number, text in enumerate(given)}
    for row in range(len(columns["id"])):
        start, end = int(columns["start"][row]), int(columns["end"][row])
        assert by_id[columns["id"][row]][start:end] == columns["value"][row]
    assert list(explained[:1].to_dict()) == list(columns)


def test_bad_requests_are_refused(detector: Detector) -> None:
    with pytest.raises(InvalidParameter, match="`most_places`"):
        detector.explain(normal(2), most_places=0)
    with pytest.raises(InvalidInput, match="`only`"):
        detector.explain(normal(2), only=[2])


def test_explaining_changes_nothing(detector: Detector) -> None:
    before = copy.deepcopy(detector.memory_)
    first = detector.explain(planted(2, FOREIGN[:2]))
    assert [one.parts for one in detector.explain(planted(2, FOREIGN[:2]))] == [one.parts for one in first]
    np.testing.assert_array_equal(before.ids, detector.memory_.ids)


def test_marked_words_are_escaped_and_nothing_of_the_text_is_lost(detector: Detector, tmp_path: Path) -> None:
    given = ['the <b>casino</b> & "pump" is warm', *planted(1, FOREIGN[:2])]
    explained = detector.explain(given)
    for text, one in zip(given, explained, strict=True):
        html = marked(text, one.parts)
        assert html.count("<mark ") == len(one.parts)
        assert "<b>" not in html
        assert _read(html) == text
    (path,) = write_marked(detector.modality_.check(given), explained, tmp_path / "why")
    page = path.read_text(encoding="utf-8")
    assert all(marked(text, one.parts) in page for text, one in zip(given, explained, strict=True))
    assert "http" not in page.replace("http-equiv", "")
    with pytest.raises(InvalidParameter, match="`pictures`"):
        write_marked(detector.modality_.check(given), explained, path)


def _read(html: str) -> str:
    """The text of marked HTML, without the shares."""
    import re
    from html import unescape

    return unescape(re.sub(r"<small>\d+%</small>|<[^>]*>", "", html))
