"""``python -m benchmarks.speed train``: SimCLR steps of ours, of lightly's recipe and of the bare network.

ResNet-18 (torchvision's layout, random weights), 256 images of 32 x 32 pixels in colour a step, two views of each, one
thread. Pixels are random: time does not depend on them.

| part | contender | what is timed |
|---|---|---|
| views | both | SimCLR's views of a batch: crop, flip, colour jitter, grey, no blur; as lightly draws them by default |
| step | both | forward, loss, backward and optimiser on views that are there already: the *bare* step of each |
| end to end | unalike | `unalike.training.train`, whole; it also watches the embedding of 256 rows |
| loop | unalike | of the same run what lies between its first step and its last |
| end to end | lightly | the loop of its documentation (`examples/pytorch/simclr.py`), views in the same process |
| end to end | lightly, workers | the same with views in two worker processes; processor time counts theirs |

Both take SGD and the same number of steps. All take turns in one process; the best round counts, of wall-clock and of
processor time. On a machine that does other things compare the second.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import harness
from benchmarks.summary import as_markdown, as_text
from unalike.seeding import RowGenerator, isolated
from unalike.types import Batch, Schema, Training, View
from unalike.writing import whole_file

COLUMNS = ("part", "contender", "views", "threads", "views_s", "times", "views_cpu_s", "times_cpu")
OURS, LIGHTLY, WORKERS = "unalike", "lightly", "lightly, workers"
SIDE, BATCH, RATE, TEMPERATURE = 32, 256, 0.06, 0.5
Once = Callable[[], object]
Rates = dict[tuple[str, str], tuple[float, float]]


def view() -> View:
    """SimCLR's view with lightly's defaults without blur, as it says for small images."""
    from unalike.views import Affine, ColorJitter, Compose, Grayscale

    crop = Affine(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), horizontal_flip=0.5)
    jitter = ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8)
    return Compose((crop, jitter, Grayscale(p=0.2)))


def network() -> nn.Module:
    """ResNet-18 under SimCLR's head, as a user gets it from the library."""
    from unalike.encoders import Timm
    from unalike.objectives import SimCLR

    with isolated(0):
        encoder = Timm(name="resnet18").build(Schema((3, SIDE, SIDE)))
        return SimCLR(temperature=TEMPERATURE).build(encoder)


def ours(images: np.ndarray[Any, Any], steps: int) -> dict[tuple[str, str], Once]:
    """Parts of ours."""
    from unalike.training import TrainingRows, train

    data = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() / 255.0
    made, index = view(), torch.arange(BATCH)
    settings = Training(steps=steps, epochs=None, batch_size=BATCH, optimizer="sgd", learning_rate=RATE)

    def views() -> Tensor:
        generator = RowGenerator(0, index)
        return torch.cat((made(data[:BATCH], generator), made(data[:BATCH], generator)))

    objective: Any = network()
    optimiser = torch.optim.SGD(objective.parameters(), lr=RATE, momentum=0.9)
    batch, pairs = Batch(data[:BATCH], index), views()

    def step() -> None:
        for _ in range(steps):
            objective.loss(objective.head(objective.encoder(pairs)), batch).backward()
            optimiser.step()
            optimiser.zero_grad()

    stamps: list[tuple[float, float]] = []

    def fit() -> None:
        rows = TrainingRows(len(data), lambda positions: data[torch.from_numpy(positions)])
        fresh: Any = network()
        stamps.clear()
        fresh.after_step = lambda: stamps.append((time.perf_counter(), _processor()))
        with isolated(0):
            train(fresh, rows, made, settings, seed=0, device=torch.device("cpu"))

    def loop() -> tuple[float, float]:
        wall, processor = (last - first for first, last in zip(stamps[0], stamps[-1], strict=True))
        views = 2 * BATCH * (len(stamps) - 1)
        return views / wall, views / processor

    return {("views", OURS): views, ("step", OURS): step, ("end to end", OURS): fit, ("loop", OURS): loop}


def lightlys(images: np.ndarray[Any, Any], steps: int) -> dict[tuple[str, str], Once]:
    """Parts of lightly's recipe."""
    import torchvision
    from lightly import transforms
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from PIL import Image

    library: Any = transforms
    transform = library.SimCLRTransform(input_size=SIDE, gaussian_blur=0.0)
    pictures = [Image.fromarray(image) for image in images]
    backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
    both = nn.Sequential(backbone, nn.Flatten(), SimCLRProjectionHead(512, 512, 128))
    criterion, optimiser = NTXentLoss(), torch.optim.SGD(both.parameters(), lr=RATE)

    class Pictures(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, row: int) -> Any:
            return transform(pictures[row])

    def views() -> list[Tensor]:
        pairs = [transform(picture) for picture in pictures[:BATCH]]
        return [torch.stack([pair[at] for pair in pairs]) for at in (0, 1)]

    def step_on(first: Tensor, second: Tensor) -> None:
        criterion(both(first), both(second)).backward()
        optimiser.step()
        optimiser.zero_grad()

    fixed = views()

    def step() -> None:
        for _ in range(steps):
            step_on(*fixed)

    def fit(workers: int) -> None:
        loader = torch.utils.data.DataLoader(
            Pictures(), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers
        )
        done = 0
        while done < steps:
            for first, second in loader:
                step_on(first, second)
                done += 1

    return {
        ("views", LIGHTLY): views,
        ("step", LIGHTLY): step,
        ("end to end", LIGHTLY): lambda: fit(0),
        ("end to end", WORKERS): lambda: fit(2),
    }


def race(contenders: dict[tuple[str, str], Once], steps: int, rounds: int) -> Rates:
    """Views a second by the clock and by the processor, of the best round."""
    best = dict.fromkeys(contenders, (0.0, 0.0))
    for _ in range(rounds):
        for key, contender in contenders.items():
            views = 2 * BATCH * (1 if key[0] == "views" else steps)
            wall, processor = time.perf_counter(), _processor()
            own = contender()
            rates = views / (time.perf_counter() - wall), views / (_processor() - processor)
            if key[0] == "loop":
                rates = own  # type: ignore[assignment]
            best[key] = (max(best[key][0], rates[0]), max(best[key][1], rates[1]))
            print(*key, *(f"{rate:.1f}" for rate in rates), flush=True)
    return best


def _processor() -> float:
    """Seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def table(rates: Rates, steps: int, threads: int) -> list[list[str]]:
    """The lines of the results file; `times` is against lightly in the same part; of the loop, end to end."""
    lines = [list(COLUMNS)]
    for (part, contender), (wall, processor) in rates.items():
        views = 2 * BATCH * (1 if part == "views" else steps)
        reference = rates["end to end" if part == "loop" else part, LIGHTLY]
        numbers = (wall, wall / reference[0], processor, processor / reference[1])
        cells = [f"{numbers[0]:.1f}", f"{numbers[1]:.2f}", f"{numbers[2]:.1f}", f"{numbers[3]:.2f}"]
        lines.append([part, contender, str(views), str(threads), *cells])
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed train", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed_train.csv"))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="only print the file, in Markdown")
    options = parser.parse_args(arguments)
    if options.show:
        print(as_markdown(list(csv.reader(options.out.read_text().splitlines()))))
        return
    harness.use_threads(options.threads)
    images = np.random.default_rng(0).integers(0, 256, (options.steps * BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    contenders = {**ours(images, options.steps), **lightlys(images, options.steps)}
    lines = table(race(contenders, options.steps, options.rounds), options.steps, options.threads)
    with whole_file(options.out) as path, path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    print(as_text(lines))


if __name__ == "__main__":
    main()
