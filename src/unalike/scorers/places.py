"""Places of images, a chunk at a time, and what their scores make of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unalike.errors import InvalidInput
from unalike.scorers.arrays import is_share, require_count
from unalike.types import FloatArray, IntArray, PlaceEmbeddings

CHUNK_BYTES = 32 * 2**20
HELD_BYTES = 256 * 2**20
FOLDS = 3
LARGEST_REFERENCE = 300
"""Images, where none are given: each is embedded again."""
_LEAST_SPREAD = 0.05
"""Of a channel, as a share of the mean one: one that hardly moves in training would drown the others if it did."""


def check_top(top: object) -> None:
    """Raise `InvalidParameter` when `top` is neither a number of places nor a share of them."""
    if not is_share(top):
        require_count("top", top, "an integer of at least 1, or a share of the places above 0 and below 1")


def counted(top: int | float, every: int) -> int:
    """How many of an image's `every` places make its score."""
    return max(round(top * every), 1) if is_share(top) else min(int(top), every)


def joined(places: FloatArray, top: int | float) -> FloatArray:
    """``(n,)``: the mean of the `top` highest of ``(n, places)`` scores of places; each image as if it came alone."""
    farthest = np.sort(places, axis=1)[:, places.shape[1] - counted(top, places.shape[1]) :]
    return np.asarray(np.ascontiguousarray(farthest).mean(axis=1))


def units(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and spread of each column of ``(m, width)``, float32; what does not vary at all has spread 1."""
    spread = rows.std(axis=0, dtype=np.float64)
    spread = np.maximum(spread, _LEAST_SPREAD * float(spread.mean()))
    spread = np.where(spread > 0.0, spread, 1.0)
    return rows.mean(axis=0, dtype=np.float64).astype(np.float32), spread.astype(np.float32)


@dataclass(frozen=True)
class SomePlaces:
    """Some of the images."""

    embeddings: PlaceEmbeddings
    chosen: IntArray

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, positions: IntArray) -> FloatArray:
        return self.embeddings[self.chosen[positions]]


def checked_places(values: Any, *, width: int | None = None) -> FloatArray:
    """`values` as finite float32 ``(n, places, width)``.

    Raises
    ------
    InvalidInput
        Of another shape, not numbers, not finite, or of another width.
    """
    places = np.asarray(values)
    if places.ndim != 3 or 0 in places.shape[1:] or places.dtype.kind not in "fiub":
        raise InvalidInput(
            f"`embeddings` must have shape (images, places, width); got shape {places.shape} and type {places.dtype}. "
            "Give a PatchBank what an encoder's `locations` returns."
        )
    if width is not None and places.shape[2] != width:
        raise InvalidInput(
            f"`embeddings` must have the width that the scorer was fitted on, {width}; got {places.shape[2]}. Embed "
            "with the same encoder."
        )
    unusable = np.flatnonzero(~np.isfinite(places).all(axis=(1, 2)))
    if len(unusable):
        raise InvalidInput(
            f"`embeddings` must be finite; got NaN or infinity in {len(unusable)} of {len(places)} images, first in "
            f"image {unusable[0]}. Look at the encoder or its input there."
        )
    return np.ascontiguousarray(places, dtype=np.float32)


def held(embeddings: PlaceEmbeddings) -> PlaceEmbeddings:
    """The same in memory, where they fit into 256 MiB."""
    n = len(embeddings)
    if isinstance(embeddings, np.ndarray) or n == 0:
        return embeddings
    first = checked_places(embeddings[np.arange(1)])
    if n * first.nbytes > HELD_BYTES:
        return embeddings
    step = step_of(first)
    # An image alone must not be embedded twice.
    return np.concatenate([first, *(embeddings[np.arange(at, min(at + step, n))] for at in range(1, n, step))])


def held_some(embeddings: PlaceEmbeddings) -> PlaceEmbeddings:
    """As `held`, of the images that a scorer is fitted on.

    Raises
    ------
    InvalidInput
        There are none.
    """
    if len(embeddings) == 0:
        raise InvalidInput("`embeddings` must hold at least one image; got none. Give normal images.")
    return held(embeddings)


def step_of(places: FloatArray) -> int:
    """Images at a time."""
    return max(CHUNK_BYTES // int(places[0].nbytes), 1)
