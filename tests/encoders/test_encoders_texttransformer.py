"""The transformer of texts: its tokens lose nothing, and padding and pieces do not show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unalike import Detector, load, save, texts
from unalike.encoders import TextTransformer
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.objectives import ReplacedTokens, SimCLR, SpoiledContrast
from unalike.types import Schema, Training
from unalike.views import DeleteWords, SpoilText

TEXT = Schema((200,), (texts.CODE_POINTS,))
SMALL = TextTransformer(vocabulary=400, width=16, layers=2, heads=2, most_tokens=16)
ANY = [
    "",
    " ",
    "hello hello hello",
    "今天的天气很好",
    "naïve Ωmega 👍🏽 مرحبا",
    "[PAD] <s> \ud800",
    "a" * 200,
    "one\ntwo\tthree",
]


def encoder(settings=SMALL, sample=("hello there hello", "the weather, the weather", "今天 今天")):
    made = build_encoder(settings, TEXT, 0, sample=texts.encoded(list(sample), 200))
    return made.eval()


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_tokens_tell_the_text_in_any_script(kind):
    made = encoder(TextTransformer(vocabulary=400, width=8, heads=2, tokenizer=kind))
    module = pytest.importorskip("tokenizers")
    made.tokenizer.decoder = module.decoders.ByteLevel()
    for text in ("hello hello", "今天的天气很好", "naïve Ωmega 👍🏽 مرحبا", "[PAD] <s>", "unseen wörds, 42!"):
        tokens = made.tokens(texts.encoded([text], 200))
        ids = tokens.ids[tokens.read] - made.reserved
        assert made.tokenizer.decode(ids.tolist()).strip() == text


def test_a_trained_tokenizer_needs_fewer_tokens():
    sample = texts.encoded(["hello there hello"], 200)
    counts = [
        int(encoder(TextTransformer(vocabulary=400, width=8, heads=2, tokenizer=kind)).tokens(sample).read.sum())
        for kind in ("bpe", "bytes")
    ]
    assert counts[0] < counts[1] / 2


def test_training_the_tokenizer_twice_gives_the_same():
    rng = np.random.default_rng(0)
    sample = [" ".join(rng.choice(["ab", "cd", "abc", "dcb", "x", "今"], 20)) for _ in range(50)]
    one, other = encoder(sample=sample), encoder(sample=sample)
    assert torch.equal(one.get_extra_state(), other.get_extra_state())
    assert one.tokenizer.get_vocab_size() <= 400 - one.reserved


def test_a_text_alone_is_embedded_as_in_a_batch():
    made, data = encoder(), texts.encoded(ANY, 200)
    with torch.no_grad():
        together = made(data)
        alone = torch.cat([made(data[row : row + 1]) for row in range(len(data))])
    assert together.isfinite().all()
    assert torch.allclose(alone, together, rtol=0, atol=1e-6)


def test_long_texts_are_the_mean_of_their_pieces():
    made = encoder(TextTransformer(vocabulary=400, width=16, heads=2, most_tokens=16, tokenizer="bytes"))
    # 40 letters and the space before them: three pieces of 13, 14 and 14 tokens.
    with torch.no_grad():
        whole = made(texts.encoded(["abcdefgh" * 5], 200))
        tokens = made.tokens(texts.encoded(["abcdefgh" * 5], 200))
        pieces = [type(tokens)(tokens.ids[row : row + 1], tokens.owner[:1]) for row in range(len(tokens.ids))]
        parts = [made.pooled(made.token_states(piece), piece, 1) for piece in pieces]
    assert int(tokens.read.sum()) == 41
    assert len(parts) == 3
    assert torch.allclose(whole, torch.stack(parts).mean(dim=0), atol=1e-6)


def test_the_end_of_a_long_text_counts():
    made = encoder()
    with torch.no_grad():
        first, second = made(texts.encoded(["abc " * 45 + "end", "abc " * 45 + "oof"], 200))
    assert (first - second).abs().max() > 1e-4


def test_dropout_makes_views_in_training_only():
    made, data = encoder(), texts.encoded(["hello there"], 200)
    assert torch.equal(made(data), made(data))
    made.train()
    assert not torch.equal(made(data), made(data))


def test_what_it_refuses():
    for wrong in ({"vocabulary": 100}, {"width": 10, "heads": 4}, {"dropout": 1.0}, {"tokenizer": "words"}):
        with pytest.raises(InvalidParameter, match="must be"):
            TextTransformer(**wrong)
    with pytest.raises(InvalidParameter, match="must get texts"):
        TextTransformer().build(Schema((3, 8, 8)))


def messages(n, seed=0):
    rng = np.random.default_rng(seed)
    return [f"user {rng.choice(['ann', 'bob', 'eve'])} logs in from room {seed}{at} 今天" for at in range(n)]


OBJECTIVES = {
    "simclr": (SimCLR(), "knn", None),
    "dropout alone": (SimCLR(temperature=0.1), "knn", DeleteWords(0.0)),
    "replaced": (ReplacedTokens(), "objective", None),
    "spoiled": (SpoiledContrast(spoil=SpoilText(), per_image=1), "knn", None),
}


@pytest.mark.parametrize(("objective", "scorer", "view"), OBJECTIVES.values(), ids=list(OBJECTIVES))
def test_it_learns_and_is_saved_whole(tmp_path, objective, scorer, view):
    training = Training(steps=12, batch_size=32, learning_rate=3e-3)
    detector = Detector(
        "text",
        encoder=SMALL,
        objective=objective,
        scorer=scorer,
        views=view,
        training=training,
        calibration_fraction=0,
        random_state=0,
    ).fit(messages(96))
    losses = [row["loss"] for row in detector.branches_[0].history if not np.isnan(row["loss"])]
    assert losses[-1] < losses[0]
    today = [*messages(4, seed=1), "something else entirely", "今"]
    scores = detector.anomaly_scores(today)
    again = load(save(detector, tmp_path / "model.unalike"))
    assert np.array_equal(again.anomaly_scores(today), scores)
    one = np.concatenate([detector.anomaly_scores([text]) for text in today])
    assert np.allclose(one, scores, rtol=1e-4, atol=1e-5)
