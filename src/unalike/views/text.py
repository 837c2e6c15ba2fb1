"""Views of texts ``(n, length)``, code points with zeros behind them: words left out, exchanged and moved.

Words are those of `unalike.texts.words`, so that every script has them. A text never becomes empty, and words never
grow together. What no longer fits into `length` is left out at the end. `views.textnoise` makes texts that are *not*
normal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unalike import texts
from unalike.errors import InvalidParameter, NotFitted
from unalike.seeding import RowGenerator
from unalike.views import checks
from unalike.views.compose import Compose
from unalike.views.wording import Vocabulary, pieces, vocabulary, written


@dataclass(frozen=True)
class DeleteWords:
    """Leave words out.

    Parameters
    ----------
    p : float
        Chance of each word; one word always stays.

    Raises
    ------
    InvalidParameter
        When `p` is not in ``[0, 1]``.

    References
    ----------
    Wei and Zou, "EDA: easy data augmentation techniques for boosting performance on text classification tasks", EMNLP
    2019.
    """

    p: float = 0.1

    def __post_init__(self) -> None:
        checks.probability("p", self.p)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        draw = generator.uniform(data.shape[1])
        words = pieces(data)
        draw = torch.where(words.there, draw[:, : words.start.shape[1]], -1.0)
        luckiest = draw == draw.max(dim=1, keepdim=True).values if draw.shape[1] else draw > 0
        return written(words.kept((draw >= self.p) | luckiest), data)


@dataclass(frozen=True, kw_only=True)
class ReplaceWords:
    """Put words of the training texts in the place of some.

    Parameters
    ----------
    p : float
        Chance of each word.
    power : float
        A word is drawn in proportion to its frequency in the training texts to this power: 1 as it comes there, 0 all
        words alike.
    known : Vocabulary, optional
        Set by `prepare`.

    Raises
    ------
    InvalidParameter
        When a setting is out of range.
    NotFitted
        When called before `prepare`.
    """

    p: float = 0.1
    power: float = 0.75
    known: Vocabulary | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.probability("p", self.p)
        checks.amount("power", self.power)

    def prepare(self, sample: Tensor) -> ReplaceWords:
        """A copy that draws from the words of `sample`, ``(m, length)`` training texts."""
        return replace(self, known=known_words(sample))

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        known = ready(self.known, data, "ReplaceWords")
        draw, which = generator.uniform(data.shape[1]), generator.uniform(data.shape[1])
        words = pieces(data)
        most = words.start.shape[1]
        start, size = known.drawn(which[:, :most], self.power)
        return written(words.exchanged(draw[:, :most] < self.p, known.source, start, size), data)


@dataclass(frozen=True, kw_only=True)
class MaskSpan:
    """Leave out a run of words, or put one word in its place.

    Parameters
    ----------
    share : float
        The run is of at most this share of the text's words and of at least one, but never of all.
    mask : str
        Stands in place of the run, such as ``"[MASK]"`` where the encoder knows it. Empty: nothing does.

    Raises
    ------
    InvalidParameter
        When `share` is not in ``[0, 1]``, or `mask` is no text.
    """

    share: float = 0.3
    mask: str = ""

    def __post_init__(self) -> None:
        checks.probability("share", self.share)
        if not isinstance(self.mask, str) or "\0" in self.mask:
            raise InvalidParameter(
                f"`mask` must be a text without NUL; got {self.mask!r}. Give '' to mask with nothing."
            )

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        draw = generator.uniform(2)
        words = pieces(data)
        size = (words.count * self.share * draw[:, 0]).ceil().long().clamp(min=1)
        size = torch.minimum(size, (words.count - 1).clamp(min=0))
        first = torch.minimum((draw[:, 1] * (words.count - size + 1)).long(), words.count - size)
        last = first + size
        hidden = (words.numbers >= first[:, None]) & (words.numbers < last[:, None])
        if self.mask:
            source = texts.encoded([self.mask], len(self.mask))[0]
            at = hidden & (words.numbers == first[:, None])
            whole = torch.zeros_like(words.start)
            words = words.exchanged(at, source, whole, whole + len(source))
            hidden = hidden & ~at
        return written(words.kept(~hidden), data)


@dataclass(frozen=True)
class CropText:
    """Keep one run of words.

    Parameters
    ----------
    least : float
        The run is of at least this share of the text's words, and of at least one.

    Raises
    ------
    InvalidParameter
        When `least` is not in ``[0, 1]``.
    """

    least: float = 0.5

    def __post_init__(self) -> None:
        checks.probability("least", self.least)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        draw = generator.uniform(2)
        words = pieces(data)
        size = (words.count * (self.least + (1.0 - self.least) * draw[:, 0])).ceil().long().clamp(min=1)
        size = torch.minimum(size, words.count)
        first = torch.minimum((draw[:, 1] * (words.count - size + 1)).long(), words.count - size)
        inside = (words.numbers >= first[:, None]) & (words.numbers < (first + size)[:, None])
        return written(words.kept(inside), data)


@dataclass(frozen=True)
class ShuffleWords:
    """Move words a little.

    Parameters
    ----------
    window : int
        2 or more: no word moves by as many places.

    Raises
    ------
    InvalidParameter
        When `window` is no whole number of 2 or more.
    """

    window: int = 3

    def __post_init__(self) -> None:
        checks.several("window", self.window)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        checks.points(data)
        draw = generator.uniform(data.shape[1])
        words = pieces(data)
        key = words.numbers + self.window * draw[:, : words.start.shape[1]]
        order = torch.where(words.there, key, torch.inf).argsort(dim=1, stable=True)
        return written(words.ordered(order), data)


def standard_text_view() -> Compose:
    """The default view of texts: one word in ten left out, one in twenty exchanged, the others moved a little."""
    return Compose((DeleteWords(0.1), ReplaceWords(p=0.05), ShuffleWords(3)))


def known_words(sample: Tensor) -> Vocabulary:
    """The vocabulary of training texts; of texts without any word, that of one dot."""
    checks.points(sample)
    return vocabulary(sample) or Vocabulary(
        torch.tensor([46], dtype=torch.int32),
        torch.zeros(1, dtype=torch.int64),
        torch.ones(1, dtype=torch.int64),
        torch.ones(1, dtype=torch.float64),
    )


def ready(known: Vocabulary | None, data: Tensor, name: str) -> Vocabulary:
    """The vocabulary on the device of `data`.

    Raises
    ------
    NotFitted
        There is none yet.
    """
    if known is None:
        raise NotFitted(f"`{name}` must know training texts first. Call `prepare(sample)` and use what it returns.")
    return known.to(data.device)
