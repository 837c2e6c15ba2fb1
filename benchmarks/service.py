"""The service under load: ``python -m benchmarks.service load join memory --out benchmarks/results/service.csv``.

`unalike serve` runs as a process of its own on loopback; the clients are this process. Every request carries a row (or
an image) of its own, and every answer is compared with the score that the same model gives in Python.

* ``load``: 100 clients at once on a table, 60 seconds.
* ``join``: images of 224 pixels, EfficientNet-Lite0 (the default with weights): requests joined, and one by one, in
  turn.
* ``memory``: 50,000 requests on a small table; resident memory of the process along the way.

The figures depend on the machine, and the clients take their share of it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.images_network import timm_file
from benchmarks.results import append_line
from unalike import Detector, load, save, thresholds
from unalike.modalities.image import Image
from unalike.modalities.table import Table

_SAMPLES = 2_000
_IMAGES = 50
_SIDE = 224
_COLUMNS = 8
_EVERY = 5_000
_RELATIVE = 1e-5


@dataclass(frozen=True)
class Asked:
    """What a client may send: a request's body, the id that the answer must bear, and the score."""

    content: bytes
    kind: str
    id: str | None
    score: float


@dataclass
class Found:
    """What the clients saw."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    lost: int = 0
    waits: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """For the file; times in milliseconds."""
        p50, p99 = np.quantile(self.waits, (0.5, 0.99)) * 1000.0 if self.waits else (np.nan, np.nan)
        others = sum(n for status, n in self.statuses.items() if status not in (200, 429))
        return {
            "seconds": self.seconds,
            "answers": self.statuses[200],
            "sent back (429)": self.statuses[429],
            "errors": others,
            "lost": self.lost,
            "wrong": self.wrong,
            "per second": self.statuses[200] / self.seconds,
            "p50 ms": float(p50),
            "p99 ms": float(p99),
        }


@contextmanager
def served(model: Path, *options: object) -> Iterator[tuple[str, int]]:
    """Address and process number of `unalike serve`."""
    command = [sys.executable, "-c", "from unalike.cli import main; main()", "serve", str(model), "--port", "0"]
    process = subprocess.Popen([*command, *map(str, options)], stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdout is not None
    found = re.search(r"http://\S+?(?=;)", process.stdout.readline())
    assert found is not None, "the service did not start"
    try:
        yield found[0], process.pid
    finally:
        process.terminate()
        process.wait(60)


def table_model(folder: Path) -> tuple[Path, list[Asked]]:
    """A small table model, and rows that are named."""
    generator = np.random.default_rng(0)
    names = [f"c{number}" for number in range(_COLUMNS)]
    rows = generator.normal(size=(_SAMPLES, _COLUMNS)) * np.where(np.arange(_SAMPLES) % 20 == 0, 4.0, 1.0)[:, None]
    samples = [dict(zip(names, row, strict=True), name=f"row {at}") for at, row in enumerate(rows.tolist())]
    normal = [
        dict(zip(names, row, strict=True), name=str(at))
        for at, row in enumerate(generator.normal(size=(600, _COLUMNS)).tolist())
    ]
    modality: Any = Table(id="name")
    detector = Detector(modality, threshold=thresholds.Conformal(false_alarm_rate=0.05), training={"steps": 100})
    path = folder / "table.unalike"
    save(detector.fit(normal), path)
    scores = load(path).anomaly_scores(samples).tolist()
    bodies = [json.dumps([sample]).encode() for sample in samples]
    return path, [
        Asked(body, "application/json", f"row {at}", score)
        for at, (body, score) in enumerate(zip(bodies, scores, strict=True))
    ]


def image_model(folder: Path) -> tuple[Path, list[Asked]]:
    """The default for images of 224 pixels with weights, and crops of scikit-learn's two photographs as JPEG."""
    from PIL import Image as Pillow
    from sklearn.datasets import load_sample_images

    photos, generator = load_sample_images().images, np.random.default_rng(0)
    files, contents = [], []
    for number in range(2 * _IMAGES):
        photo = photos[number % 2]
        top, left = (int(generator.integers(side - _SIDE)) for side in photo.shape[:2])
        held = io.BytesIO()
        Pillow.fromarray(photo[top : top + _SIDE, left : left + _SIDE]).save(held, "JPEG", quality=90)
        contents.append(held.getvalue())
        files.append(folder / f"{number}.jpg")
        files[-1].write_bytes(contents[-1])
    modality: Any = Image(size=(_SIDE, _SIDE), weights=str(timm_file()))
    detector = Detector(modality, threshold=thresholds.Conformal(false_alarm_rate=0.1))
    path = folder / "image.unalike"
    save(detector.fit(files[:_IMAGES]), path)
    scores = load(path).anomaly_scores(files[_IMAGES:]).tolist()
    return path, [Asked(c, "image/jpeg", None, s) for c, s in zip(contents[_IMAGES:], scores, strict=True)]


@asynccontextmanager
async def _client(url: str, clients: int) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120.0) as opened:
        yield opened


async def ask(url: str, asked: Sequence[Asked], clients: int, goes_on: Callable[[Found], bool]) -> Found:
    """Each client sends one request after the other, all of them different ones, as long as `goes_on`."""
    found = Found()
    begun = time.perf_counter()
    turns = iter(np.random.default_rng(1).permutation(np.tile(np.arange(len(asked)), 100)).tolist())

    async def work(client: httpx.AsyncClient) -> None:
        while goes_on(found) and (at := next(turns, None)) is not None:
            await _one(client, asked[at], found)

    async with _client(url, clients) as client:
        await asyncio.gather(*(work(client) for _ in range(clients)))
    found.seconds = time.perf_counter() - begun
    return found


async def _one(client: httpx.AsyncClient, asked: Asked, found: Found) -> None:
    begun = time.perf_counter()
    try:
        answer = await client.post("/detect", content=asked.content, headers={"content-type": asked.kind})
    except httpx.HTTPError:
        found.lost += 1
        return
    found.waits.append(time.perf_counter() - begun)
    found.statuses[answer.status_code] += 1
    if answer.status_code == 200:
        rows = answer.json()["decisions"]
        same = len(rows) == 1 and abs(rows[0]["score"] - asked.score) <= _RELATIVE * abs(asked.score)
        found.wrong += not (same and asked.id in (None, rows[0]["id"]))


def processor_seconds(process: int) -> float:
    """Of a process so far: beside other programs it tells more than the clock."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """Megabytes of memory of a process."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024.0


def run_load(folder: Path, seconds: float) -> list[tuple[str, dict[str, float]]]:
    """100 clients at once."""
    model, asked = table_model(folder)
    with served(model) as (url, process):
        asyncio.run(ask(url, asked, 10, lambda found: found.statuses[200] < 100))
        figures = _measured(url, process, "table", asked, 100, seconds)
    return [("load: 100 clients", figures)]


def _measured(
    url: str, process: int, model: str, asked: Sequence[Asked], clients: int, seconds: float
) -> dict[str, float]:
    before, jobs = processor_seconds(process), httpx.get(f"{url}/models/{model}").json()
    until = time.perf_counter() + seconds
    found = asyncio.run(ask(url, asked, clients, lambda _: time.perf_counter() < until))
    used, after = processor_seconds(process) - before, httpx.get(f"{url}/models/{model}").json()
    return {
        **found.figures(),
        "processor ms per answer": 1000.0 * used / max(found.statuses[200], 1),
        "requests per batch": (after["requests"] - jobs["requests"]) / max(after["batches"] - jobs["batches"], 1),
    }


def run_join(folder: Path, seconds: float) -> list[tuple[str, dict[str, float]]]:
    """Joined and one by one, twice each, in turn."""
    model, asked = image_model(folder)
    made: list[tuple[str, dict[str, float]]] = []
    for rows in (256, 1, 256, 1):
        with served(model, "--batch-rows", rows) as (url, process):
            asyncio.run(ask(url, asked, 4, lambda found: found.statuses[200] < 8))
            figures = _measured(url, process, "image", asked, 32, seconds)
        name = "join: 224 px images, joined" if rows > 1 else "join: 224 px images, one by one"
        made.append((name, figures))
        print(f"  {name}: {figures['per second']:.3g} a second", flush=True)
    return made


def run_memory(folder: Path, requests: int) -> list[tuple[str, dict[str, float]]]:
    """Memory before, along the way and after."""
    model, asked = table_model(folder)
    made = []
    with served(model) as (url, process):
        asyncio.run(ask(url, asked, 10, lambda found: found.statuses[200] < 500))
        begin, done = resident(process), 0
        while done < requests:
            found = asyncio.run(ask(url, asked, 20, lambda found: found.statuses[200] < _EVERY))
            done += found.statuses[200]
            grown = resident(process) - begin
            made.append((f"memory: after {done}", {**found.figures(), "MB": begin + grown, "MB grown": grown}))
            print(f"  {done} requests: {begin + grown:.1f} MB, {grown:+.1f}", flush=True)
    return made


_FIGURES = ("seconds", "answers", "sent back (429)", "errors", "lost", "wrong", "per second", "p50 ms", "p99 ms",
            "processor ms per answer", "requests per batch", "MB", "MB grown")  # fmt: skip


def append(path: Path, name: str, machine: str, figures: dict[str, float]) -> None:
    """A line of the results file."""
    row = {
        "name": name,
        "machine": machine,
        **{key: f"{figures[key]:.5g}" if key in figures else "" for key in _FIGURES},
    }
    append_line(path, row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="+", choices=("load", "join", "memory"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--out", type=Path, help="CSV file that lines are appended to")
    chosen = parser.parse_args()
    machine = f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} at the start"
    for part in chosen.parts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made = (
                run_memory(folder, chosen.requests)
                if part == "memory"
                else (run_load if part == "load" else run_join)(folder, chosen.seconds)
            )
        for line, figures in made:
            print(f"{line}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)
            if chosen.out is not None:
                append(chosen.out, line, machine, figures)


if __name__ == "__main__":
    main()
