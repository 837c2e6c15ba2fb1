"""Real windows of series against windows with injected anomalies."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.objectives.anomalies import InjectAnomalies
from unalike.objectives.head import embedding_width
from unalike.objectives.nearby import (
    Injector,
    anomalous,
    check_amount,
    check_count,
    check_injection,
    check_share,
    neighbors,
    pair_distances,
)
from unalike.objectives.pairs import full_precision, make_plain
from unalike.seeding import RowGenerator
from unalike.types import Batch, View


@dataclass(frozen=True, kw_only=True)
class InjectedContrast:
    """Settings of the contrast of real windows with windows that have an injected anomaly.

    A linear logit on the embedding tells them apart (noise-contrastive estimation, as `SyntheticContrast` for tables).

    Parameters
    ----------
    injection : InjectAnomalies
        Kinds and sizes of the anomalies.
    per_window : int
        Windows with anomalies for each real one, 1 or more; real and injected ones weigh the same in all.
    with_views : bool
        See real and injected windows under views. False: as they are.
    margin_weight : float
        Of a second part of the loss, 0 or more: in the embedding, a window must be nearer to its neighbour in time
        than to itself with an anomaly, by `margin` in cosine distance.
    margin : float
        Above 0; the cosine distance reaches from 0 to 2.
    neighbor : float
        The neighbour begins up to this share of the length before or after, in ``[0, 1]``.

    Raises
    ------
    InvalidParameter
        A setting is out of range.

    References
    ----------
    Gutmann and Hyvarinen, "Noise-contrastive estimation: a new estimation principle for unnormalized statistical
    models", AISTATS 2010. The margin: Darban et al., "CARLA", Pattern Recognition 157, 2025.
    """

    injection: InjectAnomalies = field(default_factory=InjectAnomalies)
    per_window: int = 1
    with_views: bool = False
    margin_weight: float = 0.0
    margin: float = 0.5
    neighbor: float = 0.1

    def __post_init__(self) -> None:
        make_plain(self)
        check_injection(self.injection)
        check_count("per_window", self.per_window)
        check_amount("margin_weight", self.margin_weight)
        check_amount("margin", self.margin, above=True)
        check_share("neighbor", self.neighbor)

    def build(self, encoder: nn.Module) -> InjectedContrastObjective:
        """Put `encoder` under a linear logit, whose weights torch's generator draws."""
        return InjectedContrastObjective(encoder, nn.Linear(embedding_width(encoder), 1), self)


class InjectedContrastObjective(nn.Module):
    """The contrast with its network: `encoder`, then `logit`; higher logit = more like a real window.

    The logit is no anomaly score: of anomalies unlike the injected ones it knows nothing. Score the embedding with
    neighbours.

    Parameters
    ----------
    encoder : Module
        ``(n, channels, length) -> (n, width)``.
    logit : Linear
        ``(n, width) -> (n, 1)``.
    settings : InjectedContrast
        Anomalies and loss.
    """

    def __init__(self, encoder: nn.Module, logit: nn.Linear, settings: InjectedContrast) -> None:
        super().__init__()
        self.encoder = encoder
        self.logit = logit
        self.settings = settings
        self.injector = Injector(settings.injection)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the equal parts of what `negatives` gives."""
        more = (f"injected {number}" for number in range(2, self.settings.per_window + 1))
        return ("injected", *more)

    def prepare(self, sample: Tensor) -> None:
        """Know training windows ``(m, channels, length)``, of which anomalies take values.

        Raises
        ------
        InvalidInput
            `sample` holds no such windows.
        """
        self.injector.prepare(sample, self.logit.weight.device)

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss: mean softplus(-logit) of the real windows plus mean softplus(logit) of the others.

        Labelled anomalies join those with injected anomalies, with the weight of one each; nothing is injected into
        them.

        Raises
        ------
        NotFitted
            Before `prepare`, where kinds of anomaly take values of other windows.
        """
        normal = ~anomalous(batch)
        real = self._seen(batch.data, views, generator)
        negatives = self._seen(self.negatives(batch.data, generator), views, generator)
        negatives = negatives[normal.repeat(self.settings.per_window)]
        parts = [real[normal], negatives, real[~normal]]
        if self.settings.margin_weight > 0:
            near = neighbors(batch.data, generator, self.settings.neighbor)
            parts.append(self._seen(near, views, generator)[normal])
        embeddings = self.encoder(torch.cat(parts))
        told, drawn, *others = torch.split(embeddings, [len(part) for part in parts])
        loss = self._told_apart(told, torch.cat((drawn, others[0])))
        if self.settings.margin_weight > 0:
            loss = loss + self.settings.margin_weight * self._margin(told, others[1], drawn)
        return loss

    def negatives(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(per_window n, channels, length)``: the windows with an anomaly each, once after the other.

        Raises
        ------
        NotFitted
            Before `prepare`, where kinds of anomaly take values of other windows.
        """
        return torch.cat([self.injector(data, generator) for _ in range(self.settings.per_window)])

    def _seen(self, data: Tensor, views: View, generator: RowGenerator) -> Tensor:
        if not self.settings.with_views:
            return data
        # A view draws for the rows of the generator: for one window with an anomaly each at a time.
        return torch.cat([views(rows, generator) for rows in torch.split(data, len(generator))])

    def _told_apart(self, real: Tensor, other: Tensor) -> Tensor:
        logits = self.logit(torch.cat((real, other))).squeeze(1)
        logits = full_precision(logits)
        of_real, of_other = torch.split(logits, [len(real), len(other)])
        return functional.softplus(-of_real).mean() + functional.softplus(of_other).mean()

    def _margin(self, anchor: Tensor, positive: Tensor, drawn: Tensor) -> Tensor:
        """Mean over the windows and each of their ``per_window`` negatives."""
        near = pair_distances(anchor, positive)  # (n,)
        far = torch.stack([pair_distances(anchor, part) for part in torch.split(drawn, len(anchor))])  # (per_window, n)
        return functional.relu(near + self.settings.margin - far).mean()
