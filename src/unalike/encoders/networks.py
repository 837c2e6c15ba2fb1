"""Networks of timm with weights: random, from a local file or from its hub."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unalike.errors import InvalidParameter

HUB = "hub"
"""Says that weights may be downloaded."""


_OWN_MOMENTS = {"tf_efficientnet_lite": (127 / 255, 128 / 255)}
"""Mean and standard deviation where timm rounds them: TensorFlow's EfficientNet-Lite takes (pixel - 127) / 128."""


def make_network(
    timm: Any, name: str, weights: str | None, channels: int, size: tuple[int, int], *, by_order: bool = False
) -> nn.Module:
    """A network without its classifier, for images of so many channels and this height and width.

    `name`, `weights` and `by_order` are as `unalike.encoders.Timm` has them, and so are the errors.
    """
    shape: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    try:
        known = _known_pretraining(timm, name)
        if known is not None and known.fixed_input_size:
            shape["img_size"] = size
        if weights is None or weights == HUB:
            network = timm.create_model(name, pretrained=weights == HUB, **shape)
        else:
            network = _from_file(timm, name, Path(weights), known, shape, by_order)
    except InvalidParameter:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InvalidParameter(f"`name` must be a network that timm can make; {name!r} fails: {error}.") from error
    _check_patches(network, size)
    made: nn.Module = network
    return made


def _known_pretraining(timm: Any, name: str) -> Any:
    """What timm knows of how the network's weights were trained; None when nothing."""
    plain = name.partition(".")[0]
    if not timm.is_model(plain):
        near = get_close_matches(plain, timm.list_models(), n=3)
        raise InvalidParameter(f"`name` must be one of timm.list_models(); got {name!r}. Near it are {near or 'none'}.")
    return timm.get_pretrained_cfg(name)


def _from_file(timm: Any, name: str, file: Path, known: Any, shape: dict[str, Any], by_order: bool) -> Any:
    """The network with weights from a local file, which timm adapts to channels and size."""
    state = _read_state(file)
    if by_order:
        state = _named_by_order(timm, name, file, state)
    classifiers = known.classifier if known is not None else None
    for classifier in (classifiers,) if isinstance(classifiers, str) else classifiers or ():
        state = {key: value for key, value in state.items() if not key.startswith(f"{classifier}.")}
    # Without a classifier timm does not loosen its check of the keys.
    overlay = {"state_dict": state, "classifier": None}
    try:
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **shape)
    except Exception as error:
        network = timm.create_model(name, **shape)
        raise InvalidParameter(_misfit(name, file, network.state_dict(), state, error)) from error
    # timm keeps what it loaded; every copy of the encoder would hold the weights twice.
    network.pretrained_cfg.pop("state_dict", None)
    return network


def _read_state(file: Path) -> dict[str, Any]:
    from timm.models import load_state_dict

    if not file.is_file():
        raise InvalidParameter(
            f"`weights` must be None, 'hub' or a file; there is none at {str(file)!r}. "
            "Correct the path, or say weights='hub' to download."
        )
    try:
        state = load_state_dict(str(file), weights_only=True)
        tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    except Exception as error:
        raise InvalidParameter(
            f"`weights` must be a file of tensors, .safetensors or of torch.save(model.state_dict(), …); "
            f"{str(file)!r} is refused: {error}."
        ) from error
    if not tensors:
        raise InvalidParameter(f"`weights` must hold tensors; got none in {str(file)!r}. Save model.state_dict().")
    return tensors


def _named_by_order(timm: Any, name: str, file: Path, state: dict[str, Any]) -> dict[str, Any]:
    """The tensors under timm's names; those of a file that has its own names go in order, if all of them fit."""
    tried = [timm.create_model(name, **shape).state_dict() for shape in ({}, {"num_classes": 0})]
    if any(len(wanted.keys() & state.keys()) > len(wanted) // 2 for wanted in tried):
        return state
    for wanted in tried:
        if _kinds(wanted) == _kinds(state):
            return dict(zip(wanted, state.values(), strict=True))
    ours, theirs = _kinds(tried[0]), _kinds(state)
    place = next((at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), len(theirs))
    raise InvalidParameter(
        f"`weights` must fit {name!r} in order, tensor for tensor, with by_order=True; {str(file)!r} has {len(theirs)} "
        f"for {len(ours)}, and number {place} is {theirs[place] if place < len(theirs) else 'missing'} where "
        f"{ours[place] if place < len(ours) else 'nothing'} is wanted. Give the file of this network."
    )


def _kinds(state: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """What must agree, in order: the end of each name, such as ``running_mean``, and the shape."""
    return [(key.rpartition(".")[2], tuple(value.shape)) for key, value in state.items()]


def _misfit(name: str, file: Path, wanted: dict[str, Any], found: dict[str, Any], error: Exception) -> str:
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    shapes = [key for key in wanted.keys() & found.keys() if wanted[key].shape != found[key].shape]
    return (
        f"`weights` must fit {name!r}; {str(file)!r} has {len(missing)} missing keys {missing[:3]}, {len(unexpected)} "
        f"unexpected ones {unexpected[:3]} and {len(shapes)} of another shape. timm says: {str(error)[:200]}. "
        "Give the file of this network; where only the names differ, say by_order=True."
    )


def _check_patches(network: Any, size: tuple[int, int]) -> None:
    """A network of patches would drop the pixels that fill no patch, without a word."""
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if patch is None:
        return
    height, width = (patch, patch) if isinstance(patch, int) else patch
    if size[0] % height or size[1] % width:
        raise InvalidParameter(
            f"`size` must be a multiple of the network's patches of {height}x{width}; got {size[0]}x{size[1]}. "
            f"Give size={max(-(-size[0] // height) * height, -(-size[1] // width) * width)}."
        )


def freeze_all_but(network: Any, last: int) -> None:
    """Ask for no gradients, but in so many of the last blocks or stages that have weights.

    Raises
    ------
    InvalidParameter
        The network has no more than that, or timm does not group its weights.
    """
    from timm.models import group_parameters

    if not hasattr(network, "group_matcher"):
        raise InvalidParameter(
            f"`trainable` must meet a network whose weights timm groups; {type(network).__name__} has no groups. "
            "Leave it out."
        )
    groups = group_parameters(network, network.group_matcher(coarse=True))
    blocks = [names for _, names in sorted(groups.items(), key=lambda group: int(group[0])) if names]
    if last >= len(blocks):
        raise InvalidParameter(
            f"`trainable` must leave a part of the network frozen; got {last} of {len(blocks)} blocks, the stem "
            "included. Give fewer, or None to train everything."
        )
    chosen = {name for names in blocks[len(blocks) - last :] for name in names}
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in chosen)


def pretrained_moments(network: Any, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(channels,)`` of the images that the network's weights were trained on."""
    architecture = str(network.pretrained_cfg.get("architecture", ""))
    for start, (own_mean, own_std) in _OWN_MOMENTS.items():
        if architecture.startswith(start):
            return torch.full((channels,), own_mean), torch.full((channels,), own_std)
    mean, std = (torch.tensor(network.pretrained_cfg[name], dtype=torch.float32) for name in ("mean", "std"))
    if len(mean) == channels:
        return mean, std
    return mean.mean().repeat(channels), std.mean().repeat(channels)
