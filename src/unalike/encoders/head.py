"""The projection head: the small network between embedding and loss, dropped after training.

The loss throws information away (a view changes colour, so its pair must not depend on it); the head
takes that loss, and the embedding before it keeps more (Chen et al., "A simple framework for contrastive
learning of visual representations", ICML 2020, section 4.2).
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from unalike.encoders.checks import one_of, whole

Normalization = Literal["layer", "batch", "none"]


def projection_head(
    width: int, *, hidden: int | None = None, out: int = 128, layers: int = 2, normalization: Normalization = "layer"
) -> nn.Sequential:
    """A multi-layer perceptron ``(n, width) -> (n, out)``.

    Parameters
    ----------
    width : int
        Width of the embedding.
    hidden : int, optional
        Width of the layers between; None: `width`.
    out : int
        Width of the projection.
    layers : int
        Linear layers, 1 to 3; between two of them stand the normalisation and ReLU.
    normalization : {"layer", "batch", "none"}
        ``"batch"`` is SimCLR's. It lets a row's projection depend on the other rows, refuses a batch of
        one row, and differs between one process and many; ``"layer"`` does none of that.

    Raises
    ------
    InvalidParameter
        A setting is out of range.
    """
    whole("width", width)
    whole("out", out)
    middle = width if hidden is None else whole("hidden", hidden)
    one_of("layers", layers, (1, 2, 3))
    one_of("normalization", normalization, ("layer", "batch", "none"))
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts += [nn.Linear(width, middle), *_normalization(normalization, middle), nn.ReLU()]
        width = middle
    return nn.Sequential(*parts, nn.Linear(width, out))


def _normalization(kind: Normalization, width: int) -> list[nn.Module]:
    if kind == "none":
        return []
    return [nn.LayerNorm(width) if kind == "layer" else nn.BatchNorm1d(width)]
