"""Own vocabularies, and what surrounds a token: nothing is left out, and no other text shows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from unalike import Branch, Detector, Training, load, save, texts
from unalike.encoders import TokenContext
from unalike.encoders.build import build_encoder
from unalike.encoders.wordpieces import UNKNOWN, WordPieces, split
from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives import TokenPrediction
from unalike.scorers import ObjectiveScore
from unalike.thresholds import Conformal
from unalike.types import Schema

TEXT = Schema((120,), (texts.CODE_POINTS,))
SMALL = TokenContext(vocabulary=80, width=8, neighbours=2, hidden=12)
SAMPLE = ["The printer prints the page", "the printers do print", "今天天气很好", "今天很好", "page reprinted, page"]
ANY = ["", "  ", "the page prints", "打印机今天很好", "reprint Ωmega 👍🏽 \ud800", "page " * 24, "x"]


def encoder(settings=SMALL, sample=SAMPLE):
    return build_encoder(settings, TEXT, 0, sample=encoded(sample)).eval()


def encoded(several):
    return texts.encoded(list(several), 120)


def written(pieces, text):
    """The pieces of a text, with a bar before those inside a word."""
    return [pieces.tokens[number].replace("\x00", "|") for number in pieces.ids(encoded([text]))[0]]


def test_words_that_occur_twice_are_tokens_and_others_are_cut_from_their_beginning():
    pieces = WordPieces.learned(encoded(SAMPLE), 80)
    assert written(pieces, "THE page") == ["the", "page"]
    assert "".join(written(pieces, "reprinted")).replace("|", "") == "reprinted"
    assert 3 <= len(written(pieces, "reprinted")) < 9
    assert written(pieces, "printing")[0] == "prin"
    assert written(pieces, "今天") == ["今", "天"]
    assert pieces.ids(encoded(["气Ω"])) == [[UNKNOWN, UNKNOWN]]  # of one, and of no training text
    assert len(pieces.tokens) == len(set(pieces.tokens)) <= 80


@pytest.mark.parametrize("most", [64, 300, 8000])
def test_the_vocabulary_has_no_more_tokens_than_asked_for(most):
    rng = np.random.default_rng(0)
    sample = encoded(["".join(rng.choice(list("abcdefg "), 100)) for _ in range(60)])
    one, other = WordPieces.learned(sample, most), WordPieces.learned(sample.flip(0), most)
    assert one == other
    assert len(one.tokens) <= most
    assert most > 300 or len(one.tokens) == most
    # Fewer tokens to a text where there are more to choose from.
    assert sum(map(len, one.ids(sample))) <= sum(map(len, WordPieces.learned(sample, 64).ids(sample)))


def test_words_are_those_of_the_texts():
    assert split(encoded(["Don't 你好!", "", " a "])) == [["don", "'", "t", "你", "好", "!"], [], ["a"]]


def test_tokens_of_several_texts_follow_each_other():
    made = encoder()
    run = made.tokens(encoded(ANY))
    assert run.owner.tolist() == sorted(run.owner.tolist())
    assert run.size.tolist()[:2] == [1, 1]
    assert run.ids[:2].tolist() == [made.vocabulary] * 2  # no words
    assert run.size.tolist() == run.owner.bincount().tolist()
    for row, text in enumerate(ANY):
        mine = run.owner == row
        assert run.ids[mine].tolist() == made.tokens(encoded([text])).ids.tolist()
        assert run.place[mine].tolist() == list(range(int(run.size[row])))
    empty = made.tokens(encoded([]))
    assert (len(empty.ids), len(empty.size)) == (0, 0)


def test_contexts_are_those_of_a_slow_twin():
    made = encoder()
    run = made.tokens(encoded(ANY))
    with torch.no_grad():
        vectors = made.vectors(run.ids)
        found = made.contexts(run, vectors, torch.arange(len(run.ids)))
        for place, owner in enumerate(run.owner.tolist()):
            mine = [at for at in range(len(run.ids)) if int(run.owner[at]) == owner]
            near = (place + offset for offset in (-2, -1, 1, 2))
            seen = [vectors[at] if at in mine else torch.zeros(8) for at in near]
            others = [vectors[at] for at in mine if at != place] or [torch.zeros(8)]
            seen.append(2.0 * torch.stack(others).mean(dim=0))
            twin = made.outer(torch.relu(made.inner(torch.cat(seen))))
            torch.testing.assert_close(found[place], twin, rtol=1e-4, atol=1e-6)


def test_a_token_does_not_see_itself_nor_other_texts():
    made = encoder()
    first, other = made.tokens(encoded(["the page", "page"])), made.tokens(encoded(["the the", "今天"]))
    with torch.no_grad():
        seen = [made.contexts(run, made.vectors(run.ids), torch.arange(2)) for run in (first, other)]
    assert not torch.equal(seen[0][0], seen[1][0])
    torch.testing.assert_close(seen[0][1], seen[1][1], rtol=1e-5, atol=1e-6)


def test_a_text_alone_is_embedded_as_in_a_batch_bit_by_bit():
    made, data = encoder(), encoded([*ANY * 40, "the page"])
    with torch.no_grad():
        together = made(data)
        alone = torch.cat([made(data[row : row + 1]) for row in (*range(len(ANY)), len(data) - 1)])
    assert torch.equal(alone, together[[*range(len(ANY)), len(data) - 1]])
    assert together.isfinite().all()
    assert made(encoded([])).shape == (0, 8)


def test_what_is_remembered_of_texts_is_forgotten_with_the_vocabulary():
    made, data = encoder(), encoded(["the printer reprinted", *ANY])
    before = made.tokens(data).ids
    made.prepare(encoded(["zzz zzz"] * 3))
    assert not torch.equal(made.tokens(data).ids, before)
    made.prepare(encoded(SAMPLE))
    assert torch.equal(made.tokens(data).ids, before)


def test_so_many_texts_that_not_all_are_remembered(monkeypatch):
    made, data = encoder(), encoded([f"the page {number}" for number in range(9)] + ["the page 3"])
    before = made.tokens(data).ids
    monkeypatch.setattr("unalike.encoders.tokencontext._MOST_KNOWN", 4)
    for _ in range(2):
        assert torch.equal(made.tokens(data).ids, before)
        assert torch.equal(made.tokens(data[:2]).ids, before[: len(made.tokens(data[:2]).ids)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of texts, with random weights."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    place = tmp_path_factory.mktemp("model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "page", "printer", "print", "##s", "##er", "今", "天"]
    numbers = {word: at for at, word in enumerate(words)}
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece(numbers, unk_token=words[1]))
    inner.normalizer = tokenizers.normalizers.BertNormalizer()
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(place)
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), hidden_size=16, **sizes)).save_pretrained(
        place, safe_serialization=True
    )
    return place


def of_model(folder, **settings):
    return TokenContext(model=folder, **{"vocabulary": 64, "width": 8, "hidden": 12, **settings})


def test_tokens_of_a_model_have_its_vectors_and_frequent_ones_learn_one_besides(folder):
    made = encoder(of_model(folder), ["the the page", "the page prints"])
    run = made.tokens(encoded(["The page prints 今", ""]))
    assert run.ids.tolist() == [5, 6, 8, 9, 11, made.vocabulary]
    assert made.slots[run.ids].tolist() == [1, 2, 0, 0, 0, 64]
    table = made.table.rows
    assert table.shape == (14, 8)
    assert not table[-1].any()
    # Components are the cosines between tokens, as far as so few directions can tell.
    assert table[:-1].square().mean().item() == pytest.approx(1.0, rel=1e-5)
    assert torch.diff(table[:-1].var(dim=0)).max() <= 1e-6
    with torch.no_grad():
        kept, without = made.vectors(run.ids), made.vectors(run.ids, torch.ones(6, dtype=torch.bool))
    torch.testing.assert_close(without, made.bring(table[run.ids]))
    torch.testing.assert_close(kept - without, made.learned(made.slots[run.ids]), rtol=1e-4, atol=1e-6)


def test_what_a_model_says_of_texts_at_large_is_in_the_order_of_its_vocabulary(folder):
    chances = encoder(of_model(folder)).at_large()
    assert chances.shape == (13,)
    assert not chances[:5].any()
    assert (torch.diff(chances[chances > 0]) < 0).all()
    own = encoder().at_large()
    assert own.sum() == len(encoder().pieces.tokens) < len(own)


def test_a_blank_one_takes_all_of_a_model_from_its_state(folder):
    made = encoder(of_model(folder))
    settings = of_model(folder / "not-there")
    blank = build_encoder(settings, TEXT, 1, blank=True)
    with pytest.raises(NotFitted, match="TokenContext"):
        blank(encoded(ANY))
    blank.load_state_dict(copy.deepcopy(made.state_dict()), assign=True)
    with torch.no_grad():
        assert torch.equal(blank.eval()(encoded(ANY)), made(encoded(ANY)))
    assert torch.equal(blank.at_large(), made.at_large())
    assert torch.equal(blank.slots, made.slots)


def test_a_branch_with_a_model_is_saved_whole(folder, tmp_path):
    branch = Branch(
        name="tokens",
        encoder=of_model(folder),
        objective=TokenPrediction(noise=16, score_noise=16),
        scorer=ObjectiveScore(held_out=0.2),
        training=Training(steps=20, batch_size=16),
    )
    rng = np.random.default_rng(0)
    given = [" ".join(rng.choice(["the", "page", "printer", "prints", "今"], 12)) for _ in range(60)]
    detector = Detector("text", branches=[branch], threshold=Conformal(false_alarm_rate=0.2)).fit(given)
    new = [*given[:3], "page page today", "天天"]
    scores = detector.anomaly_scores(new)
    assert np.ptp(scores) > 0
    save(detector, tmp_path / "tokens.unalike")
    branch_gone = tmp_path / "gone"
    folder.rename(branch_gone)
    try:
        np.testing.assert_array_equal(load(tmp_path / "tokens.unalike").anomaly_scores(new), scores)
    finally:
        branch_gone.rename(folder)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"vocabulary": 3}, "vocabulary"),
        ({"width": 0}, "width"),
        ({"neighbours": 0}, "neighbours"),
        ({"model": ""}, "model"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(InvalidParameter, match=f"`{told}` must be"):
        TokenContext(**settings)


def test_only_texts_are_taken_and_no_more_components_than_there_are(folder):
    with pytest.raises(InvalidParameter, match="TokenContext must get texts"):
        TokenContext().build(Schema((3, 8, 8)))
    with pytest.raises(InvalidParameter, match="`width` must be at most 16"):
        of_model(folder, width=17).build(TEXT)
