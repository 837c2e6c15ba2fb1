"""Tables: numeric, boolean and categorical columns, with missing cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import numpy.typing as npt

from unalike import reading
from unalike.data import count
from unalike.encoders.mlp import TableMLP
from unalike.encoders.raw import RawTable
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives.simclr import SimCLR
from unalike.objectives.synthetic import SyntheticContrast
from unalike.scorers.mahalanobis import Mahalanobis
from unalike.scorers.neighbors import KNN
from unalike.scorers.parametric import Centroid
from unalike.types import Branch, Collection, FloatArray, IntArray, Schema, Training, View
from unalike.views.table import CorruptCells

if TYPE_CHECKING:
    from torch import Tensor

_FREE_TEXT_LEVELS = 100
_LARGEST = np.finfo(np.float32).max


@dataclass(kw_only=True)
class Table:
    """Rows of a table: a numeric array, a pandas, polars or Arrow frame, or a CSV or Parquet file.

    Numbers and booleans become standardised values, strings and categories become codes; NaN and null are
    missing cells, which are allowed everywhere. A category that training did not see has code 0. A column
    that was constant in training keeps its own unit.

    Parameters
    ----------
    ignore : sequence of str
        Columns that are left out. Training data must have them; later data need not.
    id : str, optional
        Column that names the rows in the results; it is left out of the data.

    Attributes
    ----------
    columns_ : list of str
        The columns that count, in order.
    levels_ : list of list of str
        Per column the categories that training saw; empty for a numeric column.
    center_, scale_ : ndarray
        ``(columns,)``: mean and standard deviation of the observed training cells; 0 and 1 for categories.
    """

    ignore: Sequence[str] = ()
    id: str | None = None

    name = "table"
    exact = True

    def __post_init__(self) -> None:
        if isinstance(self.ignore, str):
            raise InvalidParameter(f"`ignore` must be a sequence of names; got {self.ignore!r}. Use [{self.ignore!r}].")

    def check(self, X: Any) -> Collection:
        """Read a file; refuse what is no table, and columns that differ from those of `fit`.

        Raises
        ------
        InvalidInput
            `X` is empty, of the wrong shape, infinite, of an unusable column type, or misses columns; a column
            holds categories where `fit` saw numbers, or the other way round.
        """
        if reading.is_path(X):
            X = reading.read_npz(X) if str(X).lower().endswith(".npz") else reading.read_table(X)
        X = self._as_frame(X) if _is_frame(X) else self._as_array(X)
        if count(X) == 0:
            raise InvalidInput(
                f"`X` must have at least one row. Found array with 0 sample(s) (shape={X.shape}) "
                "while a minimum of 1 is required."
            )
        return X

    def fit(self, X: Collection) -> Table:
        """Learn columns, categories and scales from training rows."""
        self.columns_ = self._names(X)
        self.named_ = not isinstance(X, np.ndarray)
        self.levels_ = [_levels(X, name) for name in self.columns_]
        raw = self._values(X)
        observed = ~np.isnan(raw)
        numeric = np.array([not levels for levels in self.levels_])
        seen = np.maximum(observed.sum(axis=0), 1)
        # Sums run over the distance to one observed cell: exactly 0 in a constant column, however long it is.
        origin = np.nan_to_num(raw[observed.argmax(axis=0), np.arange(raw.shape[1])])
        center = origin + np.where(observed, (raw - origin) / seen, 0.0).sum(axis=0)
        deviation = np.where(observed, raw - center, 0.0)
        largest = np.abs(deviation).max(axis=0)
        unit = np.where(largest > 0, largest, 1.0)  # squares of huge cells would overflow
        scale = unit * np.sqrt(((deviation / unit) ** 2).sum(axis=0) / seen)
        constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(center)
        self.center_ = np.where(numeric, center, 0.0)
        self.scale_ = np.where(numeric & ~constant & (scale > 0), scale, 1.0)
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
        raw = self._values(parts)
        missing = np.isnan(raw)
        with np.errstate(over="ignore"):
            values = np.where(missing, 0.0, (raw - self.center_) / self.scale_)
        values = np.clip(values, -_LARGEST, _LARGEST)
        return torch.from_numpy(np.stack([values, missing], axis=2).astype(np.float32))

    def ids(self, X: Collection) -> npt.NDArray[Any]:
        """The `id` column, the index of a pandas frame, or row numbers."""
        if isinstance(X, np.ndarray):
            return np.arange(len(X))
        if self.id is not None:
            return np.asarray(nw.from_native(X, eager_only=True).get_column(self.id).to_list())
        index = getattr(X, "index", None)
        return np.arange(count(X)) if index is None else np.asarray(index)

    def view(self) -> View:
        """SCARF's feature corruption."""
        return CorruptCells(rate=0.3)

    def branches(self) -> tuple[Branch, ...]:
        """Raw and compressed nearest neighbours, one and many, two contrasts, and one centre where the data has one."""
        synthetic = Training(steps=300, batch_size=128, optimizer="adamw", weight_decay=1e-4, warmup=0.0)
        return (
            Branch(name="nearest", encoder=RawTable(), scorer=KNN(k=1)),
            Branch(name="nearest-log", encoder=RawTable(scaling="signed-log"), scorer=KNN(k=1)),
            Branch(name="nearest-many", encoder=RawTable(), scorer=KNN(k=0.025, most_rows=2000), weight=0.5),
            Branch(
                name="contrast",
                encoder=TableMLP(activation="relu"),
                objective=SyntheticContrast(levels=self.schema.levels),
                scorer=KNN(k=1),
                training=synthetic,
            ),
            Branch(
                name="contrast-views",
                encoder=TableMLP(activation="relu"),
                objective=SimCLR(temperature=0.5),
                scorer=Mahalanobis(),
                training=replace(synthetic, batch_size=256),
            ),
            Branch(name="center", encoder=RawTable(), scorer=Centroid(), weight=8.0, agreement=0.65),
        )

    def state(self) -> dict[str, Any]:
        """Columns, categories and scales."""
        _need_fit(self)
        return {
            "columns": self.columns_,
            "named": self.named_,
            "levels": self.levels_,
            "center": self.center_,
            "scale": self.scale_,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take a saved schema."""
        self.columns_, self.named_, self.levels_ = state["columns"], state["named"], state["levels"]
        self.center_, self.scale_ = state["center"], state["scale"]

    def _names(self, X: Collection) -> list[str]:
        if isinstance(X, np.ndarray):
            return [f"x{column}" for column in range(X.shape[1])]
        left_out = {*self.ignore, self.id}
        return [name for name in nw.from_native(X, eager_only=True).columns if name not in left_out]

    def _as_array(self, X: Any) -> npt.NDArray[Any]:
        from sklearn.utils import check_array

        if self.ignore or self.id is not None:
            raise InvalidInput("`X` must have named columns for `ignore` and `id`; got an array. Give a DataFrame.")
        try:
            array = np.asarray(check_array(X, dtype="numeric", ensure_all_finite="allow-nan", ensure_min_samples=0))
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        if hasattr(self, "columns_"):
            self._check_width(array.shape[1])
            if any(self.levels_):
                raise InvalidInput("`X` must be a DataFrame, as in `fit`, to name its categories; got an array.")
        return array

    def _as_frame(self, X: Any) -> Any:
        frame = _eager(X)
        self._check_names(frame.columns)
        fitted = hasattr(self, "columns_")
        names = self.columns_ if fitted and self.named_ else self._names(X)
        for position, name in enumerate(names):
            kind = _kind(frame.get_column(name))
            if fitted and kind not in ("nothing", "categories" if self.levels_[position] else "numbers"):
                raise InvalidInput(
                    f"Column {name!r} must hold {'numbers' if kind == 'categories' else 'categories'}, as in `fit`; "
                    f"got {frame.get_column(name).dtype}. Convert it."
                )
        return X

    def _check_names(self, found: Sequence[Any]) -> None:
        fitted = hasattr(self, "columns_")
        named = [*([] if fitted else self.ignore), *([] if self.id is None else [self.id])]
        if any(name not in found for name in named):
            raise InvalidInput(f"`X` must have the columns that `ignore` and `id` name, {named}; got {list(found)}.")
        used = [name for name in found if name not in (*self.ignore, self.id)]
        if fitted and not self.named_:
            self._check_width(len(used))
        elif fitted:
            lacking = [name for name in self.columns_ if name not in used]
            if lacking:
                raise InvalidInput(f"`X` must have the columns of `fit`; got none called {lacking}. Add them.")
        elif not used:
            raise InvalidInput("`X` must have at least one column to learn from; got none. Give more, or ignore fewer.")
        elif not all(isinstance(name, (str, int)) for name in used):
            raise InvalidInput(f"The columns of `X` must have texts or integers as names; got {used}. Rename them.")

    def _check_width(self, columns: int) -> None:
        if columns != len(self.columns_):  # scikit-learn's words: its check_estimator looks for them
            raise InvalidInput(
                f"X has {columns} features, but Detector is expecting {len(self.columns_)} features as input."
            )

    def _values(self, X: Collection) -> FloatArray:
        """``(n, columns)`` float64: numbers, or codes of categories; NaN where missing."""
        if isinstance(X, np.ndarray):
            return X.astype(np.float64)
        frame = nw.from_native(X, eager_only=True)
        names = self.columns_ if self.named_ else self._names(X)
        columns = [_numbers(frame.get_column(name), levels) for name, levels in zip(names, self.levels_, strict=True)]
        return np.stack(columns, axis=1)


def _need_fit(table: Table) -> None:
    if not hasattr(table, "scale_"):
        raise NotFitted("`Table` must be fitted first. Call `fit`.")


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") or hasattr(X, "column_names")


def _eager(X: Any) -> Any:
    try:
        return nw.from_native(X, eager_only=True)
    except Exception as error:
        raise InvalidInput(
            "`X` must be an array or a DataFrame in memory (pandas, polars, Arrow table…) whose columns have different "
            f"names; got {type(X).__name__}: {error}. Collect or convert it."
        ) from error


def _kind(column: Any) -> str:
    """What `column` holds: ``"numbers"``, ``"categories"`` or, missing everywhere, ``"nothing"``.

    Raises
    ------
    InvalidInput
        When it holds anything else, or infinity.
    """
    if column.is_null().all():
        return "nothing"
    kind = column.dtype
    if kind.is_numeric() or kind == nw.Boolean or _holds(column, (bool, int, float, np.number, np.bool_)):
        numbers = _floats(column)
        if np.isinf(numbers).any():
            raise InvalidInput(
                f"Column {column.name!r} must be finite or missing; got infinity. Clip it or set it null."
            )
        return "nothing" if np.isnan(numbers).all() else "numbers"
    if _is_text(kind) or _holds(column, (str, bool, int, float, np.number, np.bool_)):
        return "categories"
    raise InvalidInput(
        f"Column {column.name!r} must hold numbers, booleans or categories; got {kind}. "
        "Split a date into numbers such as hour and weekday, or leave the column out with ignore=."
    )


def _is_text(kind: Any) -> bool:
    return kind in (nw.String, nw.Categorical) or isinstance(kind, nw.Enum)


def _holds(column: Any, types: tuple[type, ...]) -> bool:
    """Whether a column of Python objects, as pandas makes of booleans with missing ones, holds only `types`."""
    return column.dtype == nw.Object and all(isinstance(value, types) for value in column.drop_nulls().to_list())


def _levels(X: Collection, name: str) -> list[str]:
    if isinstance(X, np.ndarray):
        return []
    column = nw.from_native(X, eager_only=True).get_column(name)
    if not _is_text(column.dtype) and _kind(column) != "categories":
        return []
    levels = sorted({str(value) for value in column.drop_nulls().to_list()})
    if len(levels) > max(_FREE_TEXT_LEVELS, len(column) // 2):
        raise InvalidInput(
            f"Column {name!r} must be a category; got {len(levels)} different texts in {len(column)} rows. "
            "Leave it out with ignore=, name it id=, or detect on it as texts."
        )
    return levels or [""]


def _numbers(column: Any, levels: list[str]) -> FloatArray:
    if not levels:
        return _floats(column)
    if _kind(column) == "nothing":
        return np.full(len(column), np.nan)
    code = {level: position for position, level in enumerate(levels, start=1)}
    values, missing = column.to_list(), column.is_null().to_list()
    return np.array([np.nan if gone else code.get(str(v), 0) for v, gone in zip(values, missing, strict=True)])


def _floats(column: Any) -> FloatArray:
    if column.is_null().all():  # of any type: dates cannot be cast
        return np.full(len(column), np.nan)
    try:
        return np.asarray(column.cast(nw.Float64).fill_null(np.nan).to_numpy(), dtype=np.float64)
    except Exception as error:
        raise InvalidInput(
            f"Column {column.name!r} must hold numbers, as in `fit`; got {column.dtype}: {error}. Convert it."
        ) from error
