from __future__ import annotations

import signal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from tests.cli.parts import STEPS, images, run, table


@pytest.fixture(autouse=True)
def _same_signal_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Data and one fitted model of each kind."""
    folder = tmp_path_factory.mktemp("cli")
    generator = np.random.default_rng(0)
    train, test = table(100, generator).drop(columns="bad"), table(40, generator, shifted=10)
    train.to_csv(folder / "train.csv", index=False)
    pa.parquet.write_table(pa.csv.read_csv(folder / "train.csv"), folder / "train.parquet")
    test.to_csv(folder / "test.csv", index=False)
    test.to_parquet(folder / "test.parquet", index=False)
    normal, anomalies = generator.normal(size=(130, 4)), generator.normal(9.0, 1.0, (10, 4))
    np.savez(folder / "train.npz", X=normal[:100], other=normal[:100, :2])
    np.savez(folder / "test.npz", X=np.concatenate([normal[100:], anomalies]), y=np.repeat([0.0, 1.0], [30, 10]))
    images(folder / "train", 60, generator, square=False)
    images(folder / "test" / "good", 12, generator, square=False)
    images(folder / "test" / "defect", 6, generator, square=True)
    before = signal.getsignal(signal.SIGTERM)
    columns = ["--id", "name", "--ignore", "when", "--groups", "customer"]
    assert run("fit", folder / "train.csv", "-m", "table", "-o", folder / "table.unalike", *columns, *STEPS) == 0
    assert run("fit", folder / "train.npz", "-m", "table", "-o", folder / "npz.unalike", "--key", "X", *STEPS) == 0
    assert run("fit", folder / "train", "-m", "image", "-o", folder / "image.unalike", "--seed", 5, *STEPS) == 0
    signal.signal(signal.SIGTERM, before)
    return folder
