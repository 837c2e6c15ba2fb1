"""Contrastive token prediction: the loss, the noise, and a score that tells strange texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unalike import Branch, Detector, Training, load, save, texts, thresholds
from unalike.encoders import Raw, TokenContext
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter, NotFitted
from unalike.judging import with_reference
from unalike.objectives import TokenPrediction
from unalike.objectives.build import build_objective
from unalike.parts import Parts
from unalike.scorers import ObjectiveScore
from unalike.seeding import RowGenerator
from unalike.types import Batch, Schema
from unalike.views import DeleteWords, ShuffleAll

LENGTH = 160
TEXT = Schema((LENGTH,), (texts.CODE_POINTS,))
NETWORK = TokenContext(vocabulary=200, width=16, hidden=32)
AS_IT_IS = DeleteWords(0.0)
ENGLISH = (
    ("the", "a", "this", "every"),
    ("old", "small", "red", "broken", "new"),
    ("pump", "valve", "motor", "sensor", "belt"),
    ("in", "of", "near", "behind"),
    ("hall", "line", "cell", "tank"),
    ("needs", "wants", "lacks", "has"),
    ("oil", "power", "repair", "pressure"),
)
CHINESE = (
    ("今天", "昨天", "早上"),
    ("水泵", "阀门", "电机", "皮带"),
    ("需要", "没有", "缺少"),
    ("电", "油", "维修", "压力"),
)
COOKING = "simmer garlic butter until golden then fold whipped cream gently into chocolate batter"


def reports(n, seed=0, grammar=ENGLISH, joint=" "):
    """Sentences of a grammar."""
    rng = np.random.default_rng(seed)
    return [joint.join(rng.choice(words) for words in grammar) for _ in range(n)]


def encoded(several):
    return texts.encoded(list(several), LENGTH)


def made(settings=None, sample=None, **changes):
    sample = encoded(reports(80)) if sample is None else sample
    network = TokenContext(**{"vocabulary": 200, "width": 16, "hidden": 32, **changes})
    module = build_objective(settings or TokenPrediction(), build_encoder(network, TEXT, 0, sample=sample), 0)
    module.prepare(sample)
    with torch.no_grad():  # as after some training
        module.bias.copy_(torch.linspace(-1.0, 1.0, len(module.bias)))
        module.encoder.learned.weight.mul_(5.0)
    return module


def batch_of(data, label=None):
    return Batch(data=data, index=torch.arange(len(data)), label=label)


def draws(n, seed=0):
    return RowGenerator(seed, torch.arange(n))


def twin(module, run, noise):
    """``(t,)`` losses, and those of a token that must not be found, one by one in numpy."""
    encoder = module.encoder
    with torch.no_grad():
        vectors = encoder.vectors(run.ids)
        contexts = encoder.contexts(run, vectors, torch.arange(len(run.ids))).double().numpy()
        every = encoder.vectors(torch.arange(encoder.vocabulary + 1)).double().numpy()
    bias, paid, unpaid = module.bias.detach().double().numpy(), [], []
    for context, number in zip(contexts, run.ids.tolist(), strict=True):
        logits = {other: context @ every[other] / 4.0 + bias[other] for other in {*noise, number}}
        wrong = sum(np.exp(logits[other]) for other in noise if other != number)
        own = np.exp(logits[number])
        paid.append(-np.log(own / (own + wrong)))
        unpaid.append(-np.log(wrong / (own + wrong)))
    return np.array(paid), np.array(unpaid)


def test_the_score_is_the_mean_loss_of_a_slow_twin_over_all_tokens():
    module = made(TokenPrediction(score_noise=20, most_tokens=3))
    given = ["the old pump in line has oil", "reprinted Ω pump", " ".join(reports(4, seed=3)), "", "pump"]
    data = encoded(given)
    run = module.encoder.tokens(data)
    assert int(run.size[2]) == 28  # more than are searched in training
    losses, _ = twin(module, run, module.noise.tolist())
    scores = module.score(batch_of(data)).numpy()
    for row in range(len(given)):
        assert scores[row] == pytest.approx(losses[run.owner.numpy() == row].mean(), rel=1e-4)


def test_the_loss_is_that_of_a_slow_twin_and_anomalies_must_not_be_found():
    module = made(TokenPrediction(noise=12, dropout=0.0))
    data = encoded(reports(3, seed=1))
    run = module.encoder.tokens(data)
    drawn = draws(3)
    drawn.uniform(2, int(run.size.max()))
    noise = module._drawn(drawn, 4).tolist()
    assert len(noise) == 12
    found, not_found = twin(module, run, noise)
    assert module(batch_of(data), AS_IT_IS, draws(3)).item() == pytest.approx(found.mean(), rel=1e-4)
    labels = torch.tensor([0, 1, 0])
    mixed = np.where(run.owner.numpy() == 1, not_found, found).mean()
    assert module(batch_of(data, labels), AS_IT_IS, draws(3)).item() == pytest.approx(mixed, rel=1e-4)


def test_noise_is_drawn_by_frequency_and_by_what_is_common_at_large():
    module = made(TokenPrediction(power=1.0), sample=encoded(["pump pump pump pump pump pump oil oil tank tank"] * 4))
    names = module.encoder.pieces.tokens
    drawn = module._drawn(draws(500), 20)
    assert len(drawn) == 500 * 20
    own, large = (torch.bincount(part, minlength=len(names)) / 5000 for part in drawn.chunk(2))
    assert dict(zip(names, own.tolist(), strict=True))["pump"] == pytest.approx(0.6, abs=0.03)
    assert dict(zip(names, own.tolist(), strict=True))["oil"] == pytest.approx(0.2, abs=0.03)
    assert large.max() < 1.3 / len(names)
    assert large.min() > 0.7 / len(names)


def test_dropout_is_in_training_alone_and_follows_the_generator():
    module, batch = made(TokenPrediction(dropout=0.5)), batch_of(encoded(reports(8)))
    losses = [module(batch, AS_IT_IS, draws(8, seed)).item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    still = made(TokenPrediction(dropout=0.0)).eval()
    assert module.eval()(batch, AS_IT_IS, draws(8)).item() == still(batch, AS_IT_IS, draws(8)).item() != losses[0]


def test_of_long_texts_other_tokens_are_searched_each_time():
    module = made(TokenPrediction(most_tokens=5))
    run = module.encoder.tokens(encoded([" ".join(reports(3)), "the pump", " ".join(reports(2))]))
    places = [module._searched(draws(3, seed).uniform(int(run.size.max())), run) for seed in (0, 1)]
    for found in places:
        assert torch.bincount(run.owner[found]).tolist() == [5, 2, 5]
        assert len(found.unique()) == 12
    assert set(places[0].tolist()) != set(places[1].tolist())


def test_a_text_alone_scores_as_in_a_batch_bit_by_bit():
    module = made()
    data = encoded([*reports(150), "", " ".join(reports(3)), "水泵"])
    together = module.score(batch_of(data))
    for row in (0, 77, 150, 151, 152):
        assert torch.equal(module.score(batch_of(data[row : row + 1])), together[row : row + 1])
    assert together.isfinite().all()
    assert module.score(batch_of(data[:0])).shape == (0,)


def auroc(normal, strange):
    return (np.asarray(strange)[:, None] > np.asarray(normal)).mean()


def branch(**changes):
    training = Training(steps=60, batch_size=32, learning_rate=1e-2, optimizer="adamw", warmup=0.3)
    objective, scorer = TokenPrediction(noise=64, score_noise=64), ObjectiveScore(held_out=0.15)
    made = Branch(name="tokens", encoder=NETWORK, objective=objective, scorer=scorer, training=training)
    return replace(made, **changes)


def fitted(given, *, groups=None, reference_fraction=0.0, **changes):
    threshold = thresholds.Conformal(false_alarm_rate=0.2)
    detector = Detector(
        "text", branches=[branch(**changes)], threshold=threshold, reference_fraction=reference_fraction
    )
    return detector.fit(given, groups=groups)


BOTH = list(dict.fromkeys([*reports(110), *reports(200, 9, CHINESE, "")]))[:200]


@pytest.fixture(scope="module")
def detector():
    return fitted(BOTH)


@pytest.mark.parametrize("grammar", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_shuffled_words_and_other_topics_score_higher(detector, grammar):
    joint = "" if grammar is CHINESE else " "
    normal = reports(40, 5, grammar, joint)
    if grammar is CHINESE:
        other = ["巧克力蛋糕上撒糖霜", "用黄油煎大蒜", "明媚的春光里读一首诗"]
    else:
        other = [COOKING, COOKING[20:], "deep learning conquers go"]
    shuffled = texts.decoded(ShuffleAll()(encoded(normal), draws(40)))
    scores = detector.anomaly_scores(normal)
    assert auroc(scores, detector.anomaly_scores(other)) > 0.95
    assert auroc(scores, detector.anomaly_scores([text.strip() for text in shuffled])) > 0.85
    floor = detector.branches_[0].untrained
    untrained = floor.score(texts.encoded([*normal, *shuffled], 1000), torch.device("cpu"))
    assert auroc(untrained[:40], untrained[40:]) < 0.75


def test_tokens_of_labelled_anomalies_are_not_found_any_more():
    cooking = [" ".join(COOKING.split()[start : start + 6]) for start in range(6)]
    data = encoded([*reports(32, seed=1), *cooking])
    gap = []
    for labels in (None, torch.tensor([0] * 32 + [1] * 6)):
        module = made(TokenPrediction(noise=64, score_noise=64), sample=data)
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
        for step in range(20):
            optimizer.zero_grad()
            module(batch_of(data, labels), AS_IT_IS, draws(38, step)).backward()
            optimizer.step()
        scores = module.eval().score(batch_of(data))
        gap.append(float(scores[32:].min() - scores[:32].max()))
    assert gap[0] < 0.0 < gap[1]


def test_reference_scores_are_of_texts_that_did_not_train(detector):
    own = detector.branches_[0]
    assert len(own.judge.scorer.reference_scores_) == 24  # of 160
    short = Training(steps=2)
    kept = fitted(reports(60), scorer=ObjectiveScore(), training=short)
    assert len(kept.branches_[0].judge.scorer.reference_scores_) == 48
    given = fitted(reports(60), reference_fraction=0.25, training=short)
    assert len(given.branches_[0].judge.scorer.reference_scores_) == 15


def test_groups_are_held_out_whole(monkeypatch):
    told = []
    from unalike import branch as module

    def kept(branch, parts, reference, seed):
        made = with_reference(branch, parts, reference, seed)
        told.append([set(part.group.tolist()) for part in made])
        return made

    with_reference = module.with_reference
    monkeypatch.setattr(module, "with_reference", kept)
    fitted(reports(60), groups=list(range(30)) * 2, training=Training(steps=2))
    assert len(told) == 1
    assert told[0][0]
    assert told[0][1]
    assert not told[0][0] & told[0][1]


def test_groups_of_which_one_is_nearly_all_are_not_torn_apart():
    parts = Parts(40, lambda at: encoded(reports(40))[torch.from_numpy(at)], np.arange(40), np.arange(40).clip(max=3))
    made = branch()
    kept, reference = with_reference(made, parts, None, 0)
    assert (kept.n, reference) == (40, None)
    several = replace(parts, group=np.arange(40) // 4)
    for seed in range(20):
        kept, reference = with_reference(made, several, None, seed)
        assert (kept.n, reference.n) == (32, 8)
        assert torch.equal(reference.load(np.arange(8)), parts.load(reference.owner))


def test_a_saved_one_scores_bit_equal(detector, tmp_path):
    new = [*reports(5, seed=8), COOKING, "水泵没有电", "\U0001f600"]
    scores = detector.anomaly_scores(new)
    assert np.ptp(scores) > 0
    save(detector, tmp_path / "tokens.unalike")
    np.testing.assert_array_equal(load(tmp_path / "tokens.unalike").anomaly_scores(new), scores)
    np.testing.assert_array_equal(detector.anomaly_scores(new[5:6]), scores[5:6])


def test_fitting_again_gives_the_same():
    several = [fitted(reports(60), training=Training(steps=4)).anomaly_scores([COOKING, *BOTH]) for _ in range(2)]
    np.testing.assert_array_equal(*several)


def test_texts_without_any_word_train_and_score():
    module = made(sample=encoded(["", "  "]))
    loss = module(batch_of(encoded(["", " "])), AS_IT_IS, draws(2))
    loss.backward()
    assert loss.isfinite()
    assert module.score(batch_of(encoded(["", "the pump"]))).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"noise": 1}, "noise"),
        ({"score_noise": 0}, "score_noise"),
        ({"most_tokens": 0}, "most_tokens"),
        ({"power": -1.0}, "power"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(InvalidParameter, match=f"`{told}` must be"):
        TokenPrediction(**settings)


def test_an_encoder_without_contexts_and_a_share_out_of_range_are_refused():
    with pytest.raises(InvalidParameter, match="encoder='token-context'"):
        build_objective("token-prediction", Raw().build(Schema((1, 2, 2))), 0)
    with pytest.raises(InvalidParameter, match="`held_out` must be a share"):
        ObjectiveScore(held_out=0.6)


def test_before_prepare():
    module = build_objective(TokenPrediction(), build_encoder(NETWORK, TEXT, 0), 0)
    for use in (
        lambda: module.score(batch_of(encoded(["a"]))),
        lambda: module(batch_of(encoded(["a"])), AS_IT_IS, draws(1)),
    ):
        with pytest.raises(NotFitted, match="prepare"):
            use()
