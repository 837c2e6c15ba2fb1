"""Memory of fit and detect on a folder of Parquet files, as the folder grows.

    python -m benchmarks.larger_than_memory --rows 1000000 12000000

Each size runs in a process of its own, and says how much of its memory the start took. The data are made up, in a
folder that is removed. One fast scorer, a centre: what is measured is the reading, not the scorer.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = 16
ROWS_OF_A_FILE = 1_000_000


def write(folder: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    for number, start in enumerate(range(0, rows, ROWS_OF_A_FILE)):
        size = min(ROWS_OF_A_FILE, rows - start)
        columns = {f"c{column}": generator.normal(size=size) for column in range(COLUMNS - 1)}
        columns["kind"] = generator.choice(["a", "b", "c"], size)
        pq.write_table(pa.table(columns), folder / f"{number:04d}.parquet", row_group_size=100_000)


def peak() -> float:
    """MiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: str, most_rows: int) -> None:
    import warnings

    from unalike import Branch, Detector
    from unalike.encoders import RawTable
    from unalike.errors import InputWarning
    from unalike.modalities import Table
    from unalike.scorers import Centroid

    def detector(rows: int) -> Detector:
        table: Any = Table(most_rows=rows)
        branch = Branch(name="center", encoder=RawTable(), scorer=Centroid())
        return Detector(table, branches=[branch])

    warnings.simplefilter("ignore", InputWarning)
    generator = np.random.default_rng(0)
    detector(1000).fit(generator.normal(size=(1000, COLUMNS))).detect(generator.normal(size=(1000, COLUMNS)))
    start, began = peak(), time.perf_counter()
    fitted = detector(most_rows).fit(folder)
    after_fit, middle = peak(), time.perf_counter()
    decisions = fitted.detect(folder)
    end = time.perf_counter()
    size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
    print(
        f"{len(decisions):>10} rows, {size:6.0f} MiB on disk | start {start:5.0f} MiB, fit {after_fit:5.0f} MiB in "
        f"{middle - began:4.0f} s, detect {peak():5.0f} MiB in {end - middle:4.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 12_000_000])
    parser.add_argument("--most-rows", type=int, default=100_000)
    parser.add_argument("--folder", help="of the data; measure it and make none")
    arguments = parser.parse_args()
    if arguments.folder is not None:
        measure(arguments.folder, arguments.most_rows)
        return
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as made:
            write(Path(made), rows)
            again = [sys.executable, "-m", "benchmarks.larger_than_memory", "--folder", made]
            subprocess.run([*again, "--most-rows", str(arguments.most_rows)], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
