"""Which token belongs here? Each token of a text against others, given what surrounds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives.nearby import anomalous, check_amount, check_count
from unalike.objectives.pairs import make_plain
from unalike.parallel import gather, largest, mean_count, world_size
from unalike.seeding import RowGenerator, derive
from unalike.types import Batch, View

_TOGETHER = 32
"""Texts that are scored at a time: memory does not grow with their number."""
_IMPOSSIBLE = -1e4
"""Logit of a noise token that is the true one: it does not count."""


@dataclass(frozen=True, kw_only=True)
class TokenPrediction:
    """Settings of contrastive token prediction, for a `TokenContext`.

    A token of a text and what surrounds it belong together: from the surroundings the token must be found among noise
    tokens (InfoNCE). Half of the noise is drawn by frequency in the training texts, half by how common tokens are in
    texts of any topic (`ContextNetwork.at_large`): so the network learns which tokens follow upon each other, and
    which ones the normal texts have at all. The mean loss over the tokens of a text, against noise that is drawn once,
    is the method's own score (`TokenPredictionObjective.score`, in a detector ``scorer="objective"``).

    Parameters
    ----------
    noise : int
        Noise tokens of a training step, 2 or more; a batch of many texts may have a few more.
    score_noise : int
        Noise tokens of the score, 2 or more.
    most_tokens : int
        Of a longer text so many tokens, other ones in each step, are searched in training. The score takes all.
    power : float
        Noise by frequency is drawn in proportion to the frequency to this power, 0 or more.
    dropout : float
        In training, in ``[0, 1)``: the share of tokens among the surroundings without what is learned of them.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018; Mnih and
    Kavukcuoglu, "Learning word embeddings efficiently with noise-contrastive estimation", NeurIPS 2013. Labelled
    anomalies, whose tokens must *not* be found: Qiu et al., "Latent outlier exposure for anomaly detection with
    contaminated data", ICML 2022.
    """

    noise: int = 256
    score_noise: int = 768
    most_tokens: int = 32
    power: float = 0.75
    dropout: float = 0.15

    def __post_init__(self) -> None:
        make_plain(self)
        for name, least in (("noise", 2), ("score_noise", 2), ("most_tokens", 1)):
            check_count(name, getattr(self, name), least=least)
        check_amount("power", self.power)
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise InvalidParameter(f"`dropout` must be a number in [0, 1); got {self.dropout!r}. Try 0.15.")

    def build(self, encoder: nn.Module) -> TokenPredictionObjective:
        """Put `encoder` beside a bias for each of its tokens; torch's generator draws the seed of the score's noise.

        Raises
        ------
        InvalidParameter
            The encoder gives no contexts of tokens.
        """
        if not hasattr(encoder, "contexts"):
            raise InvalidParameter(
                f"`objective` TokenPrediction must have an encoder of what surrounds a token; got "
                f"{type(encoder).__name__}. Give encoder='token-context'."
            )
        return TokenPredictionObjective(encoder, self, seed=int(torch.randint(2**31 - 1, ())))


class TokenPredictionObjective(nn.Module):
    """Contrastive token prediction with its network.

    Parameters
    ----------
    encoder : ContextNetwork
        ``(n, length) -> (n, width)``.
    settings : TokenPrediction
        Noise and dropout.
    seed : int
        Of the noise of the score.

    Attributes
    ----------
    bias : Parameter
        ``(slots,)``, added to the logits of tokens.
    noise : Tensor
        ``(score_noise,)`` int64, the noise tokens of the score.
    """

    noise: Tensor
    steps: Tensor

    def __init__(self, encoder: nn.Module, settings: TokenPrediction, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.settings = settings
        self.seed = seed
        learned: nn.Embedding = encoder.learned  # type: ignore[assignment]
        self.bias = nn.Parameter(learned.weight.new_zeros(len(learned.weight)))
        self.scale = float(int(encoder.width) ** -0.5)  # type: ignore[arg-type]
        self.register_buffer("noise", torch.full((settings.score_noise,), -1))
        self.register_buffer("steps", None, persistent=False)

    def prepare(self, sample: Tensor) -> None:
        """Count the tokens of training texts ``(m, length)``, and draw the noise of the score."""
        encoder: Any = self.encoder
        if encoder.awaits_state:  # a saved model brings all that is needed to score
            return
        counts = encoder.counted(sample).to("cpu", torch.float64)
        chances = torch.stack([torch.where(counts > 0, counts**self.settings.power, 0.0), encoder.at_large()])
        chances[chances.sum(dim=1) == 0] = 1.0  # no text of the sample has a word
        device = self.bias.device
        self.steps = (chances / chances.sum(dim=1, keepdim=True)).cumsum(dim=1).to(device)  # (2, vocabulary)
        drawn = RowGenerator(derive(self.seed, "noise"), torch.zeros(1, dtype=torch.int64))
        self.noise = self._drawn(drawn, self.settings.score_noise)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar: mean loss of the tokens that are searched.

        A token of a labelled anomaly pays minus the logarithm of the probability of *not* being found. `views` are not
        used: what belongs together are parts of one text.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        encoder: Any = self.encoder
        run = encoder.tokens(batch.data)
        longest = largest(int(run.size.max()))
        chances = generator.uniform(2, longest).to(run.ids.device)  # (n, 2, longest)
        at = self._searched(chances[:, 0], run)
        dropped = None
        if self.training:
            dropped = chances[run.owner, 1, run.place] < self.settings.dropout
        contexts = encoder.contexts(run, encoder.vectors(run.ids, dropped), at)
        # All processes draw, for all of them: noise is that of one batch.
        noise = gather(self._drawn(generator, -(-self.settings.noise // (len(run.size) * world_size()))))
        own, wrong = self._logits(contexts, run.ids[at], noise)
        total = torch.logaddexp(own, wrong)
        bad = anomalous(batch)[run.owner[at].to(batch.data.device)].to(own.device)
        loss: Tensor = (total - torch.where(bad, wrong, own)).sum()
        return loss / mean_count(torch.tensor(len(at), device=loss.device)).to(loss.dtype)

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """``(n,)``: mean loss over all tokens of each text; higher = more anomalous.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        if self.noise[0] < 0:
            raise NotFitted("`prepare(sample)` must be called before scoring; call it with the training texts.")
        if not len(batch.data):
            return self.bias.new_zeros(0)
        return torch.cat([self._of_texts(part) for part in torch.split(batch.data, _TOGETHER)])

    def _of_texts(self, data: Tensor) -> Tensor:
        encoder: Any = self.encoder
        run = encoder.tokens(data)
        contexts = encoder.contexts(run, encoder.vectors(run.ids), torch.arange(len(run.ids), device=run.ids.device))
        own, wrong = self._logits(contexts, run.ids, self.noise)
        losses = torch.logaddexp(own, wrong) - own
        means: Tensor = losses.new_zeros(len(run.size)).index_add(0, run.owner, losses) / run.size
        return means

    def _searched(self, chances: Tensor, run: Any) -> Tensor:
        """``(k,)``: places in the run of at most so many tokens of each text, by `chances` ``(n, longest)``."""
        there = torch.arange(chances.shape[1], device=chances.device) < run.size[:, None]
        most = min(self.settings.most_tokens, chances.shape[1])
        chosen = chances.masked_fill(~there, 2.0).topk(most, dim=1, largest=False).indices  # (n, most)
        first = run.size.cumsum(dim=0) - run.size
        places: Tensor = (first[:, None] + chosen)[there.gather(1, chosen)]
        return places

    def _logits(self, contexts: Tensor, ids: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """``(k,)`` each: the logit of the tokens ``(k,)``, and the logarithm of the sum over noise ``(m,)``."""
        encoder: Any = self.encoder
        with torch.autocast(contexts.device.type, enabled=False):
            kind = torch.promote_types(contexts.dtype, torch.float32)
            contexts = contexts.to(kind)
            own = (contexts * encoder.vectors(ids).to(kind)).sum(dim=1) * self.scale + self.bias[encoder.slots[ids]]
            others, bias = encoder.vectors(noise).to(kind).T * self.scale, self.bias[encoder.slots[noise]]
            wrong = encoder.in_blocks(lambda rows: rows @ others + bias, contexts)
            wrong = wrong.masked_fill(ids[:, None] == noise, _IMPOSSIBLE)
            return own, wrong.logsumexp(dim=1)

    def _drawn(self, generator: RowGenerator, amount: int) -> Tensor:
        """``(n * amount',)`` noise tokens, half of each kind: each row draws `amount`, or one more."""
        if self.steps is None:
            raise NotFitted("`prepare(sample)` must be called before the first batch; call it with the training texts.")
        draws = generator.uniform(2, -(-amount // 2)).to(self.steps.device, torch.float64)
        drawn = [
            torch.searchsorted(steps, draws[:, kind].flatten() * steps[-1], right=True)
            for kind, steps in enumerate(self.steps)
        ]
        return torch.cat(drawn).clamp(max=self.steps.shape[1] - 1)
