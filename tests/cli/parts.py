"""Data, models and commands that the tests of the command line share."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image as Pillow

from unalike import cli

STEPS = ["--steps", "3", "--false-alarm-rate", "0.1", "--quiet"]


def run(*arguments):
    """The exit status."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    return left.value.code or 0


def table(n, generator, shifted=0):
    frame = pd.DataFrame(generator.normal(size=(n, 3)), columns=["a", "b", "c"])
    frame["colour"] = generator.choice(["red", "green"], n)
    frame["name"] = [f"row {number}" for number in range(n)]
    frame["when"] = pd.Timestamp("2026-01-01")
    frame["customer"] = np.arange(n) // 2
    frame.loc[n - shifted :, "a"] += 9.0
    frame["bad"] = (np.arange(n) >= n - shifted).astype(int)
    return frame


def images(folder, n, generator, *, square):
    folder.mkdir(parents=True)
    for number in range(n):
        pixels = generator.integers(90, 110, (8, 8)).astype(np.uint8)
        if square:
            pixels[2:6, 2:6] = 250
        Pillow.fromarray(pixels).save(folder / f"{number:02d}.png")


CASES = [("table.unalike", "test.csv"), ("table.unalike", "test.parquet"), ("npz.unalike", "test.npz")]
CASES += [("image.unalike", "test")]


def read_rows(path):
    if path.suffix == ".csv":
        return pl.read_csv(path).to_dicts()
    if path.suffix == ".parquet":
        return pl.read_parquet(path).to_dicts()
    return [json.loads(line) for line in path.read_text().splitlines()]
