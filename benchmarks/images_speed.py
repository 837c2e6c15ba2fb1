"""``python -m benchmarks.images_speed``: how many images a second are judged, and whether an exported file agrees.

At 224 pixels, with the same pretrained network and a neighbour search: ours on files, against anomalib's
``TorchInferencer`` with PatchCore on the same files, one at a time as it is made for, and in batches of 16. Reading and
resizing are in the times of all. All run in turn in one process, on the same cores, round after round; the best round
counts, of wall-clock and of processor time (with several threads the second is the sum over them). Then the detector is
exported to ONNX and judges the same pictures, and the largest relative difference of a score is told.

``times`` is against anomalib, one at a time. Figures depend on the machine, and on what else it does: with one thread
processor time is the fairer one where cores are shared. Views are timed by `image_views`.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks import harness, images_anomalib, images_data, images_network, images_ours, images_tools
from benchmarks.summary import as_markdown, as_text
from unalike.writing import whole_file

if TYPE_CHECKING:
    from unalike import Detector

Contender = Callable[[], Any]
Rates = dict[str, tuple[float, float]]
AGAINST = "anomalib, one at a time"
COLUMNS = ("contender", "images", "threads", "images_s", "times", "images_cpu_s", "times_cpu", "difference")
_BATCH = 16


def race(contenders: dict[str, Contender], items: int, rounds: int) -> Rates:
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


def detectors(train: Sequence[Path]) -> dict[str, Detector]:
    """Ours, fitted: the default, and a patch bank alone."""
    patches = images_ours.ImageDefault(0, patches=True).detector
    default = images_ours.ImageDefault(0).detector
    return {name: made.fit(list(train)) for name, made in (("default", default), ("patch bank", patches))}


def inferring(fitted: dict[str, Detector], inferencer: Any, test: Sequence[Path]) -> dict[str, Contender]:
    """The contenders on the same files."""
    files = list(test)
    contenders: dict[str, Contender] = {
        AGAINST: lambda: [inferencer.predict(file) for file in files],
        "anomalib, batches of 16": lambda: [
            inferencer.predict(_batch(files[at : at + _BATCH])) for at in range(0, len(files), _BATCH)
        ],
    }
    for name, detector in fitted.items():
        contenders[f"unalike, {name}"] = partial(detector.anomaly_scores, files)
        contenders[f"unalike, {name}, one at a time"] = partial(_singly, detector, files)
    return contenders


def exported(detector: Detector, test: Sequence[Path], folder: Path, rounds: int) -> tuple[tuple[float, float], float]:
    """Images a second that the exported file judges, and how far its scores are from the detector's: relatively."""
    import onnxruntime
    import torch

    from unalike import export

    known: Any = detector.modality_
    pictures = np.stack([_picture(file, known.size_, known.channels_) for file in test])
    file = export(detector, folder / "model.onnx", examples=pictures[:8])
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    run: Contender = partial(session.run, ["scores"], {"images": pictures})
    own = detector.anomaly_scores(pictures)
    difference = float(np.max(np.abs(run()[0] - own) / np.abs(own).clip(1e-12)))
    return race({"onnx": run}, len(test), rounds)["onnx"], difference


def table(rates: Rates, against: str, differences: dict[str, float], images: int, threads: int) -> list[list[str]]:
    """One line per contender: images a second, how many times that of `against`, and what `exported` found."""
    lines = [list(COLUMNS)]
    for name, (wall, processor) in rates.items():
        base = rates[against]
        cells = [name, str(images), str(threads), f"{wall:.1f}", f"{wall / base[0]:.2f}"]
        cells += [f"{processor:.1f}", f"{processor / base[1]:.2f}"]
        lines.append([*cells, f"{differences[name]:.1e}" if name in differences else ""])
    return lines


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
    images_anomalib.Anomalib(model.model, partial(images_anomalib.kept, model.model, images_anomalib.SHARE)).fit(
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


def _singly(detector: Detector, files: Sequence[Path]) -> None:
    for file in files:
        detector.anomaly_scores([file])


def _picture(file: Path, size: tuple[int, int], channels: int) -> npt.NDArray[np.uint8]:
    """``(height, width, channels)``, brought to the size that the detector was fitted on."""
    from PIL import Image

    with Image.open(file) as opened:
        brought = opened.convert("L" if channels == 1 else "RGB").resize((size[1], size[0]))
    return np.asarray(brought).reshape(*size, channels)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images_speed", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with manifest.csv, or one that holds it")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/images_speed.csv"))
    parser.add_argument("--show", action="store_true", help="only print the file, in Markdown")
    parser.add_argument("--train", type=int, default=200, help="normal images that both sides learn from")
    parser.add_argument("--images", type=int, default=64, help="images that are judged")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.show:
        print(as_markdown(list(csv.reader(options.out.read_text().splitlines()))))
        return 0
    if options.data is None:
        parser.error("--data is needed to run; --show prints the table of a file")
    why = images_network.missing() or images_tools.missing()
    if why is not None:
        print(why)
        return 1
    os.environ["TQDM_DISABLE"] = "1"
    import torch

    harness.use_threads(options.threads)
    torch.set_num_threads(options.threads)
    places = images_data.names_in(options.data.resolve())
    name, place = next((name, place) for name, place in places.items() if place.is_dir())
    split = images_data.read(place, name, images_data.GROUPED, 0)
    train, test = list(split.train.images)[: options.train], list(split.test)[-options.images :]
    fitted = detectors(train)
    with tempfile.TemporaryDirectory() as folder:
        contenders = inferring(fitted, _inferencer(train, Path(folder)), test)
        rates = race(contenders, len(test), options.rounds)
        print(as_text(table(rates, AGAINST, {}, len(test), options.threads)), flush=True)
        differences = {}
        for which, detector in fitted.items():
            name = f"unalike, {which}, ONNX"
            rates[name], differences[name] = exported(detector, test, Path(folder), options.rounds)
    lines = table(rates, AGAINST, differences, len(test), options.threads)
    with whole_file(options.out) as path, path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    print(as_text(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
