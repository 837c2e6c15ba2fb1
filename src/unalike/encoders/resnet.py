"""ResNet-18, with a stem for small images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from unalike.encoders.checks import image_shape, needs, one_of, whole
from unalike.encoders.convnet import PooledEncoder, group_norm
from unalike.types import Schema

_LAST_CHANNELS = 512


@dataclass(frozen=True, kw_only=True)
class ResNet18:
    """Settings of torchvision's ResNet-18 without its classifier, trained from scratch.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016. Images are
    standardised as in `ConvNet`. For pretrained weights take `Timm`.

    Parameters
    ----------
    small : bool
        For images below about 64 pixels: a 3x3 stem without stride and without max-pooling, as SimCLR has
        for CIFAR-10 (Chen et al., ICML 2020, appendix B.9), so that the last map has 1/8 of the size. Else the
        7x7 stem, 1/32.
    width : int
        Width of the embedding. 512 is the network's own; another takes a linear layer more.
    normalization : {"group", "batch"}
        ``"group"``: a sample's embedding never depends on the other samples of its batch. ``"batch"`` is the
        paper's; in training it needs more than one value per channel.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """

    small: bool = True
    width: int = _LAST_CHANNELS
    normalization: Literal["group", "batch"] = "group"

    def __post_init__(self) -> None:
        one_of("small", self.small, (True, False))
        whole("width", self.width)
        one_of("normalization", self.normalization, ("group", "batch"))

    def build(self, schema: Schema) -> PooledEncoder:
        """The network for images ``(channels, height, width)``; torch's generator draws its weights.

        Raises
        ------
        MissingExtra
            torchvision is not installed.
        """
        channels, *size = image_shape("ResNet18", schema)
        models = needs("encoders.ResNet18", "torchvision.models", "image")
        network = models.resnet18(norm_layer=group_norm if self.normalization == "group" else nn.BatchNorm2d)
        first = network.conv1.out_channels
        stem: list[nn.Module] = [
            nn.Conv2d(channels, first, 3, padding=1, bias=False)
            if self.small
            else nn.Conv2d(channels, first, 7, stride=2, padding=3, bias=False),
            network.bn1,
            network.relu,
        ]
        nn.init.kaiming_normal_(stem[0].weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
        if not self.small:
            stem.append(network.maxpool)
        body = nn.Sequential(*stem, network.layer1, network.layer2, network.layer3, network.layer4)
        head = nn.Identity() if self.width == _LAST_CHANNELS else nn.Linear(_LAST_CHANNELS, self.width)
        stride = 8 if self.small else 32
        rows, columns = (side if side < 0 else -(-side // stride) for side in size)
        return PooledEncoder(channels, body, head, (rows, columns), self.width)
