"""What the objectives for tables ask of their rows."""

from __future__ import annotations

from torch import Tensor

from unalike.errors import InvalidInput


def check_cells(sample: Tensor, levels: tuple[int, ...], several: bool = False) -> None:
    """Refuse what are no rows of a table.

    Parameters
    ----------
    sample : Tensor
        ``(m, columns, 2)``: value or code, and is-missing.
    levels : tuple of int
        One entry per column, or empty.
    several : bool
        Whether it must have two columns at least.

    Raises
    ------
    InvalidInput
        `sample` is not such a tensor, or has another number of columns than `levels`.
    """
    if sample.ndim != 3 or sample.shape[2] != 2 or len(sample) == 0 or sample.shape[1] < 1 + several:
        wanted = " of two columns or more" if several else ""
        raise InvalidInput(
            f"`sample` must be a table tensor (m, columns, 2){wanted}, value or code and is-missing; "
            f"got shape {tuple(sample.shape)}. This objective is for tables; others take SimCLR."
        )
    if levels and len(levels) != sample.shape[1]:
        raise InvalidInput(
            f"`levels` must have one entry per column, {sample.shape[1]}; got {len(levels)}. Give `schema.levels`."
        )
