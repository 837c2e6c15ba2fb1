"""A large bank cut into cells, with its rows in a few bits, for a search that does not look at all of them.

An inverted file with product quantisation (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search",
IEEE TPAMI 2011), whose codes of 4 bits are compared many at a time (André, Kermarrec and Le Scouarnec, "Quicker ADC",
IEEE TPAMI 2021), by faiss. What is learned is plain arrays, from which the index is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from unalike.data import evenly
from unalike.errors import InvalidInput, MissingExtra
from unalike.types import FloatArray, IntArray

ROWS_PER_CENTRE = 40
_ROUNDS = 8
_CODEWORDS = 16
_SEED = 1
_BLOCK = 2**16
# Up to this width each number has a code of its own, beyond it each pair.
_NARROW = 64
# Faiss chooses how to compare codes by the number of rows that are asked for at once, unless it is told.
_IN_LISTS = 12
# And measures the distances of fewer than 20 rows to centres one by one, those of more by a matrix product.
_FEW = 16

Rows = Callable[[IntArray], FloatArray]
"""Positions ``(b,)`` in a bank to its rows ``(b, width)`` float32, in the frame."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What is learned of a bank.

    Parameters
    ----------
    centres : ndarray
        ``(cells, width)`` float32: a row belongs to the cell of the nearest.
    words : ndarray
        ``(parts, 16, width / parts)`` float32: what the codes of each part of a row stand for, less the centre.
    owner : ndarray
        ``(m,)`` int32: the cell of each row.
    codes : ndarray
        ``(m, bytes)`` uint8.
    probes, candidates : int
        Cells that are searched for a row, and rows of them whose distances are computed; more candidates where more
        neighbours are wanted.
    recall : float
        Share of the nearest other rows of sampled bank rows that is found so.
    """

    centres: FloatArray
    words: FloatArray
    owner: npt.NDArray[np.int32]
    codes: npt.NDArray[np.uint8]
    probes: int = 1
    candidates: int = 32
    recall: float = 0.0

    def state(self) -> dict[str, Any]:
        """For `unalike.types.Stateful`."""
        return dict(vars(self))

    @staticmethod
    def restored(state: dict[str, Any], m: int, width: int) -> Cells:
        """As saved for a bank of at least `m` rows.

        Raises
        ------
        InvalidInput
            When the arrays do not fit together.
        """
        found = Cells(**state)
        n, width = len(found.centres), padded(width)
        parts = _parts(width)
        fits = (
            found.centres.shape == (n, width)
            and found.words.shape == (parts, _CODEWORDS, width // parts)
            and found.owner.shape == (m,)
            and found.codes.shape == (m, (parts + 1) // 2)
            and 1 <= found.probes <= n
            and found.candidates >= 1
            and bool(((found.owner >= 0) & (found.owner < n)).all())
            and found.codes.dtype == np.uint8
            and {found.centres.dtype, found.words.dtype} == {np.dtype(np.float32)}
        )
        if not fits:
            raise InvalidInput(f"`cells` must fit a bank of {m} rows and width {width}; they do not. Fit again.")
        return found


def padded(width: int) -> int:
    """Numbers in a row whose parts are equally long: one more, a zero, where need be."""
    return width + (width % 2 if width > _NARROW else 0)


def _parts(width: int) -> int:
    return width if width <= _NARROW else width // 2


def cut(rows: Rows, m: int, width: int) -> Cells:
    """Cells of a bank of `m` rows of padded `width`; the same rows give the same cells.

    Raises
    ------
    MissingExtra
        Faiss is not installed.
    """
    faiss = _faiss()
    n = max(2 ** round(np.log2(2.0 * np.sqrt(m))), 1)
    with _one_thread():
        sample = rows(evenly(m, ROWS_PER_CENTRE * n))
        # All of the sample is used, so that faiss draws the first centres alone, by its seed.
        options = {"max_points_per_centroid": len(sample), "min_points_per_centroid": 1}
        means = faiss.Kmeans(width, n, niter=_ROUNDS, seed=_SEED, **options)
        means.train(sample)
        centres = np.ascontiguousarray(means.centroids, dtype=np.float32)
        parts = _parts(width)
        index = _blank(faiss, centres, parts)
        index.train(sample)
        words = faiss.vector_to_array(index.pq.centroids).reshape(parts, _CODEWORDS, width // parts)
        owner = np.empty(m, dtype=np.int32)
        codes = np.empty((m, index.code_size), dtype=np.uint8)
        for start in range(0, m, _BLOCK):
            block = np.ascontiguousarray(rows(np.arange(start, min(start + _BLOCK, m))))
            nearest = np.ascontiguousarray(index.quantizer.search(block, 1)[1].ravel())
            made = np.empty((len(block), index.code_size), dtype=np.uint8)
            index.encode_vectors(len(block), *map(faiss.swig_ptr, (block, nearest, made)))
            owner[start : start + _BLOCK], codes[start : start + _BLOCK] = nearest, made
    return Cells(centres, words, owner, codes)


class Codes:
    """Searches the codes of some cells.

    Parameters
    ----------
    cells : Cells
        Of the bank.
    """

    def __init__(self, cells: Cells) -> None:
        _faiss()
        self._cells = cells
        self._made: tuple[Any, ...] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy makes its own index."""
        return {**self.__dict__, "_made": None}

    def nearest(self, rows: FloatArray, count: int, probes: int) -> IntArray:
        """``(n, count)`` positions of the rows of nearest codes to ``(n, width)`` float32 rows; -1 past the last.

        Each row is searched for in the `probes` nearest cells, as if it came alone.
        """
        index = self._index()
        index.nprobe = probes
        steps = [rows[start : start + _FEW] for start in range(0, len(rows), _FEW)]
        centres = [index.quantizer.search(step, probes) for step in steps]
        if not centres:
            return np.zeros((0, count), dtype=np.int64)
        squared, cells = (np.concatenate(found) for found in zip(*centres, strict=True))
        found: IntArray = index.search_preassigned(rows, count, cells, squared)[1]
        return found

    def _index(self) -> Any:
        if self._made is None:
            faiss = _faiss()
            listed = _listed(faiss, self._cells)
            fast = faiss.IndexIVFPQFastScan(listed)
            fast.implem, fast.use_precomputed_table = _IN_LISTS, 1
            fast.precompute_table()
            self._made = (fast, listed)  # faiss does not keep what an index is made of
        return self._made[0]


def _listed(faiss: Any, cells: Cells) -> Any:
    """An index that holds the codes, cell by cell."""
    index = _blank(faiss, cells.centres, len(cells.words))
    faiss.copy_array_to_vector(np.ascontiguousarray(cells.words.ravel()), index.pq.centroids)
    index.is_trained = True
    order = np.argsort(cells.owner, kind="stable").astype(np.int64)
    ends = np.searchsorted(cells.owner[order], np.arange(len(cells.centres) + 1))
    codes = np.ascontiguousarray(cells.codes[order])
    for number, (start, stop) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
        if stop > start:
            held = map(faiss.swig_ptr, (order[start:stop], codes[start:stop]))
            index.invlists.add_entries(number, stop - start, *held)
    index.ntotal = len(order)
    return index


def _blank(faiss: Any, centres: FloatArray, parts: int) -> Any:
    quantizer = faiss.IndexFlatL2(centres.shape[1])
    quantizer.add(centres)
    return faiss.IndexIVFPQ(quantizer, centres.shape[1], len(centres), parts, 4)


def _faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise MissingExtra(
            f"`search='approximate'` of KNN must have faiss installed; got: {error}. Install it with: "
            "pip install 'unalike[faiss]'."
        ) from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums do not depend on how many threads share them."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        yield
