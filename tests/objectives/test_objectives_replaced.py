"""Replaced-token detection: what is replaced, what is paid, and a score that tells strange texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from unalike import texts
from unalike.encoders import TextTransformer
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives import ReplacedTokens
from unalike.objectives.build import build_objective
from unalike.seeding import RowGenerator
from unalike.types import Batch, Schema
from unalike.views import DeleteWords

TEXT = Schema((80,), (texts.CODE_POINTS,))
AS_IT_IS = DeleteWords(0.0)


def sentences(n, seed=0):
    """Words in a fixed order, some left out."""
    rng = np.random.default_rng(seed)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    return texts.encoded([" ".join(word for word in words if rng.random() < 0.8) or "alpha" for _ in range(n)], 80)


def made(settings=None, sample=None, **encoder):
    sample = sentences(64) if sample is None else sample
    network = TextTransformer(**{"vocabulary": 300, "width": 16, "layers": 1, "heads": 2, "dropout": 0.0, **encoder})
    module = build_objective(settings or ReplacedTokens(), build_encoder(network, TEXT, 0, sample=sample), 0)
    module.prepare(sample)
    return module


def batch_of(data, label=None):
    return Batch(data=data, index=torch.arange(len(data)), label=label)


def draws(n, seed=0):
    return RowGenerator(seed, torch.arange(n))


def test_tokens_are_replaced_by_those_of_the_training_texts_at_the_rate():
    module, data = made(ReplacedTokens(rate=0.4)), sentences(200, seed=1)
    tokens = module.encoder.tokens(data)
    ids = module._replaced(tokens.ids, tokens.read, draws(len(tokens.ids)))
    changed = ids != tokens.ids
    assert not changed[~tokens.read].any()
    known = module.encoder.tokens(sentences(64)).ids.unique()
    assert set(ids[changed].tolist()) <= set(known[known >= module.encoder.reserved].tolist())
    # A token that is drawn for itself is no replacement.
    assert 0.33 < changed.sum() / tokens.read.sum() < 0.4


def test_the_score_is_the_mean_probability_over_all_pieces():
    module, data = made(most_tokens=4), sentences(5, seed=2)
    tokens = module.encoder.tokens(data)
    with torch.no_grad():
        chances = module.logit(module.encoder.token_states(tokens)).squeeze(2).sigmoid()
    assert len(tokens.owner) > 5
    scores = module.score(batch_of(data))
    for row in range(5):
        mine = tokens.owner == row
        assert scores[row].item() == pytest.approx(chances[mine][tokens.read[mine]].mean().item(), rel=1e-5)


def test_without_pairs_the_loss_is_the_cross_entropy_of_the_tokens():
    module, data = made(ReplacedTokens(pairs=0.0)), sentences(8)
    with torch.no_grad():
        module.logit.weight.zero_()
        module.logit.bias.fill_(1.0)
        nothing = module(batch_of(data), AS_IT_IS, draws(8))
        all_replaced = module(batch_of(data, torch.ones(8)), AS_IT_IS, draws(8))
    one, zero = (functional.softplus(torch.tensor(sign)) for sign in (-1.0, 1.0))
    assert one < nothing < zero
    assert all_replaced.item() == pytest.approx(one.item(), rel=1e-5)  # of labelled anomalies


def test_training_tells_a_text_in_a_strange_order():
    module = made(ReplacedTokens(pairs=0.0), width=32, layers=2)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    data = sentences(64)
    for step in range(60):
        optimizer.zero_grad()
        module(batch_of(data), AS_IT_IS, draws(64, step)).backward()
        optimizer.step()
    normal = sentences(40, seed=5)
    strange = texts.encoded([" ".join(text.split(" ")[::-1]) for text in texts.decoded(normal)], 80)
    module.eval()
    assert (module.score(batch_of(strange)) > module.score(batch_of(normal))).float().mean() > 0.85


def test_texts_without_a_token_have_a_score():
    module = made()
    scores = module.score(batch_of(texts.encoded(["", "alpha"], 80)))
    assert scores.isfinite().all()
    assert torch.allclose(scores[:1], module.score(batch_of(texts.encoded([""], 80))), rtol=1e-5)


def test_what_it_refuses():
    with pytest.raises(InvalidParameter, match="rate"):
        ReplacedTokens(rate=0.0)
    with pytest.raises(InvalidParameter, match="tokens of its own"):
        build_objective("replaced", torch.nn.Linear(3, 3), 0)
    encoder = build_encoder(TextTransformer(vocabulary=300, width=8, heads=2), TEXT, 0)
    with pytest.raises(NotFitted, match="prepare"):
        build_objective("replaced", encoder, 0)(batch_of(sentences(4)), AS_IT_IS, draws(4))
