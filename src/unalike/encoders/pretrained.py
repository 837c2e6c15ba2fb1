"""Any pretrained model of texts that Hugging Face or sentence-transformers can read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike import texts
from unalike.encoders import textfolders
from unalike.encoders.checks import needs, one_of, whole
from unalike.encoders.salads import background_texts
from unalike.encoders.textfolders import Recipe
from unalike.errors import InvalidParameter, NotFitted
from unalike.types import IntArray, Schema

_BATCH_TOKENS = 1024
"""Padding included; more at a time fall out of the processor's caches."""
_FEWEST_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class PretrainedText:
    """Settings of a pretrained encoder of texts.

    Parameters
    ----------
    model : str or path
        The folder of a Hugging Face or sentence-transformers model, which is read without any network. Else its name
        on the hub: such a name is *downloaded* on first use, by the rules of Hugging Face's own cache.
    pooling : {"auto", "mean", "cls", "max", "last", "mean-sqrt"}
        How states of tokens become one vector. ``"auto"``: as the model's own ``modules.json`` says, and their mean
        where it says nothing.
    most_tokens : int, optional
        Texts of more tokens are cut into pieces of about equal length, whose states are pooled together: nothing is
        cut off. None: the model's own maximum.
    trainable : int, optional
        Only so many of the last layers train. None: nothing does, and the network stays in evaluation mode.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    Notes
    -----
    Embeddings have length 1. One text alone and in a batch has the same embedding but for rounding, within 1e-6: in
    single precision, sums run in another order in batches of another shape.

    Weights are read from safetensors only, and code from a model's folder is never run.

    A saved model holds weights, configuration and tokenizer, and needs the folder no more.
    """

    model: str | os.PathLike[str]
    pooling: str = "auto"
    most_tokens: int | None = None
    trainable: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, (str, os.PathLike)) or not os.fspath(self.model):
            raise InvalidParameter(
                f"`model` must be the folder of a model, or its name on the Hugging Face hub; got {self.model!r}."
            )
        object.__setattr__(self, "model", os.fspath(self.model))
        one_of("pooling", self.pooling, ("auto", *textfolders.POOLINGS))
        if self.most_tokens is not None and whole("most_tokens", self.most_tokens) < _FEWEST_TOKENS:
            raise InvalidParameter(f"`most_tokens` must be at least {_FEWEST_TOKENS}; got {self.most_tokens}.")
        if self.trainable is not None:
            whole("trainable", self.trainable)

    def blank(self) -> BlankText:
        """The same without the model: it takes all from a saved one, and reads and downloads nothing."""
        return BlankText(trainable=self.trainable)

    def build(self, schema: Schema) -> TextModel:
        """The encoder of texts ``(length,)``.

        Raises
        ------
        InvalidParameter
            The samples are no texts, or the model cannot be read.
        MissingExtra
            transformers is not installed.
        """
        built = self.blank().build(schema)
        model = str(self.model)
        built.make(textfolders.read_recipe(model, self.pooling, self.most_tokens), textfolders.read_network(model))
        return built


@dataclass(frozen=True, kw_only=True)
class BlankText:
    """Settings of a `TextModel` that waits for its state; `trainable` as in `PretrainedText`."""

    trainable: int | None = None

    def build(self, schema: Schema) -> TextModel:
        """The encoder without a network."""
        text_length("PretrainedText", schema)
        return TextModel(schema.shape[0], self.trainable)


def text_length(what: str, schema: Schema) -> int:
    """Characters of a text that `schema` describes.

    Raises
    ------
    InvalidParameter
        When it describes none.
    """
    if len(schema.shape) != 1 or schema.levels != (texts.CODE_POINTS,):
        raise InvalidParameter(
            f"`encoder` {what} must get texts; got samples of shape {schema.shape}. Take it with the modality 'text'."
        )
    return schema.shape[0]


class TextModel(nn.Module):
    """A tokenizer, a network and pooling: ``(n, length)`` code points to ``(n, width)`` vectors of length 1.

    Parameters
    ----------
    length : int
        Characters of a text.
    trainable : int, optional
        As in `PretrainedText`.

    Attributes
    ----------
    awaits_state : bool
        It has no network yet; `set_extra_state` makes one.
    """

    kind: Tensor

    def __init__(self, length: int, trainable: int | None) -> None:
        super().__init__()
        self.length, self.trainable = length, trainable
        self.awaits_state, self.width = True, 0
        # Knows the precision and the device before there are weights.
        self.register_buffer("kind", torch.zeros(()), persistent=False)

    def make(self, recipe: Recipe, network: nn.Module) -> None:
        """Take a network, and all else from its recipe."""
        tokenizers = needs("encoders.PretrainedText", "tokenizers", "text")
        self.recipe = recipe
        self.tokenizer = tokenizers.Tokenizer.from_str(recipe.tokenizer)
        self.before, self.behind = _special(self.tokenizer)
        self.network = network.requires_grad_(False).to(self.kind)
        self.width = int(recipe.config["hidden_size"]) * len(recipe.pooling)
        self.awaits_state = False
        if self.trainable is not None:
            for layer in _last_layers(network, self.trainable):
                layer.requires_grad_(True)

    def get_extra_state(self) -> Tensor:
        """The recipe, as ``(m,)`` uint8 of JSON."""
        self._need_network()
        return torch.from_numpy(np.frombuffer(json.dumps(asdict(self.recipe)).encode(), dtype=np.uint8).copy())

    def set_extra_state(self, state: Tensor) -> None:
        """Make a network of the shape that the recipe says; torch then gives it its weights."""
        told = json.loads(state.cpu().numpy().tobytes())
        recipe = Recipe(**{**told, "pooling": tuple(told["pooling"])})
        if self.awaits_state or recipe != self.recipe:
            self.make(recipe, textfolders.blank_network(recipe.config))

    def train(self, mode: bool = True) -> TextModel:
        """Training mode; a network of which nothing trains stays in evaluation mode."""
        super().train(mode)
        if self.trainable is None and not self.awaits_state:
            self.network.eval()
        return self

    def background(self) -> Tensor:
        """``(b, length)`` code points: texts of no topic, made from the vocabulary (`salads.background_texts`)."""
        self._need_network()
        table = self.network.get_input_embeddings().weight  # type: ignore[operator]
        return texts.encoded(background_texts(self.tokenizer, table.detach(), self.length), self.length)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        self._need_network()
        written = [self._written(text) for text in texts.decoded(data)]
        if torch.is_grad_enabled() and self.network.training:
            return self._embedded(written)
        # Equal texts, frequent in logs, are read once. In training, dropout is to tell them apart.
        number = {text: place for place, text in enumerate(dict.fromkeys(written))}
        places = torch.tensor([number[text] for text in written], dtype=torch.int64, device=self.kind.device)
        return self._embedded(list(number))[places]

    def _written(self, text: str) -> str:
        text = text.strip()
        return self.recipe.prompt + (text.lower() if self.recipe.lower else text)

    def _embedded(self, written: list[str]) -> Tensor:
        if not written:
            return self.kind.new_zeros((0, self.width))
        pieces, owner = self._pieces(written)
        order = np.argsort([-len(piece) for piece in pieces], kind="stable")
        pooled = [self._read([pieces[at] for at in batch]) for batch in _batches(order, pieces)]
        back = torch.from_numpy(np.argsort(order)).to(self.kind.device)
        joined = [torch.cat(parts)[back] for parts in zip(*pooled, strict=True)]
        whose = torch.from_numpy(owner).to(self.kind.device)
        made = [
            _of_texts(mode, parts, whose, len(written)) for mode, parts in zip(self.recipe.pooling, joined, strict=True)
        ]
        return functional.normalize(torch.cat(made, dim=1), dim=1)

    def _pieces(self, written: list[str]) -> tuple[list[list[int]], IntArray]:
        """Token ids of the pieces of all texts, special ones included, and the number of the text that each is of."""
        room = self.recipe.most_tokens - len(self.before) - len(self.behind)
        pieces: list[list[int]] = []
        owner: list[int] = []
        for at, encoding in enumerate(self.tokenizer.encode_batch_fast(written, add_special_tokens=False)):
            ids = encoding.ids
            count = max(-(-len(ids) // room), 1)
            ends = [len(ids) * k // count for k in range(count + 1)]
            pieces += [[*self.before, *ids[a:b], *self.behind] for a, b in pairwise(ends)]
            owner += [at] * count
        return pieces, np.array(owner, dtype=np.int64)

    def _read(self, pieces: list[list[int]]) -> list[Tensor]:
        """For each kind of pooling the ``(m, hidden_size + 1)`` result for these pieces, and what it weighs."""
        longest = max(len(piece) for piece in pieces)
        ids = np.full((len(pieces), longest), self.recipe.config.get("pad_token_id") or 0, dtype=np.int64)
        mask = np.zeros((len(pieces), longest), dtype=np.int64)
        for place, piece in enumerate(pieces):
            ids[place, : len(piece)] = piece
            mask[place, : len(piece)] = 1
        device = self.kind.device
        seen = torch.from_numpy(mask).to(device)
        states = self.network(input_ids=torch.from_numpy(ids).to(device), attention_mask=seen).last_hidden_state
        return [_of_pieces(mode, states, seen) for mode in self.recipe.pooling]

    def _need_network(self) -> None:
        if self.awaits_state:
            raise NotFitted("`PretrainedText` must have its weights first. Load the model that it was saved in.")


def _special(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids that the tokenizer puts before and behind a text."""
    inner = tokenizer.encode("a", add_special_tokens=False).ids
    ids = tokenizer.encode("a").ids
    start = next(at for at in range(len(ids)) if ids[at : at + len(inner)] == inner)
    return ids[:start], ids[start + len(inner) :]


def _batches(order: IntArray, pieces: list[list[int]]) -> Iterator[IntArray]:
    """`order` in runs of at most so many tokens, padding included; the longest pieces come first."""
    start = 0
    while start < len(order):
        many = max(_BATCH_TOKENS // max(len(pieces[order[start]]), 1), 1)
        yield order[start : start + many]
        start += many


def _of_pieces(mode: str, states: Tensor, seen: Tensor) -> Tensor:
    """``(m, d + 1)``: the states ``(m, tokens, d)`` of each piece, pooled, and the weight of the result."""
    if mode in ("mean", "mean-sqrt"):
        pooled = torch.einsum("mtd,mt->md", states, seen.to(states.dtype))
        return torch.cat([pooled, seen.sum(dim=1, keepdim=True).to(states.dtype)], dim=1)
    if mode == "max":
        pooled = states.masked_fill(seen[:, :, None] == 0, -torch.inf).amax(dim=1)
    else:
        at = torch.zeros_like(seen[:, 0]) if mode == "cls" else seen.sum(dim=1) - 1
        pooled = states[torch.arange(len(states), device=states.device), at]
    return torch.cat([pooled, torch.ones_like(pooled[:, :1])], dim=1)


def _of_texts(mode: str, parts: Tensor, owner: Tensor, n: int) -> Tensor:
    """``(n, d)``: the results of `_of_pieces`, those of one text together."""
    if mode == "max":
        over = parts.new_full((n, parts.shape[1]), -torch.inf)
        return over.scatter_reduce(0, owner[:, None].expand_as(parts), parts, "amax")[:, :-1]
    sums = parts if len(parts) == n else parts.new_zeros((n, parts.shape[1])).index_add(0, owner, parts)
    weight = sums[:, -1:]
    return sums[:, :-1] / (weight.sqrt() if mode == "mean-sqrt" else weight)


def _last_layers(network: nn.Module, count: int) -> list[nn.Module]:
    stacks = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    layers = max((list(stack) for stack in stacks), key=len, default=[])
    if count > len(layers):
        raise InvalidParameter(
            f"`trainable` must be at most {len(layers)}, the layers of {type(network).__name__}; got {count}."
        )
    return layers[len(layers) - count :]
