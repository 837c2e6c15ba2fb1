"""Two looks at an image, one embedding: the mean over the image and its mirror image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from unalike.data import evenly
from unalike.encoders.checks import image_shape, one_of, truth
from unalike.encoders.convnet import ConvNet
from unalike.errors import InvalidParameter
from unalike.symmetry import is_symmetric
from unalike.types import Schema

_MEASURED = 1000
_CHUNK = 256
_LEAST_SPREAD = 0.1
"""Of the mean one: numbers that hardly vary would drown the others."""


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """Settings of an encoder that looks at each image and at its mirror image, and takes the mean of both.

    Where normal images are as often the one as the other, the difference of the two says nothing of what is normal;
    without it, what is normal lies closer together. In training mode there is one look, the image as it is.

    Parameters
    ----------
    encoder : EncoderSettings or Module
        What looks.
    mirror : "auto" or bool
        ``"auto"``: where mirrored training images are like the training images (`unalike.symmetry.is_symmetric`). Not
        where all shoes point to the left, for example: there a mirrored one is to be told.
    rescale : bool
        Divide each number of the embedding by its standard deviation over (at most 1,000) training images first,
        without centring it; never by less than a tenth of the mean one. For an encoder that does not train.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    encoder: Any = field(default_factory=ConvNet)
    mirror: Literal["auto"] | bool = "auto"
    rescale: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.encoder, (str, type)) or not (
            isinstance(self.encoder, nn.Module) or callable(getattr(self.encoder, "build", None))
        ):
            raise InvalidParameter(
                f"`encoder` must be settings of an encoder, such as ConvNet(), or a module; got {self.encoder!r}."
            )
        one_of("mirror", self.mirror, ("auto", True, False))
        truth("rescale", self.rescale)

    def blank(self) -> Mirrored:
        """The same with random weights, for those of a saved model."""
        return replace(self, encoder=self.encoder.blank()) if hasattr(self.encoder, "blank") else self

    def build(self, schema: Schema) -> MirroredEncoder:
        """The encoder for images ``(channels, height, width)``; torch's generator draws random weights."""
        image_shape("Mirrored", schema)
        return MirroredEncoder(self.encoder.build(schema), self.mirror, self.rescale)


class MirroredEncoder(nn.Module):
    """The mean of the embeddings of an image and of its mirror image: ``(n, ...) -> (n, width)``.

    The sum of both at unit length, where they are rescaled; else their plain mean.

    Parameters
    ----------
    encoder : Module
        With attribute `width`.
    mirror, rescale
        As in `Mirrored`. With ``"auto"`` one look is taken until `prepare` has seen images.

    Attributes
    ----------
    mirrors : Tensor
        ``()`` bool: whether two looks are taken.
    spread : Tensor
        ``(width,)``: what the embedding is divided by.
    """

    mirrors: Tensor
    spread: Tensor

    def __init__(self, encoder: nn.Module, mirror: Literal["auto"] | bool = "auto", rescale: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.mirror = mirror
        self.rescale = rescale
        self.width = int(encoder.width)  # type: ignore[arg-type]
        self.register_buffer("mirrors", torch.tensor(mirror is True))
        self.register_buffer("spread", torch.ones(self.width))

    @torch.no_grad()
    def prepare(self, sample: Tensor) -> None:
        """Learn from training images ``(m, channels, height, width)`` what the settings leave open."""
        if hasattr(self.encoder, "prepare"):
            self.encoder.prepare(sample)  # type: ignore[operator]
        if self.mirror == "auto":
            self.mirrors.fill_(is_symmetric(sample))
        if self.rescale:
            some = sample[torch.from_numpy(evenly(len(sample), _MEASURED)).to(sample.device)]
            training = self.encoder.training
            self.encoder.eval()
            embeddings = torch.cat([self.encoder(rows) for rows in torch.split(some, _CHUNK)])
            self.encoder.train(training)
            deviation = embeddings.double().std(dim=0, correction=0)
            least = _LEAST_SPREAD * deviation.mean()
            deviation = deviation.clamp(min=float(least)) if float(least) > 0.0 else torch.ones_like(deviation)
            self.spread.copy_(deviation)

    def forward(self, data: Tensor) -> Tensor:
        """Embeddings ``(n, width)``."""
        if self.training or not bool(self.mirrors):
            return self._look(data)
        return (self._look(data) + self._look(data.flip(-1))) / 2.0

    def _look(self, data: Tensor) -> Tensor:
        embeddings: Tensor = self.encoder(data)
        return functional.normalize(embeddings / self.spread, dim=1) if self.rescale else embeddings
