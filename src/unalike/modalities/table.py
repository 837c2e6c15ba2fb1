"""Tables: numbers, categories, dates and times, with missing cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unalike import tabular
from unalike.data import count
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.modalities import columns, intake, refusing, tuned
from unalike.modalities.cells import Cells, Column
from unalike.modalities.donors import Donors
from unalike.modalities.frames import blocks, column_names, frame
from unalike.modalities.learner import Learner
from unalike.modalities.moments import LARGEST, center_and_scale
from unalike.plain import is_number
from unalike.scanning import ArrowRows
from unalike.types import Branch, Collection, FloatArray, IntArray, Schema, View
from unalike.views.table import CorruptCells

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = 1024
"""Rows of what is larger than memory that are looked at before the rest is read."""


@dataclass(kw_only=True)
class Table:
    """Rows of a table (docs/tables.md tells what may be in it, and what becomes of it).

    A numeric array; a pandas, polars or Arrow frame; a list of dicts; a CSV, TSV or Parquet file or a folder of them;
    an Arrow dataset. Folders, datasets and files above 256 MB are read a batch at a time and may be larger than
    memory.

    Numbers, booleans, durations and the ranks of ordinal columns become standardised values; strings and categories
    become codes; dates and times of day become the sine and cosine of the cycles that training goes through. NaN,
    None, null and NaT are missing cells, which are allowed everywhere. A category that training did not see has code
    0. A column that was constant in training keeps its own unit.

    Parameters
    ----------
    ignore : sequence of str
        Columns that are left out. Training data must have them; later data need not.
    id : str, optional
        Column that names the rows in the results; it is left out of the data.
    ordinal : mapping of str to sequence of str
        Columns of categories that have an order, with all levels from the lowest: they become ranks. Ordered
        categoricals of pandas are ordinal by themselves.
    elapsed : sequence of str
        Columns of dates where it also counts how long ago they are, such as dates of birth. Not for the time at which
        a row was recorded: all later rows would look anomalous.
    infinite : {"error", "missing"}
        What becomes of infinite numbers.
    missing : {"fill", "flag"}
        What becomes of a missing cell in a column of which training missed less than 1%. ``"fill"``: it takes the
        value of the nearest training row (`modalities.donors`), so that a gap alone is no anomaly; ``"flag"``: it
        is one more value, that training hardly saw. Where training missed more, a gap is always a value of its own.
    most_rows : int, optional
        Training takes at most so many rows, one drawn from each of so many equal stretches, and warns when others are
        left out; None: all. It needs memory for them: 8 bytes for each of their cells, and what the scorers keep.

    Attributes
    ----------
    inputs_ : list of Column
        The columns that count, in order, with what was learned of each.
    columns_ : list of str
        The columns of the tensors, in order: those of `inputs_`, of dates the parts.
    levels_ : list of list of str
        Per column of the tensors the categories that training saw; empty for a numeric column.
    center_, scale_ : ndarray
        ``(columns,)``: mean and standard deviation of the observed training cells; 0 and 1 for categories. The sine
        and cosine of a cycle share one scale, with which both together count as one column.
    """

    ignore: Sequence[str] = ()
    id: str | None = None
    ordinal: Mapping[str, Sequence[str]] = field(default_factory=dict)
    elapsed: Sequence[str] = ()
    infinite: Literal["error", "missing"] = "error"
    missing: Literal["fill", "flag"] = "fill"
    most_rows: int | None = 1_000_000

    name = "table"
    exact = True

    def __post_init__(self) -> None:
        for setting in ("ignore", "elapsed"):
            given = getattr(self, setting)
            if isinstance(given, str):
                raise InvalidParameter(f"`{setting}` must be a sequence of names; got {given!r}. Use [{given!r}].")
        if self.infinite not in ("error", "missing"):
            raise InvalidParameter(f"`infinite` must be 'error' or 'missing'; got {self.infinite!r}.")
        if self.missing not in ("fill", "flag"):
            raise InvalidParameter(f"`missing` must be 'fill' or 'flag'; got {self.missing!r}.")
        if self.most_rows is not None and not (is_number(self.most_rows) and self.most_rows >= 2):
            raise InvalidParameter(f"`most_rows` must be a number of at least 2, or None; got {self.most_rows!r}.")
        for name, levels in self.ordinal.items():
            if isinstance(levels, str) or len(set(map(str, levels))) < max(len(levels), 1):
                raise InvalidParameter(
                    f"`ordinal` must have different levels for {name!r}, from the lowest; got {levels!r}."
                )

    def check(self, X: Any) -> Collection:
        """Read a file, open a folder; refuse what is no table, and columns that differ from those of `fit`.

        Raises
        ------
        InvalidInput
            `X` is empty, of the wrong shape, infinite, of an unusable column type, or misses columns; a column
            holds another kind of values than in `fit`.
        """
        X, learned = intake.collected(X), getattr(self, "inputs_", None)
        if isinstance(X, np.ndarray):
            settings = bool(self.ignore or self.id is not None or self.ordinal or self.elapsed)
            refusing.check_array(X, settings, learned, self.infinite)
        else:
            self._check_names(column_names(X), learned)
            if isinstance(X, ArrowRows):
                X = X.select([*self._names(X), *([] if self.id is None else [self.id])])
        if count(X) == 0:
            shape = X.shape if hasattr(X, "shape") else (0, len(column_names(X)))
            raise InvalidInput(
                f"`X` must have at least one row. Found array with 0 sample(s) (shape={shape}) "
                "while a minimum of 1 is required."
            )
        if not isinstance(X, np.ndarray):
            head = X.take(np.arange(min(count(X), _HEAD))).table() if isinstance(X, ArrowRows) else X
            refusing.check_cells(head, self._names(head), learned, self.infinite)
        return X

    def fit(self, X: Collection) -> Table:
        """Learn columns, categories and scales from training rows."""
        self.named_ = not isinstance(X, np.ndarray)
        self.inputs_ = self._learned(X)
        self._name_tensors()
        raw = np.concatenate([self._encoded(block) for block in blocks(X)])
        self.center_, self.scale_ = center_and_scale(raw, self._units())
        self.donors_ = Donors.among(*self._standardised(raw))
        return self

    @property
    def schema(self) -> Schema:
        """Shape ``(columns, 2)`` and the number of codes of each categorical column."""
        _need_fit(self)
        return Schema((len(self.columns_), 2), tuple(len(levels) + 1 if levels else 0 for levels in self.levels_))

    def cut(self, X: Collection) -> tuple[Collection, IntArray]:
        """Every row is one part."""
        return X, np.arange(count(X))

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray:
        """Every row is one part."""
        return scores

    def tensors(self, parts: Collection) -> Tensor:
        """``(n, columns, 2)`` float32: value-or-code, is-missing."""
        import torch

        _need_fit(self)
        if isinstance(parts, ArrowRows):
            parts = parts.select(self._names(parts)).table()
        values, missing = self._standardised(self._encoded(parts))
        if self.missing == "fill":
            values, missing = self.donors_.fill(values, missing, [bool(levels) for levels in self.levels_])
        return torch.from_numpy(np.stack([values, missing], axis=2).astype(np.float32))

    def ids(self, X: Collection) -> npt.NDArray[Any]:
        """The `id` column, the index of a pandas frame, or row numbers."""
        if self.id is not None and not isinstance(X, np.ndarray):
            read = blocks(X.select([self.id]) if isinstance(X, ArrowRows) else X)
            names = [np.asarray(frame(block).get_column(self.id).to_list()) for block in read]
            return names[0] if len(names) == 1 else np.concatenate(names)
        index = getattr(X, "index", None)
        return np.arange(count(X)) if index is None else np.asarray(index)

    def view(self) -> View:
        """SCARF's feature corruption."""
        return CorruptCells(rate=0.3)

    def branches(self) -> tuple[Branch, ...]:
        """Two networks that tell real rows from synthetic ones, and the input in two scalings (`modalities.tuned`)."""
        return tuned.branches(self.schema.levels)

    def labelled_branches(self) -> tuple[Branch, ...]:
        """Beside those of `branches` where there are labelled anomalies (docs/decisions/0009)."""
        return tuned.labelled_branches()

    def places(self) -> tuple[str, ...]:
        """The names of the columns (see `unalike.types.Places`)."""
        _need_fit(self)
        return tuple(str(column.name) for column in self.inputs_)

    def spread(self, chosen: Tensor) -> Tensor:
        """``(n, columns, 1)``: value and is-missing of the chosen cells."""
        return chosen[:, self._sources()][..., None]

    def contrasts(self, sample: Tensor, rows: Tensor) -> Tensor:
        """As `modalities.columns.contrasts`; of a date, all parts together."""
        import torch

        found = columns.contrasts(sample, rows, self.schema.levels)
        together = found.new_zeros(len(found), len(self.inputs_))
        return together.index_add(1, torch.tensor(self._sources()), found)

    def typical(self, rows: Tensor) -> Tensor:
        """As `modalities.columns.typical`."""
        return columns.typical(rows, self.schema.levels)

    def values(self, X: Collection) -> list[list[Any]]:
        """The cells as they were given."""
        names = [] if isinstance(X, np.ndarray) else self._names(X)
        return columns.values(X.table() if isinstance(X, ArrowRows) else X, names)

    def told(self, sample: Tensor) -> list[Any]:
        """A row in the units of `X`."""
        found = iter(columns.told(sample, self.levels_, self.center_, self.scale_))
        return [column.told([next(found) for _ in column.names]) for column in self.inputs_]

    def state(self) -> dict[str, Any]:
        """Columns, categories and scales."""
        _need_fit(self)
        return {
            "columns": self.columns_,
            "named": self.named_,
            "levels": self.levels_,
            "center": self.center_,
            "scale": self.scale_,
            "inputs": [column.state() for column in self.inputs_],
            **self.donors_.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take a saved schema; one of before there were dates has numbers and categories only."""
        self.named_, self.center_, self.scale_ = state["named"], state["center"], state["scale"]
        if "inputs" in state:
            self.inputs_ = [Column(**column) for column in state["inputs"]]
        else:
            kinds = zip(state["columns"], state["levels"], strict=True)
            self.inputs_ = [Column(name, "category" if levels else "number", levels) for name, levels in kinds]
        self._name_tensors()
        self.donors_ = Donors.restored(state, len(self.columns_))

    def _standardised(self, raw: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        missing = np.isnan(raw)
        with np.errstate(over="ignore"):
            values = np.where(missing, 0.0, (raw - self.center_) / self.scale_)
        return np.clip(values, -LARGEST, LARGEST), missing

    def _name_tensors(self) -> None:
        self.columns_ = [name for column in self.inputs_ for name in column.names]
        self.levels_ = [column.codes for column in self.inputs_ for _ in column.names]

    def _sources(self) -> list[int]:
        """For each column of the tensors the number of its input."""
        return [number for number, column in enumerate(self.inputs_) for _ in column.names]

    def _units(self) -> list[str]:
        """How each column of the tensors is brought to scale (see `moments`)."""
        return [unit for column in self.inputs_ for unit in column.units]

    def _learned(self, X: Collection) -> list[Column]:
        if isinstance(X, np.ndarray):
            return [Column(f"x{number}", "number") for number in range(X.shape[1])]
        ordinal = {name: [str(level) for level in levels] for name, levels in self.ordinal.items()}
        used = self._used(X)
        learners = [Learner(name, count(X), ordinal.get(name), name in self.elapsed) for name in used]
        for block in blocks(X):
            cells = frame(block)
            for learner in learners:
                learner.add(Cells(cells.get_column(learner.name)))
        return [learner.column() for learner in learners]

    def _used(self, X: Collection) -> list[Any]:
        """The columns of a frame that are data, in its order."""
        return [name for name in column_names(X) if name not in (*self.ignore, self.id)]

    def _names(self, X: Collection) -> list[Any]:
        """The columns of `X` that stand for those of `fit`."""
        return [column.name for column in self.inputs_] if getattr(self, "named_", False) else self._used(X)

    def _check_names(self, found: Sequence[Any], learned: Sequence[Column] | None) -> None:
        # Later data need not have what is left out.
        named = [] if learned is not None else [*self.ignore, *self.ordinal, *self.elapsed]
        named += [] if self.id is None else [self.id]
        tabular.check_named(named, found, "`ignore`, `id`, `ordinal` and `elapsed`")
        used = [name for name in found if name not in (*self.ignore, self.id)]
        refusing.check_columns(used, learned, getattr(self, "named_", False))

    def _encoded(self, X: Collection) -> FloatArray:
        """``(n, columns)`` float64: numbers, or codes of categories; NaN where missing."""
        if isinstance(X, np.ndarray):
            values = X.astype(np.float64)
            if self.infinite == "missing":
                values[np.isinf(values)] = np.nan
            return values
        named = frame(X)
        made: list[FloatArray] = []
        for name, column in zip(self._names(X), self.inputs_, strict=True):
            made += column.numbers(Cells(named.get_column(name)), self.infinite)
        return np.stack(made, axis=1)


def _need_fit(table: Table) -> None:
    if not hasattr(table, "scale_"):
        raise NotFitted("`Table` must be fitted first. Call `fit`.")
