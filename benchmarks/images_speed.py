"""``python -m benchmarks.images_speed``: how many images a second are judged, and how many views are drawn.

Both sides run in turn in one process, on the same cores, round after round; the best round counts, of wall-clock and
of processor time (with several threads the second is the sum over them). The table is printed and nothing is kept, for
figures depend on the machine.

*Inference*, at 224 pixels with the same pretrained network and a neighbour search: ours on files, against anomalib's
``TorchInferencer`` with PatchCore on the same files, one at a time as it is made for, and in batches of 16. Reading and
resizing are in the times of all.

*Views*: our batched per-sample views against torchvision's v2 transforms, called once for each image on uint8 tensors
and on PIL images: crop, flip, colours and grey on colour images of 32 and of 224 pixels, on both sides without hue
and blur, and with them as in our default (hue; from 64 pixels blur).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, images_anomalib, images_data, images_network, images_ours, images_tools
from benchmarks.summary import as_text

Contender = Callable[[], Any]
_BATCH = 16
_SIDES = (32, 224)
_BLUR_FROM = 64


def race(contenders: dict[str, Contender], items: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Items a second of each, by the clock and by the processor, the best of `rounds`; one more round warms up."""
    best = dict.fromkeys(contenders, (0.0, 0.0))
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            wall, processor = time.perf_counter(), time.process_time()
            contender()
            rates = (items / (time.perf_counter() - wall), items / (time.process_time() - processor))
            if number:
                best[name] = (max(best[name][0], rates[0]), max(best[name][1], rates[1]))
    return best


def inferring(train: Sequence[Path], test: Sequence[Path], folder: Path) -> dict[str, Contender]:
    """The contenders on the same files, fitted on the same files."""
    from unalike import Detector

    default = Detector(images_ours.modality(weights=True)).fit(list(train))
    patches = images_ours.ImageDefault(0, patches=True).detector.fit(list(train))
    inferencer = _inferencer(train, folder)
    return {
        "anomalib, one at a time": lambda: [inferencer.predict(file) for file in test],
        "anomalib, batches of 16": lambda: [
            inferencer.predict(_batch(test[at : at + _BATCH])) for at in range(0, len(test), _BATCH)
        ],
        "unalike": lambda: default.anomaly_scores(list(test)),
        "unalike, one at a time": lambda: [default.anomaly_scores([file]) for file in test],
        "unalike, patch bank alone": lambda: patches.anomaly_scores(list(test)),
    }


def viewing(side: int, images: int) -> dict[str, Contender]:
    """The contenders on ``(images, 3, side, side)`` noise."""
    import torch
    from torchvision.transforms.v2.functional import to_pil_image

    from unalike.seeding import RowGenerator
    from unalike.views.compose import Compose
    from unalike.views.image import Affine, ColorJitter, Grayscale, standard_image_view

    bytes_ = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8)
    data, pictures = bytes_ / 255, [to_pil_image(image) for image in bytes_]
    plain, whole = _transform(side, hue=0.0, blur=False), _transform(side, hue=0.1, blur=side >= _BLUR_FROM)
    ours = Compose(
        (
            Affine(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), horizontal_flip=0.5),
            ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0, p=0.8),
            Grayscale(p=0.2),
        )
    )
    default, generator = standard_image_view((3, side, side)), RowGenerator(0, torch.arange(images))
    return {
        "torchvision, tensors": lambda: torch.stack([plain(image) for image in bytes_]),
        "torchvision, PIL": lambda: torch.stack([plain(image) for image in pictures]),
        "unalike": lambda: ours(data, generator),
        "torchvision, tensors, with hue and blur": lambda: torch.stack([whole(image) for image in bytes_]),
        "torchvision, PIL, with hue and blur": lambda: torch.stack([whole(image) for image in pictures]),
        "unalike, with hue and blur": lambda: default(data, generator),
    }


def table(rates: dict[str, tuple[float, float]], against: str) -> list[list[str]]:
    """One line per contender: images a second, and how many times that of `against`."""
    lines = [["", "images/s", "times", "per processor second", "times"]]
    for name, (wall, processor) in rates.items():
        base = rates[against]
        lines.append([name, f"{wall:.1f}", f"{wall / base[0]:.2f}", f"{processor:.1f}", f"{processor / base[1]:.2f}"])
    return lines


def _transform(side: int, *, hue: float, blur: bool) -> Any:
    """Torchvision's, for one image, with the settings of our default view."""
    import torch
    from torchvision.transforms import v2

    crop: Any = v2.RandomResizedCrop(side, scale=(0.2, 1.0), antialias=True)
    colours: Any = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, hue)], p=0.8)
    members = [crop, v2.RandomHorizontalFlip(), colours, v2.RandomGrayscale(0.2)]
    members += [v2.RandomApply([v2.GaussianBlur(9, (0.1, 2.0))], p=0.5)] if blur else []
    return v2.Compose([*members, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


def _inferencer(train: Sequence[Path], folder: Path) -> Any:
    """PatchCore, fitted, exported and loaded as anomalib does it."""
    from torchvision.transforms import v2

    side = (images_network.LARGE, images_network.LARGE)
    resize: Any = v2.Resize(side, antialias=True)
    normalise: Any = v2.Normalize(mean=[127 / 255] * 3, std=[128 / 255] * 3)
    before = images_tools.library("pre_processing").PreProcessor(transform=v2.Compose([resize, normalise]))
    model = images_tools.library("models.image.patchcore").Patchcore(
        backbone=images_network.NETWORK,
        layers=images_anomalib.SHALLOW[1:],
        pre_trained=False,
        pre_processor=before,
        evaluator=False,
        visualizer=False,
    )
    images_anomalib.with_weights(model.model)
    images_anomalib.Anomalib(model.model, "subsample_embedding", (images_anomalib.SHARE,)).fit(
        images_data.Train(images=list(train), groups=np.arange(len(train)))
    )
    os.environ["TRUST_REMOTE_CODE"] = "1"  # it loads with pickle; the file is the one that was just written
    return images_tools.library("deploy").TorchInferencer(model.to_torch(folder), device="cpu")


def _batch(files: Sequence[Path]) -> Any:
    """As the inferencer reads one, brought to one size: its transform takes them as a batch."""
    import torch
    from torchvision.transforms import v2

    read = images_tools.library("data.utils").read_image
    resize: Any = v2.Resize((images_network.LARGE, images_network.LARGE), antialias=True)
    return torch.stack([resize(read(file, as_tensor=True)) for file in files])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images_speed", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with manifest.csv, for inference; without it views alone")
    parser.add_argument("--train", type=int, default=200, help="normal images that both sides learn from")
    parser.add_argument("--images", type=int, default=64, help="images that are judged")
    parser.add_argument("--views", type=int, default=256, help="images that are viewed; an eighth of them at 224 px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    import torch

    harness.use_threads(options.threads)
    torch.set_num_threads(options.threads)
    for side in _SIDES if options.views else ():
        images = max(1, options.views * 32 // max(side, 32) if side > images_network.SMALL_SIDE else options.views)
        rates = race(viewing(side, images), images, options.rounds)
        print(f"views at {side} pixels\n{as_text(table(rates, 'torchvision, tensors'))}\n")
    if options.data is None:
        return 0
    why = images_network.missing() or images_tools.missing()
    if why is not None:
        print(why)
        return 1
    os.environ["TQDM_DISABLE"] = "1"
    places = images_data.names_in(options.data.resolve())
    name, place = next((name, place) for name, place in places.items() if place.is_dir())
    split = images_data.read(place, name, images_data.GROUPED, 0)
    train, test = list(split.train.images)[: options.train], list(split.test)[-options.images :]
    with tempfile.TemporaryDirectory() as folder:
        rates = race(inferring(train, test, Path(folder)), len(test), options.rounds)
    print(f"inference at {images_network.LARGE} pixels\n{as_text(table(rates, 'anomalib, one at a time'))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
