"""What training rows teach of one column, some cells at a time."""

from __future__ import annotations

from typing import Any

from unalike.errors import InvalidInput
from unalike.modalities import dates
from unalike.modalities.cells import TOLD, Cells, Column, Kind

_FREE_TEXT_LEVELS = 100


class Learner:
    """Learns one column, some cells at a time.

    Parameters
    ----------
    name : str or int
        Of the column.
    rows : int
        How many cells there will be: of text, at most half as many and at least 100 may differ.
    ordinal : list of str, optional
        The levels in order, when the user gave them.
    elapsed : bool
        Whether the time that a date lies after 1970 counts.
    """

    def __init__(self, name: Any, rows: int, ordinal: list[str] | None, elapsed: bool) -> None:
        self.name, self.rows, self.ordinal, self.elapsed = name, rows, ordinal, elapsed
        self.kind: str = "nothing"
        self.empty_kind: Kind = "number"
        self.texts: set[str] = set()
        self.order: list[str] | None = None
        self.zone: str | None = None
        self.seen = dates.Seen({}, {})

    def add(self, cells: Cells) -> None:
        """Learn from some more cells.

        Raises
        ------
        InvalidInput
            When their kind differs from those before, or they are free text.
        """
        if cells.kind == "nothing":
            self.empty_kind = _kind_when_empty(cells)
            return
        if self.kind not in ("nothing", cells.kind):
            raise InvalidInput(
                f"Column {self.name!r} must hold one kind of values; got {TOLD[self.kind]} and {TOLD[cells.kind]}. "
                "Convert it, or leave it out with ignore=."
            )
        self.kind = cells.kind
        if self.kind in ("category", "ordinal"):
            self._add_texts(cells)
        elif self.kind in ("date", "time"):
            self._add_dates(cells)

    def _add_texts(self, cells: Cells) -> None:
        self.texts |= cells.texts()
        if self.kind == "ordinal":
            order = cells.ordered_levels()
            if self.order not in (None, order):
                raise InvalidInput(
                    f"Column {self.name!r} must have its levels in one order; got {self.order} and {order}. Give it as "
                    f"ordinal={{{self.name!r}: [...]}}."
                )
            self.order = order
        elif self.ordinal is None and len(self.texts) > max(_FREE_TEXT_LEVELS, self.rows // 2):
            raise self._free_text(cells)

    def _free_text(self, cells: Cells) -> InvalidInput:
        texts = f"got {len(self.texts)} different texts in {self.rows} rows"
        if cells.are_numeric_texts():
            return InvalidInput(
                f"Column {self.name!r} must hold its numbers as numbers; {texts}. Convert them with float()."
            )
        return InvalidInput(
            f"Column {self.name!r} must be a category; {texts}. Leave it out with ignore=, name it id=, or detect on "
            "it as texts."
        )

    def _add_dates(self, cells: Cells) -> None:
        if self.zone is not None and cells.zone is None:
            raise InvalidInput(f"Column {self.name!r} must have a time zone throughout; got none in part of it.")
        self.zone = self.zone or cells.zone
        micros, missing = cells.micros(self.zone)
        self.seen |= dates.Seen.of(micros[~missing])

    def column(self) -> Column:
        """What was learned.

        Raises
        ------
        InvalidInput
            When the user gave an order for what are no categories, or not for all of them.
        """
        kind: Any = self.empty_kind if self.kind == "nothing" else self.kind
        if self.ordinal is not None:
            return self._ordinal(kind)
        if kind == "ordinal":
            return Column(self.name, "ordinal", self.order or [])
        if kind == "category":
            return Column(self.name, "category", sorted(self.texts) or [""])
        if kind in ("date", "time"):
            parts = self.seen.cycles(dated=kind == "date") + [dates.ELAPSED] * (self.elapsed and kind == "date")
            return Column(self.name, kind, parts=parts or [dates.PRESENT], zone=self.zone)
        return Column(self.name, kind)

    def _ordinal(self, kind: str) -> Column:
        ordinal = self.ordinal or []
        if TOLD[kind] != "categories" and self.kind != "nothing":
            raise InvalidInput(
                f"`ordinal` must name columns of categories; {self.name!r} holds {TOLD[kind]}. Leave it out."
            )
        unknown = sorted(self.texts - set(ordinal))
        if unknown:
            raise InvalidInput(
                f"`ordinal` must list every level of {self.name!r}; got none for {unknown[:5]}. Add them in order."
            )
        return Column(self.name, "ordinal", ordinal)


def _kind_when_empty(cells: Cells) -> Kind:
    """What a column is taken for whose cells are all missing."""
    import pyarrow.types as kinds

    kind = cells.cells.type
    if kinds.is_dictionary(kind) or kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return "category"
    if kinds.is_date(kind) or kinds.is_timestamp(kind):
        return "date"
    return "time" if kinds.is_time(kind) else "duration" if kinds.is_duration(kind) else "number"
