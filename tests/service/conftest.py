"""A small model of each kind of data, saved, and samples with an anomaly among them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient
from tests.service.parts import KINDS

from unalike import Detector, save, thresholds
from unalike.service import Settings, application


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models `<kind>.unalike` and files of samples."""
    folder = tmp_path_factory.mktemp("service")
    generator = np.random.default_rng(0)
    made = {"table": _table, "series": _series, "image": _images, "text": _texts}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind, make in made.items():
            threshold = thresholds.Conformal(false_alarm_rate=0.05)
            detector = Detector(kind, threshold=threshold, training={"steps": 2}).fit(make(folder, generator))
            save(detector, folder / f"{kind}.unalike")
    return folder


def _table(folder: Path, generator: np.random.Generator) -> pd.DataFrame:
    frame = pd.DataFrame(generator.normal(size=(140, 3)), columns=["a", "b", "c"])
    frame["colour"] = generator.choice(["red", "green"], len(frame))
    odd = frame.iloc[:12].copy()
    odd.loc[7, "a"] = 30.0
    odd.to_csv(folder / "rows.csv", index=False)
    odd.to_parquet(folder / "rows.parquet", index=False)
    odd.to_json(folder / "rows.jsonl", orient="records", lines=True)
    return frame.iloc[12:]


def _series(folder: Path, generator: np.random.Generator) -> np.ndarray:
    record = np.sin(np.arange(500) / 8)[:, None] + generator.normal(0.0, 0.1, (500, 2))
    odd = record[:90].copy()
    odd[50:56] += 4.0
    pd.DataFrame(odd, columns=["x0", "x1"]).to_csv(folder / "record.csv", index=False)
    return record


def _images(folder: Path, generator: np.random.Generator) -> np.ndarray:
    pixels = generator.integers(90, 110, (125, 16, 16)).astype(np.uint8)
    for number in range(5):
        one = pixels[number].copy()
        if number == 3:
            one[4:10, 4:10] = 250
        Pillow.fromarray(one).save(folder / f"photo {number}.png")
    return pixels[5:]


def _texts(folder: Path, generator: np.random.Generator) -> list[str]:
    words = [
        "printer",
        "paper",
        "floor",
        "screen",
        "login",
        "please",
        "send",
        "new",
        "today",
        "broken",
        "dark",
        "empty",
    ]
    texts = [" ".join(generator.permutation(words)[:8]) for _ in range(130)]
    (folder / "lines.txt").write_text("\n".join([*texts[:6], "WIN $$$ qq zzz 0xff !!!"]), encoding="utf-8")
    return texts[6:]


@pytest.fixture(scope="session")
def client(place: Path) -> Iterator[TestClient]:
    """All four models, in this process and without a port."""
    models = {kind: place / f"{kind}.unalike" for kind in KINDS}
    app = application(models, settings=Settings(watch=0.0))
    with TestClient(app, base_url="http://localhost") as opened:
        yield opened
