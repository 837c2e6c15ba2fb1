"""The projection head: the small network between embedding and loss, dropped after training.

The loss throws information away (a view changes colour, so its pair must not depend on it); the head
takes that loss, and the embedding before it keeps more (Chen et al., ICML 2020, section 4.2).
"""

from __future__ import annotations

from typing import Protocol

from torch import nn

from unalike.errors import InvalidParameter


def projection_head(width: int, *, hidden: int | None = None, out: int = 128, layers: int = 2) -> nn.Sequential:
    """A multi-layer perceptron ``(n, width) -> (n, out)``.

    Between two linear layers stand layer normalisation and ReLU. SimCLR's batch normalisation is not
    used: it makes a row's projection depend on the other rows, fails on a batch of one row, and differs
    between one process and many.

    Parameters
    ----------
    width : int
        Width of the embedding.
    hidden : int, optional
        Width of the layers between; None: `width`.
    out : int
        Width of the projection.
    layers : int
        Linear layers, 1 to 3.

    Raises
    ------
    InvalidParameter
        `layers` is not 1, 2 or 3, or a width is not a whole number above 0.
    """
    check_head(layers=layers, out=out, hidden=hidden)
    middle = width if hidden is None else hidden
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts += [nn.Linear(width, middle), nn.LayerNorm(middle), nn.ReLU()]
        width = middle
    return nn.Sequential(*parts, nn.Linear(width, out))


class HeadSettings(Protocol):
    """What the settings of objectives with a projection head have in common."""

    @property
    def head_layers(self) -> int: ...

    @property
    def head_width(self) -> int: ...

    @property
    def head_hidden(self) -> int | None: ...


def head_for(encoder: nn.Module, settings: HeadSettings) -> nn.Sequential:
    """The `projection_head` that fits an encoder, with weights that torch's generator draws."""
    return projection_head(
        embedding_width(encoder), hidden=settings.head_hidden, out=settings.head_width, layers=settings.head_layers
    )


def check_head(*, layers: int, out: int, hidden: int | None) -> None:
    """Refuse settings that make no projection head.

    Raises
    ------
    InvalidParameter
        As in `projection_head`.
    """
    if layers not in (1, 2, 3):
        raise InvalidParameter(f"`head_layers` must be 1, 2 or 3; got {layers!r}. 2 suits most data.")
    for name, size in (("head_width", out), ("head_hidden", 1 if hidden is None else hidden)):
        if not isinstance(size, int) or size < 1:
            raise InvalidParameter(f"`{name}` must be a whole number of 1 or more; got {size!r}. Try 128.")


def embedding_width(encoder: nn.Module) -> int:
    """The width of the embeddings that `encoder` makes.

    Raises
    ------
    InvalidParameter
        When the encoder does not tell it.
    """
    width = getattr(encoder, "width", None)
    if not isinstance(width, int) or width < 1:
        raise InvalidParameter(
            f"`encoder` must have an attribute `width`, the width of its embeddings; got {width!r} on "
            f"{type(encoder).__name__}. Set `self.width` in its __init__."
        )
    return width
