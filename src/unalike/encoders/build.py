"""From a name, settings or a user's module to an encoder."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from unalike.encoders import NAMES
from unalike.errors import InvalidParameter, UnalikeError
from unalike.lookup import named
from unalike.seeding import isolated
from unalike.types import EncoderSettings, Schema

_ANY_LENGTH = 32
"""Stands for a size that varies, where the encoder is tried."""


def build_encoder(
    encoder: str | EncoderSettings | nn.Module,
    schema: Schema,
    seed: int,
    *,
    blank: bool = False,
    sample: Tensor | None = None,
) -> nn.Module:
    """Make an encoder for data of one kind, and try it on two samples of zeros.

    Parameters
    ----------
    encoder : str, EncoderSettings or Module
        A name in `unalike.encoders.NAMES`, settings with a method ``build(schema)``, or a module of the
        user's with an attribute `width`, which is copied.
    schema : Schema
        From the fitted modality.
    seed : int
        Of the first weights; the global generators are left as they were.
    blank : bool
        The weights will be those of a saved model: read no weight file and download nothing.
    sample : Tensor, optional
        ``(m, ...)`` training samples, to prepare an encoder that fits something before training. None: it is left
        as it was made.

    Returns
    -------
    Module
        An `unalike.types.Encoder`, in training mode unless the user's module was not.

    Raises
    ------
    InvalidParameter
        `encoder` is nothing of these, tells no `width`, or does not map ``(n, *schema.shape)`` to
        ``(n, width)``.
    """
    with isolated(seed):
        built = _made(encoder, schema, blank)
        if not getattr(built, "awaits_state", False):  # else it cannot run before it has the state of a saved one
            _try(built, schema)
    if sample is not None and hasattr(built, "prepare"):
        built.prepare(sample)  # type: ignore[operator]
    return built


def _made(encoder: Any, schema: Schema, blank: bool) -> nn.Module:
    if isinstance(encoder, nn.Module):
        return copy.deepcopy(encoder)
    if isinstance(encoder, str):
        encoder = named("encoder", NAMES, encoder)
        encoder = encoder()
    if isinstance(encoder, type):
        raise InvalidParameter(
            f"`encoder` must be an object; got the class {encoder.__name__}. Give {encoder.__name__}(...)."
        )
    if not callable(getattr(encoder, "build", None)):
        raise InvalidParameter(
            f"`encoder` must be one of {sorted(NAMES)}, settings with a method `build(schema)` or a torch.nn.Module "
            f"with an attribute `width`; got {encoder!r}."
        )
    if blank and hasattr(encoder, "blank"):
        encoder = encoder.blank()
    built = encoder.build(schema)
    if not isinstance(built, nn.Module):
        raise InvalidParameter(
            f"`encoder` must build a torch.nn.Module; got {type(built).__name__} from {type(encoder).__name__}. "
            "Return the module from `build`."
        )
    return built


def _try(encoder: nn.Module, schema: Schema) -> None:
    """Two samples of zeros in evaluation mode, so that no running statistic moves."""
    width = getattr(encoder, "width", None)
    name = type(encoder).__name__
    if not isinstance(width, int) or isinstance(width, bool) or width < 1:
        raise InvalidParameter(
            f"`encoder` must have an attribute `width`, the width of its embeddings; got {width!r} on {name}. "
            "Set it, as in `encoder.width = 128`."
        )
    # Modes are told module by module: a user's module may keep a part of itself in evaluation mode.
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad():
            embeddings = encoder(_zeros(encoder, schema))
    except UnalikeError:
        raise
    except Exception as error:
        raise InvalidParameter(
            f"`encoder` must map samples of shape {schema.shape} to embeddings; {name} fails with "
            f"{type(error).__name__}: {error}. Try another encoder, or another size of the data."
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(embeddings, Tensor) or embeddings.shape != (2, width):
        got = f"shape {tuple(embeddings.shape)}" if isinstance(embeddings, Tensor) else type(embeddings).__name__
        raise InvalidParameter(
            f"`encoder` must map two samples to shape (2, {width}), its `width`; got {got} from {name}. "
            "Correct `width` or the last layer."
        )


def _zeros(encoder: nn.Module, schema: Schema) -> Tensor:
    tensors = [*encoder.parameters(), *encoder.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    shape = (2, *(length if length > 0 else _ANY_LENGTH for length in schema.shape))
    # Token ids have one axis and a vocabulary; everything else is numbers.
    if len(schema.shape) == 1 and schema.levels:
        return torch.zeros(shape, dtype=torch.int64, device=device)
    kind = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    return torch.zeros(shape, dtype=kind, device=device)
