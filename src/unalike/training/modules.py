"""All that training changes in a module, as plain tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, detached, not copied.

    Unlike ``state_dict()`` with the buffers that are not persistent: they stay out of saved models, but a queue of
    negatives must come back when training is resumed.
    """
    return {name: values.detach() for name, values in (*module.named_parameters(), *module.named_buffers())}


def load_module(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put values from `module_state` back, in place where the shape allows it."""
    now = module_state(module)
    with torch.no_grad():
        for name, values in state.items():
            if name in now and now[name].shape == values.shape and now[name].dtype == values.dtype:
                now[name].copy_(values)
            else:
                owner, _, buffer = name.rpartition(".")
                setattr(module.get_submodule(owner), buffer, values.to(_device(module), copy=True))


def training_batch_norms(module: nn.Module) -> list[str]:
    """Names of the parts in which a row's output depends on the other rows of the batch: batch normalisation."""
    return [name for name, part in module.named_modules() if isinstance(part, _BatchNorm) and part.training]


def _device(module: nn.Module) -> torch.device:
    return next((values.device for values in module_state(module).values()), torch.device("cpu"))
