"""A few labelled anomalies of texts."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from unalike import Detector, load
from unalike.modalities import Text
from unalike.persistence import save
from unalike.thresholds import Conformal

PUMPS = ("pump", "valve", "pressure", "seal", "leak", "bar", "gasket", "motor")
GAMES = ("striker", "goal", "league", "referee", "penalty", "coach", "keeper", "match")
PLAYS = ("actor", "scene", "stage", "curtain", "theatre", "costume", "script", "applause")
MARKETS = ("shares", "profit", "dividend", "bank", "quarter", "bond", "yield", "rates")


def texts_of(words, n, rng):
    return [" ".join(rng.choice(words, 7)) for _ in range(n)]


def test_a_labelled_kind_is_ranked_above_another_one_that_is_as_far(tmp_path):
    rng = np.random.default_rng(0)
    # Every text has words of pumps, so that distance alone says little.
    normal, games, plays = (
        [f"{own} {rest}" for own, rest in zip(texts_of(PUMPS, n, rng), texts_of(words, n, rng), strict=True)]
        for words, n in ((MARKETS, 90), (GAMES, 25), (PLAYS, 20))
    )
    settings = {"switch_off": ["tokens"], "threshold": Conformal(false_alarm_rate=0.1), "random_state": 0}
    plain = Detector(Text(), **settings).fit(normal[:70])
    taught = Detector(Text(), **settings).fit(normal[:70], anomalies=games[:5])
    assert [branch.settings.name for branch in taught.branches_] == ["lexical", "labelled-lexical"]

    def auroc(detector, anomalies, others):
        return roc_auc_score(
            np.repeat([0, 1], [len(others), len(anomalies)]), detector.anomaly_scores([*others, *anomalies])
        )

    assert auroc(plain, games[5:], plays) < 0.8
    assert auroc(taught, games[5:], plays) > 0.95
    assert auroc(taught, plays, normal[70:]) == auroc(plain, plays, normal[70:]) == 1.0

    path = tmp_path / "taught.unalike"
    save(taught, path)
    np.testing.assert_array_equal(load(path).anomaly_scores(games), taught.anomaly_scores(games))


def test_a_pretrained_model_judges_by_meaning_and_words():
    names = [branch.name for branch in Text(model="a-model").labelled_branches()]
    assert names == ["labelled-meaning", "labelled-lexical"]
    of_default = {branch.name: branch.encoder for branch in Text(model="a-model").branches()}
    encoders = {branch.name: branch.encoder for branch in Text(model="a-model").labelled_branches()}
    # Equal settings: the pretrained network reads each text once for both.
    assert encoders["labelled-meaning"] == of_default["meaning"]
    assert encoders["labelled-lexical"] == of_default["lexical"]
