"""Views of views, and adapters that make a view of any transform.

A view takes ``(data, generator)``. What takes one thing comes in by an adapter: `PerSample` calls it on each
sample, so that each has its own draws; `PerBatch` calls it once on the batch tensor. `as_view` picks
`PerSample` for whatever does not take a generator, because a transform that was written for one sample and
is called on a batch, as torchvision's can be, draws *once* for all rows, and contrast then learns nothing
from that draw.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from unalike.errors import InvalidInput, InvalidParameter, MissingExtra
from unalike.lookup import named
from unalike.seeding import RowGenerator, derive, isolated
from unalike.types import View


@dataclass(frozen=True)
class Compose:
    """Views one after the other.

    Parameters
    ----------
    views : sequence
        Each anything that `as_view` takes; kept as a tuple of views.

    Raises
    ------
    InvalidParameter
        When `views` is no sequence, is empty, or one of it is no view.
    """

    views: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.views, (tuple, list)) or not self.views:
            raise InvalidParameter(
                f"`views` must be a sequence of one or more views; got {self.views!r}. Write Compose((first, second))."
            )
        object.__setattr__(self, "views", tuple(as_view(view) for view in self.views))

    def prepare(self, sample: Tensor) -> Compose:
        """A copy whose members know the training data, ``(m, ...)``, where they want to."""
        return replace(
            self, views=tuple(view.prepare(sample) if hasattr(view, "prepare") else view for view in self.views)
        )

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        for view in self.views:
            data = view(data, generator)
        return data


@dataclass(frozen=True)
class PerBatch:
    """A function from batch tensor to batch tensor, as a view; for example a kornia augmentation.

    It is called with Python's, numpy's and torch's global generators seeded from the rows' seeds, and they
    are put back afterwards. One seed gives one result for one batch, but, unlike with all other views, what
    a row becomes depends on the rows around it.

    Parameters
    ----------
    function : callable
        ``(n, ...)`` tensor to ``(n, ...)`` tensor; it gets a copy. It should draw for each row: a torchvision
        transform draws once for the whole batch, and belongs into `PerSample`.

    Raises
    ------
    InvalidParameter
        When `function` is not callable, or returns anything but a tensor of as many rows.
    """

    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        _check_callable(self.function)

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        with isolated(derive(0, "per-batch", *generator.seeds())):
            result = self.function(data.clone())
        if not isinstance(result, Tensor) or result.ndim == 0 or len(result) != len(data):
            found = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise InvalidParameter(
                f"`function` must return a tensor of {len(data)} rows, one for each that it was given; got {found}. "
                "A function of single samples belongs into PerSample."
            )
        return _as_data(result, data)


@dataclass(frozen=True)
class PerSample:
    """A transform of one sample, as a view: torchvision, albumentations, tsaug or a function of your own.

    It is called once per sample with Python's, numpy's and torch's global generators seeded for that sample,
    and they are put back afterwards. Libraries that keep generators of their own are recognised by shape and
    seeded too, in a copy: an albumentations transform (it has `set_random_seed` and is called as
    ``transform(image=...)["image"]``) gets numpy images; a tsaug augmenter (not callable, has `augment`) gets
    ``(1, length, channels)``.

    Parameters
    ----------
    function : callable
        Takes a sample and returns one: tensor, numpy array or PIL image, the same shape for all samples.
    input : {"tensor", "numpy", "pil"}
        What it takes. ``"tensor"``: the sample as it is, images ``(channels, height, width)``. ``"numpy"``:
        an image as ``(height, width, channels)``, anything else as it is. ``"pil"``: an image of 1, 3 or 4
        channels with values in ``[0, 1]``, brought to 8 bits. Results come back in the same way: an array of
        an image has its channels last or is ``(height, width)``, a PIL image becomes values in ``[0, 1]``.

    Raises
    ------
    InvalidParameter
        When `function` cannot be called, `input` is unknown, or a result is no sample.
    InvalidInput
        When ``"pil"`` is given what no 8-bit image can hold.
    MissingExtra
        When ``"pil"`` is asked for and Pillow is not installed.
    """

    function: Any
    input: Literal["tensor", "numpy", "pil"] = field(default="tensor", kw_only=True)

    def __post_init__(self) -> None:
        if not _is_tsaug(self.function):
            _check_callable(self.function)
        if self.input not in _TAKEN:
            raise InvalidParameter(f"`input` must be one of {sorted(_TAKEN)}; got {self.input!r}.")

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        transform = _seeded(self.function, self.input)
        rows = []
        for sample, seed in zip(data, generator.seeds(), strict=True):
            with isolated(seed):
                rows.append(_as_data(_as_tensor(transform(sample, seed), sample), sample))
            if rows[-1].shape != rows[0].shape or rows[-1].ndim != sample.ndim:
                raise InvalidParameter(
                    f"`function` must return samples of one shape with {sample.ndim} dimensions; got "
                    f"{tuple(rows[-1].shape)} after {tuple(rows[0].shape)} for samples of {tuple(sample.shape)}. "
                    "A function of whole batches belongs into PerBatch."
                )
        return torch.stack(rows) if rows else data.clone()


def as_view(given: Any) -> View:
    """A view of whatever describes one.

    Parameters
    ----------
    given : View, callable, sequence or str
        What takes ``(data, generator)`` - two required positional parameters, or a second one of the name
        ``generator`` - is used as it is. Any other callable, and an albumentations or tsaug object, is wrapped
        in `PerSample`; wrap a function of whole batches in `PerBatch` yourself. A list or tuple becomes
        `Compose`. A string is a name in `views.NAMES`.

    Raises
    ------
    InvalidParameter
        When `given` is none of these.
    """
    if isinstance(given, str):
        from unalike.views import NAMES

        view: View = named("views", NAMES, given)()
        return view
    if isinstance(given, (tuple, list)):
        return Compose(tuple(given))
    if isinstance(given, type):
        raise InvalidParameter(f"`views` must be a view; got the class {given.__name__}. Make one: {given.__name__}().")
    if _is_tsaug(given):
        return PerSample(given)
    if not callable(given):
        raise InvalidParameter(
            f"`views` must be a view, a function, a sequence of them, or a name; got {given!r}. "
            "Leave views= out for the default of the kind of data."
        )
    return given if _takes_generator(given) else PerSample(given)


def _takes_generator(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [parameter for parameter in signature.parameters.values() if parameter.kind in kinds]
    required = [parameter for parameter in positional if parameter.default is inspect.Parameter.empty]
    if len(required) > 2:
        raise InvalidParameter(
            f"`views` must take (data, generator), or one sample; got {function!r}, which needs "
            f"{[parameter.name for parameter in required]}. Set the others with functools.partial."
        )
    return len(required) == 2 or (len(positional) > 1 and positional[1].name == "generator")


def _check_callable(function: Any) -> None:
    if not callable(function) or isinstance(function, type):
        raise InvalidParameter(f"`function` must be callable; got {function!r}. Give a function or a transform.")


def _is_tsaug(function: Any) -> bool:
    return hasattr(function, "augment") and not callable(function)


def _seeded(function: Any, taken: str) -> Callable[[Tensor, int], Any]:
    """A function of sample and seed; objects that hold their own seed are copied first."""
    if _is_tsaug(function):
        augmenter = copy.deepcopy(function)
        return lambda sample, seed: _augment(augmenter, sample, seed)
    if hasattr(function, "set_random_seed"):
        transform = copy.deepcopy(function)
        return lambda sample, seed: _transform_image(transform, sample, seed)
    return lambda sample, seed: function(_TAKEN[taken](sample))


def _transform_image(transform: Any, sample: Tensor, seed: int) -> Any:
    transform.set_random_seed(seed)
    return transform(image=_to_numpy(sample))["image"]


def _augment(augmenter: Any, sample: Tensor, seed: int) -> Tensor:
    if sample.ndim != 2:
        raise InvalidInput(
            "`data` must be series of shape (n, channels, length) for an augmenter of series; got samples of "
            f"shape {tuple(sample.shape)}. Wrap it in a function of your own and PerSample."
        )
    # An augmenter with seed None draws from the operating system; a pipe of them is seeded member by member.
    for place, member in enumerate(augmenter if hasattr(augmenter, "__iter__") else [augmenter]):
        member.seed = derive(seed, place) % 2**32
    result = augmenter.augment(sample.cpu().numpy().T[None].copy())
    return torch.from_numpy(np.ascontiguousarray(result[0].T))


def _clone(sample: Tensor) -> Tensor:
    return sample.clone()


def _to_numpy(sample: Tensor) -> np.ndarray[Any, Any]:
    array = sample.cpu().numpy()
    return np.array(array.transpose(1, 2, 0) if array.ndim == 3 else array, order="C")


def _to_pil(sample: Tensor) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("`input='pil'` needs Pillow. Install it with pip install 'unalike[image]'.") from error
    if sample.ndim != 3 or sample.shape[0] not in (1, 3, 4) or sample.min() < 0 or sample.max() > 1:
        raise InvalidInput(
            "`data` must be images of 1, 3 or 4 channels with values in [0, 1] for `input='pil'`; got shape "
            f"{tuple(sample.shape)}, values {sample.min():g} to {sample.max():g}. Use input='numpy'."
        )
    array = (_to_numpy(sample) * 255.0).round().astype(np.uint8)
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


_TAKEN: dict[str, Callable[[Tensor], Any]] = {"tensor": _clone, "numpy": _to_numpy, "pil": _to_pil}


def _as_tensor(result: Any, sample: Tensor) -> Tensor:
    if isinstance(result, Tensor):
        return result
    if hasattr(result, "getbands") and result.mode in ("L", "RGB", "RGBA"):
        result = np.asarray(result, dtype=np.float32) / 255.0
    if not isinstance(result, np.ndarray):
        raise InvalidParameter(
            f"`function` must return a tensor, a numpy array or an 8-bit PIL image; got {result!r:.200}. "
            "Wrap it in a function that takes one sample and returns one."
        )
    if sample.ndim == 3:
        result = result[None] if result.ndim == 2 else result.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(result))


def _as_data(result: Tensor, data: Tensor) -> Tensor:
    """On the device and in the dtype of the data; whole numbers in place of fractions are on another scale."""
    if data.is_floating_point() and not result.is_floating_point():
        raise InvalidParameter(
            f"`function` must return floating point for floating-point data; got {result.dtype}. "
            "Have it keep the scale of the values that it is given."
        )
    return result.to(data)
