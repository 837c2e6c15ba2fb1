"""What a table does with its rows, as modules that ONNX can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from unalike.exporting.inputs import SAMPLES, Input
from unalike.modalities.donors import Donors
from unalike.modalities.moments import LARGEST
from unalike.modalities.table import Table
from unalike.seeding import RowGenerator, derive


class Standardised(nn.Module):
    """Rows of numbers and codes to cells: value in units of the column, and whether it is missing."""

    center: Tensor
    scale: Tensor

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.infinite = table.infinite == "missing"
        self.register_buffer("center", torch.from_numpy(np.array(table.center_, dtype=np.float64)))
        self.register_buffer("scale", torch.from_numpy(np.array(table.scale_, dtype=np.float64)))
        fills = table.missing == "fill" and len(table.donors_.values) > 0 and bool(table.donors_.usual.any())
        self.filled = Filled(table.donors_, [bool(levels) for levels in table.levels_]) if fills else None

    def forward(self, rows: Tensor) -> Tensor:
        """``(n, columns, 2)`` float32."""
        missing = rows.isnan()
        if self.infinite:
            missing = missing | rows.isinf()
        values = ((rows - self.center) / self.scale).clamp(-LARGEST, LARGEST)
        values = torch.where(missing, 0.0, values)
        if self.filled is not None:
            values, missing = self.filled(values, missing)
        return torch.stack([values.to(torch.float32), missing.to(torch.float32)], dim=2)


class Filled(nn.Module):
    """`modalities.donors.Donors.fill`: gaps take the values of the nearest donor."""

    lent: Tensor
    absent: Tensor
    usual: Tensor

    def __init__(self, donors: Donors, coded: list[bool]) -> None:
        super().__init__()
        self.coded = coded
        self.always = donors.usual.tolist()
        self.register_buffer("lent", torch.from_numpy(donors.values.copy()))
        self.register_buffer("absent", torch.from_numpy(donors.missing.copy()))
        self.register_buffer("usual", torch.from_numpy(donors.usual.copy()))

    def forward(self, values: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
        """Values and gaps ``(n, columns)`` after filling."""
        gaps = missing & self.usual
        known = 2 * gaps.sum(dim=1, keepdim=True) <= self.usual.sum()
        filled = gaps & known
        nearest = self.lent[self._nearest(values, missing)].to(values.dtype)
        return torch.where(filled, nearest, values), missing & ~(filled.any(dim=1, keepdim=True) & self.usual)

    def _nearest(self, values: Tensor, missing: Tensor) -> Tensor:
        """``(n,)``: sums in the order of the columns, as the table makes them, so that ties fall alike."""
        distance = values.new_zeros((values.shape[0], len(self.lent)))
        for column, is_code in enumerate(self.coded):
            there = ~missing[:, column, None]
            apart = values[:, column, None] - self.lent[:, column].to(values.dtype)
            apart = (apart != 0).to(values.dtype) if is_code else apart * apart
            apart = torch.where(there, apart, 0.0)
            if not self.always[column]:
                absent = self.absent[:, column]
                apart = torch.where(absent, there.to(values.dtype), torch.where(there, apart, 1.0))
            distance = distance + apart
        return distance.argmin(dim=1)


def of_table(modality: Table) -> Input:
    """The beginning of the graph for a fitted table: rows of numbers, and of codes where there are categories."""
    scale, center = modality.scale_, modality.center_
    coded = [bool(levels) for levels in modality.levels_]

    def fed(cells: Tensor) -> npt.NDArray[Any]:
        values, missing = cells[:, :, 0].numpy().astype(np.float64), cells[:, :, 1].numpy() > 0.5
        return np.where(missing, np.nan, values * scale + center)

    def encoded(rows: npt.NDArray[Any]) -> Tensor:
        values, missing = modality._standardised(rows)
        if modality.missing == "fill":
            values, missing = modality.donors_.fill(values, missing, coded)
        return torch.from_numpy(np.stack([values, missing], axis=2).astype(np.float32))

    described = {
        "columns": [column.state() for column in modality.inputs_],
        "named": modality.named_,
        "infinite": modality.infinite,
        "id": modality.id,
        "inputs": [str(name) for name in modality.columns_],
    }
    return Input(
        name="rows",
        module=Standardised(modality),
        varying=("n",),
        drawn=fed(_drawn(modality)),
        fed=fed,
        encoded=encoded,
        described=described,
    )


def _drawn(modality: Table) -> Tensor:
    """``(8, columns, 2)``: numbers within two deviations, categories in turn, two rows with a gap."""
    columns = len(modality.columns_)
    generator = RowGenerator(derive(0, "export"), torch.arange(SAMPLES))
    cells = torch.zeros(SAMPLES, columns, 2)
    cells[:, :, 0] = generator.uniform(columns, 1, low=-2.0, high=2.0)[..., 0]
    for column, levels in enumerate(modality.levels_):
        if levels:
            cells[:, column, 0] = (torch.arange(SAMPLES) + column) % (len(levels) + 1)
    cells[SAMPLES - 2, 0, 1] = cells[SAMPLES - 1, columns - 1, 1] = 1.0
    return cells
