"""``python -m benchmarks.image_views``: our batched views of images beside torchvision, called sample by sample.

The view is SimCLR's: random resized crop, flip, colour jitter, grey. Ours draws for each sample and computes on the
whole batch; torchvision's v2 transforms draw once per call, so that they must be called once per sample, on a tensor
of floats, a tensor of bytes or a PIL image. What goes in is in memory, what comes out is one float batch. One thread;
all methods take turns in one process, and the least CPU time of a method's rounds counts, so that other work on the
machine does not.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.summary import as_markdown, as_text
from unalike.seeding import RowGenerator
from unalike.views.compose import Compose
from unalike.views.image import Affine, ColorJitter, Grayscale, standard_image_view
from unalike.writing import whole_file

COLUMNS = ("size", "images", "view", "method", "ms_per_image", "times_ours", "rounds")
BATCHES = {32: 256, 64: 128, 128: 64, 224: 32}
"""Images by size: about as many numbers each."""
OURS = "unalike"
_CROP, _RATIO, _STRENGTH = (0.2, 1.0), (3 / 4, 4 / 3), (0.4, 0.4, 0.4, 0.1)

Once = Callable[[int], Tensor]


def ours(data: Tensor, blur: bool) -> Once:
    """The batch under our view, by the number of the round."""
    brightness, contrast, saturation, hue = _STRENGTH
    jitter = ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue, p=0.8)
    affine = Affine(scale=_CROP, ratio=_RATIO, horizontal_flip=0.5)
    view = standard_image_view(tuple(data.shape[1:])) if blur else Compose((affine, jitter, Grayscale(p=0.2)))
    index = torch.arange(len(data))
    return lambda number: view(data, RowGenerator(number, index))


def theirs(data: Tensor, blur: bool) -> dict[str, Once]:
    """The same by torchvision, one sample after the other."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional

    size = data.shape[-1]
    steps = [
        v2.RandomResizedCrop(size, scale=_CROP, ratio=_RATIO, antialias=True),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomApply([v2.ColorJitter(*_STRENGTH)], p=0.8),
        v2.RandomGrayscale(0.2),
    ]
    if blur:
        # 13 pixels, as ours: six of the largest standard deviations.
        steps.append(v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5))
    view = v2.Compose(steps)
    to_float = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    whole = (data * 255).to(torch.uint8)
    pictures = [functional.to_pil_image(image) for image in whole]
    return {
        "torchvision-float": lambda number: torch.stack([view(image) for image in data]),
        "torchvision-uint8": lambda number: torch.stack([to_float(view(image)) for image in whole]),
        "torchvision-pil": lambda number: torch.stack([to_float(view(image)) for image in pictures]),
    }


def measure(size: int, images: int, blur: bool, rounds: int) -> dict[str, float]:
    """Milliseconds of CPU per image, by method."""
    data = torch.rand(images, 3, size, size, generator=torch.Generator().manual_seed(0))
    methods = {OURS: ours(data, blur), **theirs(data, blur)}
    least = dict.fromkeys(methods, float("inf"))
    for number in range(rounds + 1):
        for method, once in methods.items():
            began = time.process_time()
            made = once(number)
            seconds = time.process_time() - began
            assert made.shape == data.shape
            if number:  # the first round warms up
                least[method] = min(least[method], seconds)
    return {method: 1000.0 * seconds / images for method, seconds in least.items()}


def rows(sizes: Sequence[int], rounds: int) -> list[list[str]]:
    """The lines of the results file; with blur only where our default view has it."""
    lines = []
    for size in sizes:
        for view in ("crop-colour", "crop-colour-blur"):
            if view.endswith("blur") and size < 64:
                continue
            images = BATCHES.get(size, 32)
            found = measure(size, images, view.endswith("blur"), rounds)
            for method, spent in found.items():
                cells = [size, images, view, method, f"{spent:.4f}", f"{spent / found[OURS]:.2f}", rounds]
                lines.append([str(cell) for cell in cells])
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_views", description=__doc__)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[*BATCHES])
    parser.add_argument("--rounds", type=int, default=5, help="of which the best counts; default 5")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/image_views.csv"))
    parser.add_argument("--show", action="store_true", help="only print the file, in Markdown")
    options = parser.parse_args(arguments)
    if options.show:
        print(as_markdown(list(csv.reader(options.out.read_text().splitlines()))))
        return 0
    torch.set_num_threads(1)
    lines = [list(COLUMNS), *rows(options.sizes, options.rounds)]
    with whole_file(options.out) as path, path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    print(as_text(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
