"""What a frozen stem gives for some fixed views of the training rows, kept on disk for the many epochs.

Entries are files of a block of rows, named by a hash of all that they are made from: the stem's weights, the view, the
seed and the rows themselves. They may be deleted at any time, also during training; what is missing, cut short or
damaged is computed again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from unalike.embeddings import floating_type
from unalike.encoders.stemmed import stem_and_rest
from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator, derive
from unalike.training.identity import describe
from unalike.training.rows import TrainingRows
from unalike.types import IntArray, Training, View
from unalike.writing import whole_file

_ROWS = 256
"""Rows of an entry; whole ones are read when an entry is first met."""
_SUFFIX = ".features"
_DIGEST = 32
MOST_BYTES = 4 * 2**30
"""On disk, over all entries of a folder."""


@dataclass(frozen=True)
class PickView:
    """One of the fixed views of each row: ``(n, views, ...)`` to ``(n, ...)``, drawn anew each time."""

    def __call__(self, data: Tensor, generator: RowGenerator) -> Tensor:
        chosen = generator.integers(data.shape[1])
        return data[torch.arange(len(data), device=data.device), chosen.to(data.device)]


@contextmanager
def on_fixed_views(
    encoder: nn.Module, rows: TrainingRows, view: View, settings: Training, *, seed: int, device: torch.device
) -> Iterator[tuple[TrainingRows, View]]:
    """The rows and the view to train with inside the block: as given, or what the stem gives for fixed views.

    Parameters
    ----------
    encoder : nn.Module
        Prepared; `Stemmed` where there are fixed views.
    rows, view
        As they come; the view is prepared.
    settings : Training
        Says whether there are fixed views, and where their features lie.
    seed : int
        Of the views.
    device : torch.device
        Where to compute.
    """
    if settings.fixed_views is None:
        yield rows, view
        return
    stem, _ = stem_and_rest(encoder)
    with feature_folder(settings.cache) as folder:
        views = settings.fixed_views
        yield feature_rows(rows, stem, view, views=views, seed=seed, device=device, folder=folder), PickView()


@contextmanager
def feature_folder(folder: str | None) -> Iterator[Path]:
    """The folder of the cache, made where it is missing; None: a temporary one, removed at the end.

    Raises
    ------
    InvalidParameter
        `folder` is no folder, or none can be made there.
    """
    if folder is None:
        with TemporaryDirectory(prefix="unalike-features-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
        return
    made = Path(folder)
    try:
        made.mkdir(exist_ok=True)
    except OSError as error:
        raise InvalidParameter(
            f"`cache` must be a folder, or the name of one to be made in an existing folder; got {folder!r}: "
            f"{error.strerror}. Give another, or None for a temporary one."
        ) from error
    yield made


def feature_rows(
    rows: TrainingRows,
    stem: nn.Module,
    view: View,
    *,
    views: int,
    seed: int,
    device: torch.device,
    folder: Path,
    most_bytes: int = MOST_BYTES,
) -> TrainingRows:
    """The training rows as what the stem gives for `views` fixed views of each, ``(n, views, ...)``.

    Parameters
    ----------
    rows : TrainingRows
        As they come; labelled anomalies included.
    stem : nn.Module
        Frozen, ``(n, ...) -> (n, ...)``; its weights are final.
    view : View
        Prepared. View ``v`` of row ``i`` depends on the seed, ``v`` and ``i`` only.
    views : int
        How many.
    seed : int
        Of the views.
    device : torch.device
        Where to compute.
    folder : Path
        Of the entries, from `feature_folder`.
    most_bytes : int
        Bound of all entries in the folder, older ones of other fits included, which go first. Rows that do not fit are
        computed each time they are asked for.
    """
    features = _Features(rows, stem.eval().to(device), view, views, seed, device, folder, most_bytes)
    features.fill()
    return TrainingRows(rows.n, features.load, rows.group, rows.time, rows.label, rows.n_anomalies)


@dataclass(frozen=True)
class _Features:
    """Entries of one set of rows."""

    rows: TrainingRows
    stem: nn.Module
    view: View
    views: int
    seed: int
    device: torch.device
    folder: Path
    most_bytes: int

    @property
    def count(self) -> int:
        return self.rows.n + self.rows.n_anomalies

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the features of one row, all views."""
        return tuple(self.compute(np.zeros(1, dtype=np.int64)).shape[1:])

    @cached_property
    def made_from(self) -> str:
        """All but the rows."""
        told = [self.seed, self.views, describe(self.view), describe(self.stem), torch.__version__, self.device.type]
        return json.dumps(told, sort_keys=True)

    @cached_property
    def entries(self) -> dict[int, Path]:
        """Files by number of the block of rows; filled by `fill`."""
        return {}

    def fill(self) -> None:
        """Find or make an entry of each block, as far as the bound allows."""
        for number, start in enumerate(range(0, self.count, _ROWS)):
            positions = np.arange(start, min(start + _ROWS, self.count))
            path = self.folder / f"{self.key(positions)}{_SUFFIX}"
            size = _DIGEST + 4 * len(positions) * math.prod(self.shape)
            if _is_whole(path, size) or self.write(path, size, positions):
                self.entries[number] = path

    def key(self, positions: IntArray) -> str:
        """Of the entry of these rows."""
        data = self.rows.load(positions).contiguous()
        digest = hashlib.sha256(f"{self.made_from} {positions[0]} {tuple(data.shape)} {data.dtype}".encode())
        digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def write(self, path: Path, size: int, positions: IntArray) -> bool:
        """Make an entry, when it fits."""
        if not self.make_room(size):
            return False
        content = np.ascontiguousarray(self.compute(positions).numpy()).tobytes()
        try:
            with whole_file(path) as temporary:
                temporary.write_bytes(hashlib.sha256(content).digest() + content)
        except OSError:  # a full disk, or the folder was deleted: what is not there is computed when it is needed
            return False
        return True

    def make_room(self, size: int) -> bool:
        """Delete entries of other fits, oldest first, until `size` more bytes stay within the bound."""
        found = {}
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):  # deleted by another process meanwhile
                found[path] = path.stat()
        free = self.most_bytes - sum(status.st_size for status in found.values())
        own = set(self.entries.values())
        for path in sorted(found, key=lambda path: found[path].st_mtime):
            if free >= size:
                break
            if path not in own:
                path.unlink(missing_ok=True)
                free += found[path].st_size
        return free >= size

    def load(self, positions: IntArray) -> Tensor:
        """``(m, views, ...)`` float32 features of some rows."""
        made = torch.empty(len(positions), *self.shape)
        lacking = np.ones(len(positions), dtype=np.bool_)
        for number in np.unique(positions // _ROWS).tolist():
            at = np.flatnonzero(positions // _ROWS == number)
            found = self.read(number, positions[at] % _ROWS)
            if found is not None:
                made[torch.from_numpy(at)] = found
                lacking[at] = False
        if lacking.any():
            made[torch.from_numpy(lacking)] = self.compute(positions[lacking])
        return made

    def read(self, number: int, places: IntArray) -> Tensor | None:
        """Features of rows at `places` of a block; None where they are no longer there."""
        if number not in self.entries:
            return None
        size = 4 * math.prod(self.shape)
        found = np.empty((len(places), size), dtype=np.uint8)
        try:
            with self.entries[number].open("rb") as file:
                for row, place in enumerate(places.tolist()):
                    file.seek(_DIGEST + place * size)
                    found[row] = np.frombuffer(file.read(size), dtype=np.uint8)
        except (OSError, ValueError):  # deleted, or cut short
            return None
        return torch.from_numpy(found.view(np.float32).reshape(len(places), *self.shape))

    def compute(self, positions: IntArray) -> Tensor:
        """As `load`, from the rows themselves."""
        data = self.rows.load(positions).to(self.device)
        index = torch.from_numpy(positions).to(self.device)
        precision = floating_type(self.stem)
        made = []
        with torch.inference_mode():
            for number in range(self.views):
                seen = self.view(data, RowGenerator(derive(self.seed, "fixed view", number), index))
                seen = seen.to(precision) if seen.is_floating_point() else seen
                made.append(self.stem(seen).float().cpu())
        return torch.stack(made, dim=1).clone()


def _is_whole(path: Path, size: int) -> bool:
    """Whether an entry is there, of the right size, and holds what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return len(content) == size and hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]
