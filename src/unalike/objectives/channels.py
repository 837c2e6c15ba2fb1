"""Windows of one channel belong together: apart from those of other channels, and from spoilt ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unalike.errors import InvalidParameter, NotFitted
from unalike.objectives.anomalies import InjectAnomalies, check_windows
from unalike.objectives.head import check_head, projection_head
from unalike.objectives.losses import check_temperature, info_nce
from unalike.objectives.nearby import Injector, anomalous, check_injection
from unalike.objectives.pairs import make_plain
from unalike.parallel import gather
from unalike.seeding import RowGenerator
from unalike.types import Batch, View

_POOL_VALUES = 2**24


@dataclass(frozen=True, kw_only=True)
class ChannelContrast:
    """Settings of the contrast of channels, for records of many.

    Of each window one channel is taken. Its positive is the same channel of another training window. Its negatives
    are windows of other channels, and windows of the same channel with an injected anomaly. So the network learns what
    a channel looks like whenever it is normal, which neither the time of day nor a slow drift changes. Channels that
    are constant in training take no part.

    The encoder must see each channel alone: a method ``of_channels((m, length)) -> (m, channel_width)`` and an
    attribute `channel_width`, as those of `unalike.encoders.ChannelCNN`.

    Parameters
    ----------
    injection : InjectAnomalies
        Kinds and sizes of the anomalies.
    temperature : float
        Of `unalike.objectives.losses.info_nce`, above 0.
    head_layers, head_width, head_hidden
        As in `SimCLR`.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    injection: InjectAnomalies = field(
        default_factory=lambda: InjectAnomalies(
            unit="channel",
            length=(0.06, 1.0),
            channels=(1.0, 1.0),
            shift_size=(1.0, 10.0),
            spike_size=(2.0, 20.0),
            noise_size=(0.5, 5.0),
            amplitude=(1.5, 8.0),
        )
    )
    temperature: float = 0.1
    head_layers: int = 2
    head_width: int = 64
    head_hidden: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        check_injection(self.injection)
        check_temperature(self.temperature)
        check_head(layers=self.head_layers, out=self.head_width, hidden=self.head_hidden)

    def build(self, encoder: nn.Module) -> ChannelContrastObjective:
        """Put `encoder` under a new projection head, whose weights torch's generator draws.

        Raises
        ------
        InvalidParameter
            When the encoder does not see channels alone.
        """
        width = getattr(encoder, "channel_width", None)
        if not isinstance(width, int) or not hasattr(encoder, "of_channels"):
            raise InvalidParameter(
                "`objective` ChannelContrast must have an encoder with a method `of_channels`, which sees each channel "
                f"alone; got {type(encoder).__name__}. Use ChannelCNN(), or another objective and scorer, such as "
                "objective='injected' and scorer='knn'."
            )
        head = projection_head(width, hidden=self.head_hidden, out=self.head_width, layers=self.head_layers)
        return ChannelContrastObjective(encoder, head, self)


class ChannelContrastObjective(nn.Module):
    """The contrast with its network: `encoder` on one channel at a time, then `head`.

    Parameters
    ----------
    encoder, head : Module
        See `ChannelContrast.build`.
    settings : ChannelContrast
        Anomalies and temperature.
    """

    kinds = ("injected",)
    """Names of the equal parts of what `negatives` gives."""
    pool: Tensor | None
    live: Tensor | None

    def __init__(self, encoder: nn.Module, head: nn.Module, settings: ChannelContrast) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.settings = settings
        self.injector = Injector(settings.injection)
        # Training data does not belong into a saved model, hence persistent=False.
        for name in ("pool", "live"):
            self.register_buffer(name, None, persistent=False)

    def prepare(self, sample: Tensor) -> None:
        """Know training windows ``(m, channels, length)``: positives are drawn from them, at most 64 MiB.

        Raises
        ------
        InvalidInput
            `sample` holds no such windows.
        """
        check_windows("sample", sample)
        device = next(self.head.parameters()).device
        most = min(len(sample), max(_POOL_VALUES // sample[0].numel(), 1))
        kept = torch.arange(most, device=sample.device) * len(sample) // most
        self.pool = sample[kept].detach().clone().to(device)
        values = self.pool.transpose(0, 1).flatten(1)  # (channels, values)
        apart = (values - values.nanmean(dim=1, keepdim=True)).abs().nan_to_num(0.0).amax(dim=1)
        live = (apart > 0.0).nonzero()[:, 0]
        self.live = live if len(live) else torch.arange(len(values), device=device)
        self.injector.prepare(self.pool, device)

    def negatives(self, data: Tensor, generator: RowGenerator) -> Tensor:
        """``(n, channels, length)``: the windows with an anomaly each.

        Raises
        ------
        NotFitted
            Before `prepare`, where kinds of anomaly take values of other windows.
        """
        made: Tensor = self.injector(data, generator)
        return made

    def forward(self, batch: Batch, views: View, generator: RowGenerator) -> Tensor:
        """Scalar loss of the batch's windows; of labelled anomalies, which are negatives of their channel, none.

        Raises
        ------
        NotFitted
            Before `prepare`.
        """
        if self.pool is None or self.live is None:
            raise NotFitted("`prepare(sample)` must be called before the first batch; call it with training windows.")
        n, normal = len(batch.data), ~anomalous(batch)
        channel = self.live[generator.integers(len(self.live))]  # (n,)
        partner = self.pool[generator.integers(len(self.pool))].to(batch.data)
        spoilt = torch.where(normal[:, None, None], self.negatives(batch.data, generator), batch.data)
        seen = torch.cat([_of(views(part, generator), channel) for part in (batch.data, partner, spoilt)])
        anchors, keys, wrong = self.head(self.encoder.of_channels(seen)).split(n)  # type: ignore[operator]
        negatives = torch.cat([gather(keys), gather(wrong)])
        codes, known = gather(channel), gather(normal)
        same = channel[:, None] == codes
        # A key of the same channel would be a positive; a spoilt window of another channel is told apart by that.
        excluded = torch.cat([same | ~known, ~same], dim=1)
        if not normal.any():
            nothing: Tensor = anchors.sum() * 0.0
            return nothing
        return info_nce(anchors[normal], keys[normal], negatives, self.settings.temperature, excluded[normal])


def _of(windows: Tensor, channel: Tensor) -> Tensor:
    """``(n, length)``: the channel of each window that was drawn for it."""
    return windows[torch.arange(len(windows), device=windows.device), channel]
