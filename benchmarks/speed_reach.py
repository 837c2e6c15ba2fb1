"""``python -m benchmarks.speed reach --data FILE``: seconds until an AUROC is reached on Fashion-MNIST.

The *program* is the widespread example, in plain PyTorch: a small CNN (32, 64, 128 channels, batch normalisation)
trained by InfoNCE (temperature 0.07, Adam, batches of 64) on torchvision's random crops, flips and light drawn image by
image, and scikit-learn's isolation forest on its embeddings. 1,000 images of one class train it.

What is to be reached is told by training images alone, class by class: the AUROC that the program has after its last
epoch on images of the training file that it did not train on (500 of its class, 500 of others), less one point. The
time is that of all training until then and of the forest; judging is not in it. Test images (2,000) say whether it is
reached, after every epoch of the program and after every fit of ours:

- ``same``: the program's network, objective, batch and forest in this library, for 1, 2, 4... epochs;
- ``neighbours``: the default small network as it is drawn, untrained, and the nearest training image in it;
- ``default``: ``Detector("image")``.

Seconds are processor time with one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.results import append_line, read_rows
from benchmarks.summary import as_markdown

CLASSES = (0, 4, 6)
TRAINED, HELD, TESTED = 1_000, 500, 2_000
PROGRAM, SLACK, TEMPERATURE, BATCH = "program", 0.01, 0.07, 64
OURS = ("neighbours", "same", "default")
Course = Iterator[tuple[int, float, Any]]
"""Epochs, seconds until then, and a function from images to scores."""


def data(path: Path, normal: int) -> dict[str, Any]:
    """Images ``(n, 28, 28)`` of 8 bits: train, and two labelled parts."""
    draws = np.random.default_rng(0)
    with np.load(path, allow_pickle=False) as file:
        own, others = (draws.permutation(np.flatnonzero(is_own)) for is_own in _split(file["y_train"] == normal))
        held = np.concatenate([own[TRAINED : TRAINED + HELD], others[:HELD]])
        tested = draws.permutation(len(file["x_test"]))[:TESTED]
        return {
            "train": file["x_train"][own[:TRAINED]],
            "held": (file["x_train"][held], np.repeat([0, 1], HELD)),
            "test": (file["x_test"][tested], (file["y_test"][tested] != normal).astype(np.int64)),
        }


def _split(mask: Any) -> tuple[Any, Any]:
    return mask, ~mask


def program(train: Any, epochs: int) -> Course:
    """The example program after each of its epochs."""
    import torch
    from PIL import Image
    from sklearn.ensemble import IsolationForest
    from torch import nn
    from torch.nn import functional
    from torchvision import transforms

    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(28, scale=(0.6, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.4, 0.4),
            transforms.ToTensor(),
        ]
    )
    pictures = [Image.fromarray(image) for image in train]

    class Pairs(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, row: int) -> Any:
            return augment(pictures[row]), augment(pictures[row])

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 128))
    head = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128))
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
    loader = torch.utils.data.DataLoader(Pairs(), batch_size=BATCH, shuffle=True, drop_last=True)

    def embed(images: Any) -> Any:
        encoder.eval()
        with torch.no_grad():
            rows = torch.from_numpy(images).float()[:, None] / 255
            made = torch.cat([encoder(part) for part in torch.split(rows, 256)]).numpy()
        encoder.train()
        return made

    spent = 0.0
    for epoch in range(1, epochs + 1):
        began = time.process_time()
        for first, second in loader:
            z = functional.normalize(head(encoder(torch.cat((first, second)))), dim=1)
            logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-1e9)
            loss = functional.cross_entropy(logits, torch.arange(len(z)).roll(len(first)))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        spent += time.process_time() - began
        began = time.process_time()
        forest = IsolationForest(random_state=0).fit(embed(train))
        last = time.process_time() - began
        yield epoch, spent + last, lambda images, forest=forest: -forest.score_samples(embed(images))


def ours(method: str, train: Any, epochs: int) -> Course:
    """Whole fits of ours, one after the other, each from the start."""
    for length in (0,) if method != "same" else [2**power for power in range(10) if 2**power <= epochs]:
        began = time.process_time()
        fitted = detector(method, length).fit(train)
        yield length, time.process_time() - began, fitted.anomaly_scores


def detector(method: str, epochs: int) -> Any:
    """Settings of ours."""
    from unalike import Branch, Detector, Training, encoders, objectives, scorers, views

    if method == "default":
        return Detector("image")
    if method == "neighbours":
        network = encoders.ConvNet(channels=(16, 32, 64), grid=2)
        return Detector("image", branches=[Branch(name="near", encoder=network, scorer=scorers.KNN(k=1))])
    crop = views.Affine(scale=(0.6, 1.0), ratio=(3 / 4, 4 / 3), horizontal_flip=0.5)
    return Detector(
        "image",
        encoder=encoders.ConvNet(channels=(32, 64, 128), width=128, grid=1),
        objective=objectives.SimCLR(temperature=TEMPERATURE),
        scorer=scorers.IsolationForest(),
        views=views.Compose((crop, views.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0))),
        training=Training(epochs=epochs, batch_size=BATCH, learning_rate=1e-3),
    )


def measure(path: Path, out: Path, classes: Sequence[int], epochs: int) -> None:
    """Append a line for each point of each course that the file lacks."""
    known = {(row["class"], row["contender"]) for row in read_rows(out)} if out.exists() else set()
    for normal in classes:
        parts = data(path, normal)
        for name in (PROGRAM, *OURS):
            if (str(normal), name) in known:
                continue
            course = program(parts["train"], epochs) if name == PROGRAM else ours(name, parts["train"], epochs)
            for epoch, seconds, score in course:
                found = {f"auroc_{part}": f"{_auroc(score, *parts[part]):.4f}" for part in ("held", "test")}
                line = {"class": normal, "contender": name, "epochs": epoch, "cpu_seconds": f"{seconds:.2f}", **found}
                append_line(out, line)
                print(line, flush=True)


def _auroc(score: Any, images: Any, labels: Any) -> float:
    return harness.metrics(labels, np.asarray(score(images), dtype=np.float64))["auroc"]


def table(rows: Sequence[dict[str, str]]) -> list[list[str]]:
    """What was to be reached, and when each did."""
    lines = [["class", "to reach", *(f"{name}, s" for name in (PROGRAM, *OURS)), *(f"{name}, AUROC" for name in OURS)]]
    for normal in dict.fromkeys(row["class"] for row in rows):
        mine = [row for row in rows if row["class"] == normal]
        target = float([row for row in mine if row["contender"] == PROGRAM][-1]["auroc_held"]) - SLACK
        times, ends = [], []
        for name in (PROGRAM, *OURS):
            course = [row for row in mine if row["contender"] == name]
            reached = [row["cpu_seconds"] for row in course if float(row["auroc_test"]) >= target]
            times.append(reached[0] if reached else f"not in {course[-1]['cpu_seconds']}" if course else "")
            ends.append(f"{max(float(row['auroc_test']) for row in course):.4f}" if course else "")
        lines.append([normal, f"{target:.4f}", *times, *ends[1:]])
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed reach", description=__doc__)
    parser.add_argument("--data", type=Path, help="fashion_mnist.npz")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed_reach.csv"))
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--epochs", type=int, default=50, help="of the program")
    parser.add_argument("--show", action="store_true", help="only print the table of the file, in Markdown")
    options = parser.parse_args(arguments)
    if not options.show:
        if options.data is None:
            parser.error("--data must name the file of pictures")
        harness.use_threads(1)
        measure(options.data, options.out, options.classes, options.epochs)
    print(as_markdown(table(read_rows(options.out))))


if __name__ == "__main__":
    main()
