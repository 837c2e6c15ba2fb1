"""A folder as Hugging Face lays a model of texts out: a BERT of two narrow layers with random weights."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from unalike.seeding import isolated

WORDS = (
    *("the", "printer", "floor", "does", "not", "start", "again", "please", "reset", "my", "password", "mail"),
    *("account", "calendar", "goal", "match", "team", "music", "song"),
)
MOST_TOKENS = 24
WIDTH = 16


def tiny_bert(folder: Path) -> Path:
    """Write the model, with ``[CLS]`` and ``[SEP]`` around texts of at most 24 tokens."""
    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *WORDS, *letters, *(f"##{letter}" for letter in letters), "日", "本"]
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    numbers = {token: at for at, token in enumerate(vocabulary)}
    inner = Tokenizer(models.WordPiece(numbers, unk_token=names["unk_token"]))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=MOST_TOKENS, **names)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MOST_TOKENS,
        initializer_range=0.5,
    )
    with isolated(0):
        network = BertModel(config)
    tokenizer.save_pretrained(folder)
    network.save_pretrained(folder)
    return folder


def told_of_pooling(folder: Path, settings: dict[str, object], *more: str) -> Path:
    """Write what sentence-transformers adds: its modules, of which `more` stand behind pooling by these `settings`."""
    kinds = ["Transformer", "Pooling", *more]
    modules = [
        {"idx": at, "name": str(at), "path": f"{at}_{kind}", "type": f"x.{kind}"} for at, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return folder


@cache
def shared_tiny_bert() -> str:
    """One such folder for all tests of a process that only read it; it goes when the process ends."""
    _kept.append(tempfile.TemporaryDirectory())
    return str(tiny_bert(Path(_kept[-1].name)))


_kept: list[tempfile.TemporaryDirectory[str]] = []


def states(folder: Path, ids: list[int]) -> torch.Tensor:
    """``(tokens, width)`` last states of one text by transformers itself."""
    network = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return network(input_ids=torch.tensor([ids])).last_hidden_state[0]
