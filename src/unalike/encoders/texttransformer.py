"""A small transformer for texts, trained from scratch, with a tokenizer of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike import texts
from unalike.encoders.checks import needs, one_of, whole
from unalike.errors import InvalidParameter
from unalike.types import Schema

_PAD, _START = 0, 1
_RESERVED = 2
"""Tokens of ours before those of the tokenizer."""

_LEAST_VOCABULARY = 256 + _RESERVED
_MOST_TEXTS = 20_000
_TOGETHER = 32


@dataclass(frozen=True, kw_only=True)
class TextTransformer:
    """Settings of a transformer of texts without pretrained weights.

    A byte-level tokenizer is trained on the training texts: any text of any script can be written in its tokens, and
    none is unknown. The embedding is the mean of the states of all tokens.

    Parameters
    ----------
    vocabulary : int
        At most so many tokens, 258 or more.
    width : int
        Of a token and of the embedding; a multiple of `heads`.
    layers, heads : int
        Of the transformer, 1 or more.
    most_tokens : int
        Texts of more tokens are cut into pieces of about equal length, whose embeddings are averaged: nothing is left
        out. 2 or more.
    dropout : float
        In training, in ``[0, 1)``: two passes of one text then differ, which alone makes them views (SimCSE).
    tokenizer : {"bpe", "bytes"}
        Frequent sequences of bytes as tokens, or single bytes.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Vaswani et al., "Attention is all you need", NeurIPS 2017, normalised before each layer. Gao, Yao and Chen, "SimCSE:
    simple contrastive learning of sentence embeddings", EMNLP 2021. Byte-level pairs: Radford et al., "Language models
    are unsupervised multitask learners", 2019.
    """

    vocabulary: int = 8000
    width: int = 128
    layers: int = 2
    heads: int = 4
    most_tokens: int = 128
    dropout: float = 0.1
    tokenizer: str = "bpe"

    def __post_init__(self) -> None:
        for name, least in (("vocabulary", _LEAST_VOCABULARY), ("width", 1), ("layers", 1), ("heads", 1)):
            whole(name, getattr(self, name), least)
        whole("most_tokens", self.most_tokens, 2)
        if self.width % self.heads:
            raise InvalidParameter(
                f"`width` must be a multiple of `heads`; got {self.width} and {self.heads}. Try 128 and 4."
            )
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise InvalidParameter(f"`dropout` must be a number in [0, 1); got {self.dropout!r}. Try 0.1.")
        one_of("tokenizer", self.tokenizer, ("bpe", "bytes"))

    def build(self, schema: Schema) -> TokenTransformer:
        """The network for texts ``(length,)``; torch's generator draws its weights.

        Raises
        ------
        InvalidParameter
            The samples are no texts.
        MissingExtra
            tokenizers is not installed.
        """
        if len(schema.shape) != 1 or schema.levels != (texts.CODE_POINTS,):
            raise InvalidParameter(
                f"`encoder` TextTransformer must get texts; got samples of shape {schema.shape}. Take it with the "
                "modality 'text'."
            )
        return TokenTransformer(self)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts as tokens.

    Parameters
    ----------
    ids : Tensor
        ``(m, t)`` int64, of pieces of texts; 0 behind their last token. Each begins with a token that is none of the
        text.
    owner : Tensor
        ``(m,)`` int64: the text that each piece is of.
    """

    ids: Tensor
    owner: Tensor

    @property
    def there(self) -> Tensor:
        """``(m, t)``: where there is a token."""
        return self.ids != _PAD

    @property
    def read(self) -> Tensor:
        """``(m, t)``: where there is a token of the text itself."""
        return self.ids >= _RESERVED


class TokenTransformer(nn.Module):
    """``(n, length) -> (n, width)``; the tokenizer is in the state, too.

    Parameters
    ----------
    settings : TextTransformer
        Sizes.
    """

    def __init__(self, settings: TextTransformer) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        self.vocabulary = settings.vocabulary
        self.reserved = _RESERVED
        self.tokenizer = _untrained()
        self.words = nn.Embedding(settings.vocabulary, settings.width)
        self.places = nn.Embedding(settings.most_tokens + 1, settings.width)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=settings.width**-0.5)
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        self.dropout = nn.Dropout(settings.dropout)

    def prepare(self, sample: Tensor) -> None:
        """Train the tokenizer on training texts ``(m, length)``, at most 20,000 of them."""
        self.tokenizer = _untrained()
        if self.settings.tokenizer == "bytes":
            return
        trainers = needs("encoders.TextTransformer", "tokenizers.trainers", "text")
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary - _RESERVED,
            min_frequency=2,
            initial_alphabet=_alphabet(),
            show_progress=False,
        )
        some = sample.detach()[:: max(1, -(-len(sample) // _MOST_TEXTS))]
        self.tokenizer.train_from_iterator(texts.decoded(some), trainer)

    def get_extra_state(self) -> Tensor:
        """The tokenizer, as ``(b,)`` uint8 of JSON."""
        told = json.dumps(json.loads(self.tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")).encode()
        return torch.from_numpy(np.frombuffer(told, dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        """Take a tokenizer back."""
        module = needs("encoders.TextTransformer", "tokenizers", "text")
        self.tokenizer = module.Tokenizer.from_str(state.cpu().numpy().tobytes().decode())

    def tokens(self, data: Tensor) -> Tokens:
        """Texts ``(n, length)`` as tokens."""
        pieces: list[list[int]] = []
        owner: list[int] = []
        written = [text.encode("utf-8", "replace").decode() for text in texts.decoded(data)]
        for number, encoding in enumerate(self.tokenizer.encode_batch_fast(written)):
            ids = encoding.ids
            count = max(-(-len(ids) // self.settings.most_tokens), 1)
            ends = [len(ids) * at // count for at in range(count + 1)]
            pieces += [ids[a:b] for a, b in pairwise(ends)]
            owner += [number] * count
        made = np.full((len(pieces), 1 + max(map(len, pieces), default=0)), _PAD, dtype=np.int64)
        made[:, 0] = _START
        for row, ids in zip(made, pieces, strict=True):
            row[1 : 1 + len(ids)] = np.array(ids, dtype=np.int64) + _RESERVED
        device = self.words.weight.device
        return Tokens(torch.from_numpy(made).to(device), torch.tensor(owner, dtype=torch.int64, device=device))

    def token_states(self, tokens: Tokens) -> Tensor:
        """``(m, t, width)``: a state for each token; those behind the last one mean nothing."""
        sizes = tokens.there.sum(dim=1)
        order = sizes.argsort(stable=True)
        width = tokens.ids.shape[1]
        made = []
        # Texts of about one length together: what only fills up costs as much as what is read.
        for rows in torch.split(order, _TOGETHER):
            states = self._read(tokens.ids[rows, : int(sizes[rows[-1]])])
            made.append(functional.pad(states, (0, 0, 0, width - states.shape[1])))
        joined = torch.cat(made) if made else self.words(tokens.ids)
        return joined[order.argsort()]

    def _read(self, ids: Tensor) -> Tensor:
        """``(m, t, width)``."""
        states = self.dropout(self.words(ids) + self.places.weight[: ids.shape[1]])
        for block in self.blocks:
            states = block(states, ids != _PAD)
        normed: Tensor = self.norm(states)
        return normed

    def pooled(self, states: Tensor, tokens: Tokens, n: int) -> Tensor:
        """``(n, width)``: the mean state of each piece, then the mean over the pieces of each text."""
        seen = tokens.there[:, :, None].to(states.dtype)
        means = (states * seen).sum(dim=1) / seen.sum(dim=1)
        if len(means) == n:
            return means
        many = torch.bincount(tokens.owner, minlength=n)[:, None]
        return means.new_zeros((n, self.width)).index_add(0, tokens.owner, means) / many

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        tokens = self.tokens(data)
        return self.pooled(self.token_states(tokens), tokens, len(data))


class _Block(nn.Module):
    """Attention and a feed-forward layer, each added to its input."""

    def __init__(self, settings: TextTransformer) -> None:
        super().__init__()
        width = settings.width
        self.heads, self.rate = settings.heads, float(settings.dropout)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        # A bias of the keys would change nothing.
        self.query, self.key, self.value = (
            nn.Linear(width, width),
            nn.Linear(width, width, False),
            nn.Linear(width, width),
        )
        self.out = nn.Linear(width, width)
        self.grow, self.shrink = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """``(m, t, width)`` after each token has read from those that are there."""
        inputs = self.before(states)
        query, key, value = (
            layer(inputs).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        rate = self.rate if self.training else 0.0
        mask = there[:, None, None, :]
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        states = states + self.dropout(self.out(read.transpose(1, 2).flatten(2)))
        hidden = functional.gelu(self.grow(self.between(states)))
        moved: Tensor = states + self.dropout(self.shrink(hidden))
        return moved


def _alphabet() -> list[str]:
    letters = needs("encoders.TextTransformer", "tokenizers.pre_tokenizers", "text").ByteLevel.alphabet()
    return sorted(letters)


def _untrained() -> Any:
    """A tokenizer of single bytes."""
    module = needs("encoders.TextTransformer", "tokenizers", "text")
    made = module.Tokenizer(module.models.BPE(vocab={letter: at for at, letter in enumerate(_alphabet())}, merges=[]))
    made.pre_tokenizer = module.pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.normalizer = module.normalizers.NFC()
    return made
