"""One seed, many streams of random numbers, and no touch of the global generators.

`derive` makes child seeds by name, so that adding a consumer never moves the others. `RowGenerator`
draws per row: row ``i`` gets numbers that depend only on the seed and on the sample's index, never on
which rows share its batch, its process or its device. It hashes counters with the finaliser of
SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014),
the way JAX and Random123 do; a `torch.Generator` per row would cost microseconds each.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from unalike.errors import InvalidParameter

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def root_seed(random_state: Any) -> int:
    """The seed that a `random_state` stands for.

    Parameters
    ----------
    random_state : int, None, numpy.random.RandomState or numpy.random.Generator
        None gives a fresh seed from the operating system. A generator is drawn from once.

    Raises
    ------
    InvalidParameter
        When `random_state` is none of these, or negative.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool) and random_state >= 0:
        return int(random_state)
    raise InvalidParameter(
        f"`random_state` must be an integer of 0 or more, None or a numpy generator; got {random_state!r}."
    )


def derive(seed: int, *path: str | int) -> int:
    """A child seed in ``[0, 2**63)`` for the consumer that `path` names."""
    text = "/".join([str(seed), *map(str, path)]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """A numpy generator for the consumer that `path` names."""
    return np.random.default_rng(derive(seed, *path))


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch inside the block; restore them after it.

    For code that is not ours and draws from them: weight initialisation, a user's transform.
    """
    import torch

    python_state = random.getstate()
    numpy_state = np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=list(devices)):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def generator_states() -> dict[str, Any]:
    """The global generators as they stand, for a checkpoint: numbers, strings, tuples and tensors."""
    import torch

    kind, key, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (str(kind), tuple(int(value) for value in key), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_generators(states: dict[str, Any]) -> None:
    """Put the global generators back to `generator_states`; inside `isolated`, which restores them after it."""
    import torch

    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def resolve_device(device: str) -> torch.device:
    """The torch device that `device` names; ``"auto"`` is CUDA where there is one, else the CPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise InvalidParameter(f"`device` must be 'auto' or a torch device such as 'cpu'; got {device!r}.") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise InvalidParameter(f"`device` {device!r} needs a CUDA device; this machine has none. Use device='cpu'.")
    return resolved


class RowGenerator:
    """Random numbers per row, from a seed and the rows' indices.

    Parameters
    ----------
    seed : int
        From `derive`.
    index : Tensor
        ``(n,)`` int64, the samples' indices; the numbers are drawn on its device.

    Notes
    -----
    Two calls in a row give different numbers; the same calls on a new generator give the same ones,
    on any device.
    """

    def __init__(self, seed: int, index: Tensor) -> None:
        import torch

        self.seed = seed
        self.index = index
        self._keys = _mix(index.to(torch.int64) * _GOLDEN + seed)
        self._drawn = 0

    def __len__(self) -> int:
        return int(self.index.shape[0])

    @property
    def device(self) -> torch.device:
        """Where the numbers are drawn."""
        return self.index.device

    def _bits(self, shape: tuple[int, ...]) -> Tensor:
        import torch

        count = math.prod(shape)
        counters = torch.arange(self._drawn + 1, self._drawn + count + 1, device=self.device, dtype=torch.int64)
        self._drawn += count
        return _mix(self._keys[:, None] + counters * _GOLDEN).view(len(self), *shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """``(n, *shape)`` float32, uniform in ``[low, high)``."""
        import torch

        unit = ((self._bits(shape) >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24
        if (low, high) == (0.0, 1.0):
            return unit
        # Rounding to float32 can reach `high`; an index made from it would then be out of range.
        return (low + (high - low) * unit).clamp(max=float(np.nextafter(np.float32(high), np.float32(low))))

    def normal(self, *shape: int) -> Tensor:
        """``(n, *shape)`` float32, standard normal (Box-Muller)."""
        radius = (-2.0 * (1.0 - self.uniform(*shape)).log()).sqrt()
        return radius * (2.0 * math.pi * self.uniform(*shape)).cos()

    def integers(self, high: int, *shape: int) -> Tensor:
        """``(n, *shape)`` int64, uniform in ``[0, high)``."""
        return ((self._bits(shape) >> 1) & 0x3FFFFFFFFFFFFFFF) % high

    def permutation(self, length: int) -> Tensor:
        """``(n, length)`` int64: an order of ``range(length)`` for each row."""
        return self._bits((length,)).argsort(dim=1)

    def rows(self, chosen: Tensor) -> RowGenerator:
        """The generator of some rows: `chosen` is a ``(n,)`` mask or a tensor of positions."""
        part = RowGenerator.__new__(RowGenerator)
        part.seed, part.index, part._keys, part._drawn = self.seed, self.index[chosen], self._keys[chosen], self._drawn
        return part

    def seeds(self) -> list[int]:
        """One fresh integer seed per row, for transforms that take one sample at a time."""
        return [int(value) for value in self.integers(2**31 - 1).tolist()]


def _mix(value: Tensor) -> Tensor:
    value = (value ^ ((value >> 30) & 0x3FFFFFFFF)) * _MIX_1
    value = (value ^ ((value >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return value ^ ((value >> 31) & 0x1FFFFFFFF)
