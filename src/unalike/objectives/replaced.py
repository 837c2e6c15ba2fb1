"""Which tokens of a text have been replaced?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives.head import check_head, head_for
from unalike.objectives.losses import check_temperature, nt_xent
from unalike.objectives.nearby import anomalous, check_amount
from unalike.objectives.pairs import make_plain, two_views
from unalike.parallel import largest, mean_count
from unalike.seeding import RowGenerator, derive
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class ReplacedTokens:
    """Settings of replaced-token detection beside NT-Xent, for a `TextTransformer`.

    Of each text two views are drawn, and some tokens of each are replaced by others, drawn by their frequency in the
    training texts. A linear logit on the state of each token tells which ones were; the two embeddings are a positive
    pair. Of an anomalous text many tokens look replaced: their mean probability is the method's own score
    (`ReplacedTokensObjective.score`, in a detector ``scorer="objective"``).

    Parameters
    ----------
    rate : float
        Chance of each token to be replaced, in ``(0, 1)``.
    power : float
        Tokens are drawn in proportion to their frequency to this power: 0 all that there are alike.
    pairs : float
        What NT-Xent weighs beside the detection, 0 or more; 0: none.
    temperature : float
        Of NT-Xent.
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Manolache, Brad and Burceanu, "DATE: detecting anomalies in text via self-supervision of transformers", NAACL 2021,
    whose task to tell masks apart has no place here. Clark et al., "ELECTRA: pre-training text encoders as
    discriminators rather than generators", ICLR 2020.
    """

    rate: float = 0.3
    power: float = 0.5
    pairs: float = 0.1
    temperature: float = 0.1
    head_layers: int = 2
    head_width: int = 128
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        if isinstance(self.rate, bool) or not isinstance(self.rate, (int, float)) or not 0.0 < self.rate < 1.0:
            raise InvalidParameter(f"`rate` must be a number between 0 and 1; got {self.rate!r}. Try 0.3.")
        check_amount("power", self.power)
        check_amount("pairs", self.pairs)
        check_temperature(self.temperature)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> ReplacedTokensObjective:
        """Put `encoder` under a projection head and a linear logit, whose weights torch's generator draws.

        Raises
        ------
        InvalidParameter
            The encoder gives no states of tokens.
        """
        if not hasattr(encoder, "token_states"):
            raise InvalidParameter(
                f"`objective` ReplacedTokens must have an encoder with tokens of its own; got "
                f"{type(encoder).__name__}. Give encoder='text-transformer'."
            )
        return ReplacedTokensObjective(encoder, head_for(encoder, self), self)


class ReplacedTokensObjective(nn.Module):
    """Replaced-token detection with its network.

    Parameters
    ----------
    encoder : TokenTransformer
        ``(n, length) -> (n, width)``.
    head : Module
        ``(n, width) -> (n, head_width)``.
    settings : ReplacedTokens
        Replacement and loss.

    Attributes
    ----------
    logit : Linear
        ``(m, t, width) -> (m, t, 1)``; higher = more like a replaced token.
    """

    steps: Tensor

    def __init__(self, encoder: nn.Module, head: nn.Module, settings: ReplacedTokens) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.settings = settings
        self.logit = nn.Linear(int(encoder.width), 1)  # type: ignore[arg-type]
        self.register_buffer("steps", None, persistent=False)

    def prepare(self, sample: Tensor) -> None:
        """Count the tokens of training texts ``(m, length)``."""
        encoder: Any = self.encoder
        ids = encoder.tokens(sample).ids
        counts = torch.bincount(ids.flatten(), minlength=encoder.vocabulary).to(torch.float64)
        counts[: encoder.reserved] = 0.0
        chance = torch.where(counts > 0, counts**self.settings.power, 0.0)
        self.steps = chance.cumsum(dim=0)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar: cross entropy of the tokens of the ``2n`` views, and NT-Xent of the ``n`` pairs.

        The tokens of a labelled anomaly count as replaced, all of them.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        encoder: Any = self.encoder
        n = len(batch.data)
        tokens = encoder.tokens(two_views(batch, views, generator))
        copies = generator.integers(2**61, 2).T.flatten()[tokens.owner.to(generator.device)]
        # Pieces of one text draw apart.
        piece = torch.arange(len(tokens.owner), device=copies.device)
        piece = piece - torch.searchsorted(tokens.owner, tokens.owner).to(copies.device)
        own = RowGenerator(derive(0, "replaced-tokens"), copies + piece)
        ids = self._replaced(tokens.ids, tokens.read, own)
        target = (ids != tokens.ids) | anomalous(batch).repeat(2)[tokens.owner][:, None]
        spoiled = type(tokens)(ids, tokens.owner)
        states = encoder.token_states(spoiled)
        read = tokens.read.to(states.dtype)
        paid = functional.binary_cross_entropy_with_logits(
            self.logit(states).squeeze(2).float(), target.to(torch.float32), reduction="none"
        )
        detected: Tensor = (paid * read).sum() / mean_count(read.sum()).to(read.dtype)
        if self.settings.pairs == 0:
            return detected
        first, second = self.head(encoder.pooled(states, spoiled, 2 * n)).chunk(2)
        paired = nt_xent(first, second, self.settings.temperature, batch.index)
        return detected + self.settings.pairs * paired

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """``(n,)``: mean probability of a token to be a replaced one; a text of no token has that of its start."""
        encoder: Any = self.encoder
        tokens = encoder.tokens(batch.data)
        chances = self.logit(encoder.token_states(tokens)).squeeze(2).sigmoid()
        read = tokens.read | (tokens.there & ~tokens.read.any(dim=1, keepdim=True))
        n = len(batch.data)
        sums = chances.new_zeros(n).index_add(0, tokens.owner, (chances * read).sum(dim=1))
        scores: Tensor = sums / chances.new_zeros(n).index_add(0, tokens.owner, read.sum(dim=1).to(chances.dtype))
        return scores

    def _replaced(self, ids: Tensor, read: Tensor, generator: RowGenerator) -> Tensor:
        """``(m, t)``: `ids` with some of those that are `read` replaced."""
        if self.steps is None:
            raise NotFitted("`prepare(sample)` must be called before the first batch; call it with the training texts.")
        # Of all processes, or the second draw would depend on what texts a process has.
        longest = largest(ids.shape[1])
        draw, which = (generator.uniform(longest)[:, : ids.shape[1]].to(ids.device) for _ in range(2))
        steps = self.steps.to(ids.device, torch.float64)
        other = torch.searchsorted(steps, which.to(torch.float64) * steps[-1], right=True).clamp(max=len(steps) - 1)
        return torch.where(read & (draw < self.settings.rate), other, ids)
