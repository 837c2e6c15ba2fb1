"""What surrounds each token of a text, as a vector."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike import texts
from unalike.encoders import textfolders
from unalike.encoders.checks import needs, whole
from unalike.encoders.salads import whole_words
from unalike.encoders.wordpieces import WordPieces
from unalike.errors import InvalidParameter, NotFitted
from unalike.types import Schema

_BLOCK = 256
"""Rows of a matrix product in evaluation: always as many, so that a text has the same vector in any batch."""
_REST = 2.0
"""Weighs the mean of the other tokens beside the neighbours."""
_SEEN = 2
_MOST_KNOWN = 4096
"""Texts whose tokens are remembered."""
_ALONE, _BESIDE = 0.5, 0.02
"""Deviation of learned vectors at the start, alone and beside those of a model, whose mean square is 1."""
_COMMON = 0.75


@dataclass(frozen=True, kw_only=True)
class TokenContext:
    """Settings of a network that makes a vector of what surrounds a token; for the objective `TokenPrediction`.

    Of each token it sees the vectors of its neighbours in their order and the mean vector of all other tokens of the
    text, however long that is. Vectors of tokens are learned. The embedding of a text is the vector of a place in
    it that has no neighbours, less that of a place in an empty text.

    Parameters
    ----------
    model : str or path, optional
        A pretrained model as in `PretrainedText`: tokens are then its own, and to the learned vector of a token comes
        a linear map of its row in the model's table of input embeddings, brought to `width` principal components.
        Of the network nothing else is used. None: words and pieces of words of the training texts
        (`wordpieces.WordPieces`), for which no library is needed.
    vocabulary : int
        At most so many tokens have a vector of their own, the most frequent ones; all others share one. 64 or more.
    width : int
        Of vectors and of the embedding.
    neighbours : int
        On each side.
    hidden : int
        Width of the hidden layer.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Mikolov et al., "Efficient estimation of word representations in vector space", 2013 (continuous bag of words);
    Melamud, Goldberger and Dagan, "context2vec", CoNLL 2016.
    """

    model: str | os.PathLike[str] | None = None
    vocabulary: int = 8000
    width: int = 64
    neighbours: int = 2
    hidden: int = 192

    def __post_init__(self) -> None:
        if self.model is not None:
            if not isinstance(self.model, (str, os.PathLike)) or not os.fspath(self.model):
                raise InvalidParameter(
                    f"`model` must be None, the folder of a model, or its name on the Hugging Face hub; got "
                    f"{self.model!r}."
                )
            object.__setattr__(self, "model", os.fspath(self.model))
        whole("vocabulary", self.vocabulary, 64)
        for name in ("width", "neighbours", "hidden"):
            whole(name, getattr(self, name))

    def blank(self) -> TokenContext | BlankContext:
        """The same without the model: it takes all from a saved one, and reads and downloads nothing."""
        return self if self.model is None else BlankContext(self)

    def build(self, schema: Schema) -> ContextNetwork:
        """The network for texts ``(length,)``; torch's generator draws its weights.

        Raises
        ------
        InvalidParameter
            The samples are no texts, or the model cannot be read.
        MissingExtra
            A model is given and transformers is not installed.
        """
        _check_texts(schema)
        made = ContextNetwork(self)
        if self.model is not None:
            recipe = textfolders.read_recipe(str(self.model), "mean", None)
            table = textfolders.read_network(str(self.model)).get_input_embeddings().weight  # type: ignore[operator]
            made.take_tokenizer(recipe.tokenizer, recipe.lower, len(table))
            made.table.rows[: len(table)] = _components(table.detach().float(), self.width)
        return made


@dataclass(frozen=True)
class BlankContext:
    """Settings of a `ContextNetwork` with a model's tokens that waits for its state."""

    settings: TokenContext

    def build(self, schema: Schema) -> ContextNetwork:
        """The network without the model's tokens."""
        _check_texts(schema)
        return ContextNetwork(self.settings)


@dataclass(frozen=True, slots=True)
class Run:
    """The tokens of several texts, one text after the other.

    Parameters
    ----------
    ids : Tensor
        ``(t,)`` int64. A text without words has one token, which no other text has.
    owner : Tensor
        ``(t,)`` int64, ascending: the text that each token is of.
    size : Tensor
        ``(n,)`` int64: tokens of each text, 1 or more.
    """

    ids: Tensor
    owner: Tensor
    size: Tensor

    @property
    def place(self) -> Tensor:
        """``(t,)``: which token of its text each is."""
        first = self.size.cumsum(dim=0) - self.size
        return torch.arange(len(self.ids), device=self.ids.device) - first[self.owner]


class _Table(nn.Module):
    """Vectors of a model's tokens that do not train; as a module of its own it is loaded after the vocabulary."""

    rows: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(0, width))


class ContextNetwork(nn.Module):
    """``(n, length) -> (n, width)``; the vocabulary is in the state, too.

    Parameters
    ----------
    settings : TokenContext
        Sizes.

    Attributes
    ----------
    awaits_state : bool
        It has no tokens yet; `set_extra_state` makes them.
    """

    slots: Tensor

    def __init__(self, settings: TokenContext) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        self.awaits_state = settings.model is not None
        self.pieces = WordPieces(("",))
        self._told: dict[str, Any] = {}
        self._tokenizer: Any = None
        # Training reads each text many times.
        self._known: dict[str, npt.NDArray[np.int64]] = {}
        # The last row is of a text without words.
        self.learned = nn.Embedding(settings.vocabulary + 1, settings.width)
        nn.init.normal_(self.learned.weight, std=_ALONE if settings.model is None else _BESIDE)
        self.inner = nn.Linear((2 * settings.neighbours + 1) * settings.width, settings.hidden)
        # A bias would say no more than that of each token does, which the objective has.
        self.outer = nn.Linear(settings.hidden, settings.width, bias=False)
        self.bring: nn.Linear | None = None
        self.register_buffer("slots", torch.arange(settings.vocabulary + 1), persistent=False)
        if settings.model is not None:
            self.bring = nn.Linear(settings.width, settings.width, bias=False)
            nn.init.eye_(self.bring.weight)
            self.table = _Table(settings.width)

    @property
    def vocabulary(self) -> int:
        """Tokens that texts are made of; the one after them is of a text without words."""
        return len(self.slots) - 1

    def take_tokenizer(self, tokenizer: str, lower: bool, size: int) -> None:
        """Take a model's tokenizer with a vocabulary of `size`; no token has a vector of its own yet."""
        module = needs("encoders.TokenContext", "tokenizers", "text")
        self._told = {"tokenizer": tokenizer, "lower": lower, "size": size, "own": []}
        self._tokenizer = module.Tokenizer.from_str(tokenizer)
        self.table.rows = self.table.rows.new_zeros((size + 1, self.width))
        self._give_slots([])
        self._known = {}
        self.awaits_state = False

    def _give_slots(self, own: list[int]) -> None:
        """These tokens have a vector of their own, the first place is shared by all others."""
        slots = torch.zeros(self._told["size"] + 1, dtype=torch.int64)
        slots[own] = torch.arange(1, len(own) + 1)
        slots[-1] = self.settings.vocabulary
        self.slots = slots.to(self.slots.device)
        self._told["own"] = own

    def _take_pieces(self, pieces: WordPieces) -> None:
        self.pieces = pieces
        self._known = {}

    def prepare(self, sample: Tensor) -> None:
        """Learn the vocabulary from training texts ``(m, length)``."""
        if self.settings.model is None:
            self._take_pieces(WordPieces.learned(sample, self.settings.vocabulary))
            return
        counts = self.counted(sample)
        order = torch.argsort(counts, descending=True, stable=True)
        several = order[counts[order] >= _SEEN]
        self._give_slots(several[: self.settings.vocabulary - 1].tolist())

    def counted(self, sample: Tensor) -> Tensor:
        """``(vocabulary,)`` int64: how often each token is in ``(m, length)`` texts."""
        found = [torch.bincount(self.tokens(part).ids, minlength=len(self.slots)) for part in torch.split(sample, 1024)]
        return torch.stack(found).sum(dim=0)[:-1]

    def at_large(self) -> Tensor:
        """``(vocabulary,)`` float64: a guess of how common each token is in texts of any topic, up to a factor.

        Vocabularies of models are in order of frequency: Zipf's law. Of own ones nothing is known: all alike.
        """
        if self.settings.model is None:
            chances = torch.zeros(self.vocabulary, dtype=torch.float64)
            chances[: len(self.pieces.tokens)] = 1.0
            return chances
        numbers = torch.tensor([number for number, _ in whole_words(self._tokenizer)], dtype=torch.int64)
        chances = torch.zeros(self.vocabulary, dtype=torch.float64)
        chances[numbers] = torch.arange(1, len(numbers) + 1, dtype=torch.float64) ** -_COMMON
        return chances

    def get_extra_state(self) -> Tensor:
        """The vocabulary, as ``(b,)`` uint8 of JSON."""
        told = self._told if self.settings.model is not None else {"tokens": self.pieces.tokens}
        return torch.from_numpy(np.frombuffer(json.dumps(told).encode(), dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        """Take a vocabulary back; torch then gives the weights."""
        told = json.loads(state.cpu().numpy().tobytes())
        if "tokens" in told:
            self._take_pieces(WordPieces(tuple(told["tokens"])))
            return
        if self.awaits_state or told["tokenizer"] != self._told["tokenizer"]:
            self.take_tokenizer(told["tokenizer"], told["lower"], told["size"])
        self._give_slots(told["own"])

    def tokens(self, data: Tensor) -> Run:
        """Texts ``(n, length)`` as tokens."""
        if self.awaits_state:
            raise NotFitted("`TokenContext` must have its weights first. Load the model that it was saved in.")
        found = texts.decoded(data)
        # Another thread may forget meanwhile.
        known = {text: ids for text in found if (ids := self._known.get(text)) is not None}
        new = list(dict.fromkeys(text for text in found if text not in known))
        if new:
            numbers = [np.array(ids or [self.vocabulary], dtype=np.int64) for ids in self._encoded(new, data.shape[1])]
            self._remember(dict(zip(new, numbers, strict=True)))
            known.update(zip(new, numbers, strict=True))
        rows = [known[text] for text in found]
        device = self.slots.device
        size = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        joined = torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *rows]))
        owner = torch.arange(len(rows)).repeat_interleave(size)
        return Run(joined.to(device), owner.to(device), size.to(device))

    def _remember(self, numbers: dict[str, npt.NDArray[np.int64]]) -> None:
        if len(self._known) + len(numbers) > _MOST_KNOWN:
            self._known = {}
        if len(numbers) <= _MOST_KNOWN:
            self._known.update(numbers)

    def _encoded(self, found: list[str], length: int) -> list[list[int]]:
        if self._tokenizer is None:
            return self.pieces.ids(texts.encoded(found, length))
        # Half of a character, left by a view, is no text to the library.
        written = [text.encode("utf-8", "replace").decode() for text in found]
        written = [text.lower() for text in written] if self._told["lower"] else written
        return [made.ids for made in self._tokenizer.encode_batch_fast(written, add_special_tokens=False)]

    def vectors(self, ids: Tensor, dropped: Tensor | None = None) -> Tensor:
        """``(t, width)``: of each token ``(t,)``; where it is `dropped` ``(t,)``, without what is learned of it."""
        vectors: Tensor = self.learned(self.slots[ids])
        if dropped is not None:
            vectors = vectors.masked_fill(dropped[:, None], 0.0)
        if self.bring is None:
            return vectors
        brought: Tensor = vectors + self.in_blocks(self.bring, self.table.rows[ids])
        return brought

    def contexts(self, run: Run, vectors: Tensor, at: Tensor) -> Tensor:
        """``(k, width)``: what surrounds the tokens at places ``(k,)`` of a run with these ``(t, width)`` vectors."""
        sums = self._sums(run, vectors)
        others = (run.size[run.owner] - 1).clamp(min=1)
        reach = self.settings.neighbours

        def surrounding(at: Tensor) -> Tensor:
            whose = run.owner[at]
            seen = []
            for offset in (*range(-reach, 0), *range(1, reach + 1)):
                near = (at + offset).clamp(0, len(run.ids) - 1)
                there = (near == at + offset) & (run.owner[near] == whose)
                seen.append(vectors[near] * there[:, None])
            return self._seen(seen, (sums[whose] - vectors[at]) / others[at, None])

        return self.in_blocks(surrounding, at)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        run = self.tokens(data)
        means = self._sums(run, self.vectors(run.ids)) / run.size[:, None]
        return self.in_blocks(self._moved, means)

    @staticmethod
    def in_blocks(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """``function(rows)``; without gradients in blocks of one size, the last one filled up with zeros."""
        if torch.is_grad_enabled():
            return function(rows)
        missing = -len(rows) % _BLOCK
        filled = torch.cat([rows, rows.new_zeros((missing, *rows.shape[1:]))])
        made = [function(block) for block in torch.split(filled, _BLOCK)] if len(rows) else [function(rows)]
        return torch.cat(made)[: len(rows)]

    def _moved(self, rest: Tensor) -> Tensor:
        """``(n, width)``: by what the mean of other tokens alone moves the vector of an empty surrounding."""
        nothing = [torch.zeros_like(rest)] * (2 * self.settings.neighbours)
        return self._seen(nothing, rest) - self._seen(nothing, torch.zeros_like(rest))

    def _sums(self, run: Run, vectors: Tensor) -> Tensor:
        """``(n, width)``: of all tokens of each text."""
        sums: Tensor = vectors.new_zeros((len(run.size), self.width)).index_add(0, run.owner, vectors)
        return sums

    def _seen(self, neighbours: list[Tensor], rest: Tensor) -> Tensor:
        """``(k, width)``, from what is seen of each neighbour and of all others, ``(k, width)`` each."""
        hidden = functional.relu(self.inner(torch.cat([*neighbours, _REST * rest], dim=1)))
        made: Tensor = self.outer(hidden)
        return made


def _components(table: Tensor, width: int) -> Tensor:
    """``(tokens, width)``: the rows of a table in its first principal components, with a mean square of 1."""
    if width > table.shape[1]:
        raise InvalidParameter(f"`width` must be at most {table.shape[1]}, that of the model; got {width}. Take 64.")
    centred = (table - table.mean(dim=0)).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    del values
    vectors = vectors[:, -width:].flip(1)
    signs = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()
    made = centred @ (vectors * signs)
    scaled: Tensor = (made / made.square().mean().sqrt()).float()
    return scaled


def _check_texts(schema: Schema) -> None:
    if len(schema.shape) != 1 or schema.levels != (texts.CODE_POINTS,):
        raise InvalidParameter(
            f"`encoder` TokenContext must get texts; got samples of shape {schema.shape}. Take it with the modality "
            "'text'."
        )
