"""Encoders: what turns one sample into one embedding.

Settings by name, from `NAMES`; `unalike.encoders.build.build_encoder` makes the network of any of them.
A ``torch.nn.Module`` of the user's with an attribute `width` needs no settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unalike.lookup import exported

if TYPE_CHECKING:
    from unalike.encoders.backbones import Timm
    from unalike.encoders.channelcnn import ChannelCNN
    from unalike.encoders.convnet import ConvNet
    from unalike.encoders.lexical import Lexical
    from unalike.encoders.mirrored import Mirrored
    from unalike.encoders.mlp import MLP, TableMLP
    from unalike.encoders.patches import PatchTransformer
    from unalike.encoders.pretrained import PretrainedText
    from unalike.encoders.raw import Raw, RawTable
    from unalike.encoders.recurrent import Recurrent
    from unalike.encoders.residual import WindowResidual
    from unalike.encoders.resnet import ResNet18
    from unalike.encoders.seriescnn import SeriesCNN
    from unalike.encoders.spectrum import WindowSpectrum
    from unalike.encoders.tabletransformer import TableTransformer
    from unalike.encoders.tcn import TCN
    from unalike.encoders.texttransformer import TextTransformer
    from unalike.encoders.tokencontext import TokenContext
    from unalike.encoders.window import RawWindow, WindowStatistics
    from unalike.encoders.windowcnn import WindowCNN

NAMES = {
    "channel-cnn": "unalike.encoders.channelcnn:ChannelCNN",
    "convnet": "unalike.encoders.convnet:ConvNet",
    "lexical": "unalike.encoders.lexical:Lexical",
    "mirrored": "unalike.encoders.mirrored:Mirrored",
    "mlp": "unalike.encoders.mlp:MLP",
    "patch-transformer": "unalike.encoders.patches:PatchTransformer",
    "pretrained-text": "unalike.encoders.pretrained:PretrainedText",
    "raw": "unalike.encoders.raw:Raw",
    "raw-table": "unalike.encoders.raw:RawTable",
    "raw-window": "unalike.encoders.window:RawWindow",
    "recurrent": "unalike.encoders.recurrent:Recurrent",
    "resnet18": "unalike.encoders.resnet:ResNet18",
    "series-cnn": "unalike.encoders.seriescnn:SeriesCNN",
    "table-mlp": "unalike.encoders.mlp:TableMLP",
    "table-transformer": "unalike.encoders.tabletransformer:TableTransformer",
    "tcn": "unalike.encoders.tcn:TCN",
    "text-transformer": "unalike.encoders.texttransformer:TextTransformer",
    "timm": "unalike.encoders.backbones:Timm",
    "token-context": "unalike.encoders.tokencontext:TokenContext",
    "window-cnn": "unalike.encoders.windowcnn:WindowCNN",
    "window-residual": "unalike.encoders.residual:WindowResidual",
    "window-spectrum": "unalike.encoders.spectrum:WindowSpectrum",
    "window-statistics": "unalike.encoders.window:WindowStatistics",
}

__all__ = [
    "MLP",
    "NAMES",
    "TCN",
    "ChannelCNN",
    "ConvNet",
    "Lexical",
    "Mirrored",
    "PatchTransformer",
    "PretrainedText",
    "Raw",
    "RawTable",
    "RawWindow",
    "Recurrent",
    "ResNet18",
    "SeriesCNN",
    "TableMLP",
    "TableTransformer",
    "TextTransformer",
    "Timm",
    "TokenContext",
    "WindowCNN",
    "WindowResidual",
    "WindowSpectrum",
    "WindowStatistics",
]


def __getattr__(name: str) -> Any:
    return exported(__name__, NAMES, name)
