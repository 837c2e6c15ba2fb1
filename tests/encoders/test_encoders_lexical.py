from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from unalike import Detector, load, save, texts, thresholds
from unalike.encoders import Lexical
from unalike.encoders.ngrams import counted
from unalike.errors import InvalidParameter
from unalike.scorers import KNN

WORDS = [
    *("the", "printer", "on", "floor", "two", "does", "not", "start", "again", "please", "reset", "my"),
    *("password", "for", "mail", "account", "and", "calendar"),
]


def tickets(n, seed=0):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, size=random.integers(6, 12))) for _ in range(n)]


def slow_runs(text, words, characters):
    """The runs of one text, one after the other."""
    numbers = texts.words(texts.encoded([text.lower()], len(text.lower())))[0].tolist()
    at = {n: "".join(c for c, own in zip(text.lower(), numbers, strict=True) if own == n) for n in numbers if n >= 0}
    listed = [at[n] for n in sorted(at)]
    found = Counter(
        ("word", *listed[start : start + n])
        for n in range(words[0], words[1] + 1)
        for start in range(len(listed) - n + 1)
    )
    for token in text.lower().split():
        padded = f" {token} "
        found.update(
            ("characters", padded[start : start + n])
            for n in range(characters[0], characters[1] + 1)
            for start in range(len(padded) - n + 1)
            if n > 1 or padded[start] != " "
        )
    return found


ODD = [
    *("Hello, 我爱 don't stop", "a", "  two\t\twords \n", "", " ", "ΣΑΣ ΟΔΟΣ", "İstanbul", "नमस्ते दुनिया", "!?"),
    *("aa aa aa bb", "a", "x" * 90, "😀😀 ok 👩\u200d🚀", "é mark\u0301"),
]


@pytest.mark.parametrize(("words", "characters"), [((1, 2), (2, 4)), ((2, 3), (1, 1)), ((1, 1), (5, 6))])
def test_runs_are_counted_as_one_by_one(words, characters):
    counts = counted(ODD, words, characters)
    for number, text in enumerate(ODD):
        slow = slow_runs(text, words, characters)
        own = counts.text == number
        assert sorted(counts.count[own].tolist()) == sorted(slow.values()), text
        assert counts.kind[own].sum() == sum(run[0] == "characters" for run in slow)
    # Equal runs have equal numbers in whatever text they stand, and different ones different numbers.
    every = set().union(*(slow_runs(text, words, characters) for text in ODD))
    assert len(np.unique(counts.run)) == len(every)
    again = counted(ODD[::-1], words, characters)
    back = len(ODD) - 1 - again.text
    for number in range(len(ODD)):
        np.testing.assert_array_equal(again.run[back == number], counts.run[counts.text == number])


def test_similarities_are_those_of_scikit_learn():
    train, new = tickets(40), tickets(20, seed=1)
    encoder = Lexical(width=2**16).build(None)
    encoder.prepare(texts.encoded(train, 100))
    # Runs of one text count as unseen; scikit-learn keeps all, in the vocabulary of both.
    own = encoder(texts.encoded(new, 100)).numpy() @ encoder(texts.encoded(train, 100)).numpy().T
    other = np.zeros_like(own, dtype=float)
    for kind in ("word", "characters"):

        def analyzer(text, kind=kind):
            return [run for run, n in slow_runs(text, (1, 2), (2, 4)).items() for _ in range(n) if run[0] == kind]

        counts = CountVectorizer(analyzer=analyzer).fit(train + new)
        known = counts.transform(train)
        rare = np.asarray((known > 0).sum(axis=0)).ravel() < 2
        weights = TfidfTransformer(sublinear_tf=True).fit(known)
        weights.idf_ = np.where(rare, np.log(41) + 1.0, weights.idf_)
        other += (weights.transform(counts.transform(new)) @ weights.transform(known).T).toarray() / 2
    # Two runs of a short text in one place are rare, and then move all of its similarities.
    assert np.quantile(np.abs(own - other), 0.95) < 0.003
    assert np.corrcoef(own.ravel(), other.ravel())[0, 1] > 0.999


def test_narrow_embeddings_keep_similarities_but_for_noise():
    train = texts.encoded(tickets(60), 100)
    similar = []
    for width in (1024, 2**17):
        encoder = Lexical(width=width).build(None)
        encoder.prepare(train)
        embeddings = encoder(train).numpy()
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)
        similar.append((embeddings @ embeddings.T)[np.triu_indices(60, 1)])
    assert np.std(similar[0] - similar[1]) < 1.3 / np.sqrt(1024)
    assert abs(np.mean(similar[0] - similar[1])) < 0.01


def test_rare_words_count_more_after_preparing():
    encoder, other = (Lexical(width=2**15, words=(1, 1)).build(None) for _ in range(2))
    common = [f"please {word}" for word in WORDS]
    encoder.prepare(texts.encoded([*common, "floor please", "floor please"], 100))
    pair = texts.encoded(["please floor", "please unheard"], 100)
    before, after = (made(pair).numpy() for made in (other, encoder))
    assert after[0] @ after[1] < before[0] @ before[1]


def test_alone_or_together_embeddings_are_equal_to_the_bit():
    encoder = Lexical().build(None)
    encoder.prepare(texts.encoded(tickets(50), 100))
    data = texts.encoded([*tickets(150, seed=3), *ODD], 100)
    together = encoder(data)
    alone = torch.cat([encoder(row[None]) for row in data])
    assert torch.equal(together, alone)


def test_chinese_texts_are_alike_where_they_share_words():
    encoder = Lexical().build(None)
    made = encoder(texts.encoded(["我的打印机坏了", "打印机又坏了", "今天天气很好"], 60))
    assert made[0] @ made[1] > made[0] @ made[2] + 0.2


def test_preparing_in_pieces_is_preparing_at_once(monkeypatch):
    data = texts.encoded(tickets(400), 100)
    one, other = (Lexical().build(None) for _ in range(2))
    one.prepare(data)
    monkeypatch.setattr("unalike.encoders.lexical._MERGED", 1000)
    other.prepare(data)
    assert torch.equal(one.get_extra_state(), other.get_extra_state())
    assert torch.equal(one(data), other(data))


@pytest.mark.parametrize("settings", [{"words": (2, 1)}, {"characters": (0, 2)}, {"width": 3}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidParameter, match=next(iter(settings))):
        Lexical(**settings)


def test_a_detector_of_words_finds_strange_tickets_and_is_saved_whole(tmp_path):
    settings = {"encoder": "lexical", "objective": "frozen", "scorer": KNN(k=5, metric="cosine", distance="mean")}
    detector = Detector("text", threshold=thresholds.Conformal(false_alarm_rate=0.05), **settings).fit(tickets(200))
    strange = ["buy cheap watches now", "恭喜您中奖了", "zzz qqq xxx"]
    normal = tickets(30, seed=2)
    scores = detector.anomaly_scores([*normal, *strange])
    assert scores[30:].min() > scores[:30].max()
    save(detector, tmp_path / "tickets.unalike")
    again = load(tmp_path / "tickets.unalike")
    np.testing.assert_array_equal(again.anomaly_scores([*normal, *strange]), scores)
    np.testing.assert_array_equal([detector.anomaly_scores([text])[0] for text in strange], scores[30:])
