"""Training settings: the detector's over the branch's, and what cannot train is refused at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral
from typing import Any

import torch

from unalike.errors import InvalidParameter
from unalike.hints import did_you_mean
from unalike.plain import is_number, plain
from unalike.types import Training

_OPTIMIZERS = ("adam", "adamw", "sgd")
_PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed")
_COUNTS = ("epochs", "batch_size", "steps", "accumulate", "patience", "fixed_views", "chunk_size")


def settle(
    own: Training | None, override: Training | Mapping[str, Any] | None, device: torch.device | None = None
) -> Training:
    """The settings to train with.

    Parameters
    ----------
    own : Training, optional
        The branch's; None stands for ``Training()``.
    override : Training or mapping, optional
        The detector's: whole settings, or some fields, which change those of the branch's own.
    device : torch.device, optional
        Where training will compute; None leaves out what depends on it.

    Raises
    ------
    InvalidParameter
        When a field is unknown, a setting out of range, or the branch's are no Training.
    """
    own = Training() if own is None else own
    if not isinstance(own, Training):
        raise InvalidParameter(
            f"`training` of a Branch must be a Training; got {own!r}. Give Training(epochs=10), for example."
        )
    if override is None or isinstance(override, Training):
        settings = override or own
    else:
        settings = replace(own, **_known(override))
    check(settings, device)
    return _plain(settings)


def _known(override: Any) -> Mapping[str, Any]:
    known = [field.name for field in fields(Training)]
    if not isinstance(override, Mapping):
        raise InvalidParameter(
            f"`training` must be a Training or a mapping of some of its fields, {known}; got {override!r}. Give "
            "{'epochs': 10}, for example."
        )
    unknown = [name for name in override if name not in known]
    if unknown:
        raise InvalidParameter(
            f"The keys of `training` must be among {known}; got {unknown}.{did_you_mean(unknown, known)}"
        )
    return override


def check(settings: Training, device: torch.device | None = None) -> None:
    """Refuse settings that cannot train.

    Raises
    ------
    InvalidParameter
        When a number is none or out of range, the optimiser is unknown or `device` cannot compute in this precision.
    """
    if settings.optimizer not in _OPTIMIZERS:
        raise InvalidParameter(f"`optimizer` must be 'adam', 'adamw' or 'sgd'; got {settings.optimizer!r}.")
    _check_precision(settings.precision, device)
    for name in _COUNTS:
        value = getattr(settings, name)
        optional = name not in ("batch_size", "accumulate")
        if not (value is None and optional) and (
            isinstance(value, bool) or not isinstance(value, Integral) or value < 1
        ):
            raise InvalidParameter(f"`{name}` must be a whole number of 1 or more; got {value!r}.")
    _check_rates(settings)
    _check_cache(settings)
    if not (is_number(settings.held_out) and 0 < settings.held_out < 1):
        raise InvalidParameter(
            f"`held_out` must be a share above 0 and below 1; got {settings.held_out!r}. Try 0.1; to hold nothing out, "
            "leave patience=None."
        )
    if not (is_number(settings.checkpoint_every) and settings.checkpoint_every >= 0):
        raise InvalidParameter(
            f"`checkpoint_every` must be seconds, 0 or more; got {settings.checkpoint_every!r}. Try 30."
        )


def _check_cache(settings: Training) -> None:
    if settings.cache is not None and (settings.fixed_views is None or not isinstance(settings.cache, str)):
        raise InvalidParameter(
            f"`cache` must be the name of a folder and go with `fixed_views`; got {settings.cache!r} with "
            f"fixed_views={settings.fixed_views!r}. Give fixed_views=8, or cache=None."
        )


def _check_rates(settings: Training) -> None:
    rates = (settings.learning_rate, settings.weight_decay, settings.warmup)
    # Written so that NaN fails, too.
    if not (all(map(is_number, rates)) and 0 < rates[0] < math.inf and 0 <= rates[1] < math.inf and 0 <= rates[2] < 1):
        raise InvalidParameter(
            "`learning_rate` must be a number above 0, `weight_decay` at least 0 and `warmup` in [0, 1); got "
            f"{rates[0]!r}, {rates[1]!r} and {rates[2]!r}."
        )
    clip = settings.gradient_clip
    if clip is not None and not (is_number(clip) and 0 < clip < math.inf):
        raise InvalidParameter(
            f"`gradient_clip` must be a finite number above 0, or None; got {clip!r}. Try 1.0, or None to clip nothing."
        )


def _plain(settings: Training) -> Training:
    """The same settings with numbers of Python's, as JSON and what is printed want them."""
    return replace(settings, **{field.name: plain(getattr(settings, field.name)) for field in fields(settings)})


def _check_precision(precision: Any, device: torch.device | None) -> None:
    if precision not in _PRECISIONS:
        raise InvalidParameter(f"`precision` must be one of {_PRECISIONS}; got {precision!r}.")
    # Fabric would warn and take bfloat16 in its place.
    if precision == "16-mixed" and device is not None and device.type == "cpu":
        raise InvalidParameter(
            "`precision` must not be '16-mixed' on the CPU, which has no half-precision training; got device='cpu'. "
            "Use 'bf16-mixed' or '32-true', or a CUDA device."
        )
