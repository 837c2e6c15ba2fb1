"""``python -m benchmarks.images_explain``: is the hottest place of a heat map where the defect was planted?

The default detector trains on normal images, with the pretrained network (``pretrained``) or without (``scratch``).
Into held-out normal images an ellipse is drawn at a random place, whose pixels are moved by a share (the strength) of
the way to black or white, to whichever is farther from their mean. The pointing game (Zhang et al., "Top-down neural
attention by excitation backprop", IJCV 2018), here without any tolerance: the share of images whose hottest pixel lies
in the ellipse. Beside it stand naming the pixel that is farthest from the mean training image, in standard deviations
of that pixel, and chance, the share of the image that the ellipse covers. Images are grey; those of different sizes are
brought to one for the second figure alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from benchmarks import harness, images_data, images_network, plantings
from benchmarks.results import Values

if TYPE_CHECKING:
    from unalike.types import BoolArray, FloatArray

METHODS = ("pretrained", "scratch")
STRENGTHS = (0.15, 0.3, 0.6)
SETS = ("fashion_mnist/0", "fashion_mnist/5", "fashion_mnist/9", "magnetic_tile")
EXTRA = ("reached", "hit", "z_hit", "chance", "explain_ms", "detect_ms")
_AXES = (0.06, 0.14)
"""Half axes of the ellipse, as shares of the sides of the image."""
_SEED = 0
_PRELOAD = ("unalike.detector", "unalike.modalities.image", "timm", "lightning_fabric")

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Planted:
    """An image with a defect.

    Parameters
    ----------
    image : ndarray
        ``(height, width)`` uint8.
    mask : ndarray
        ``(height, width)``: where it is.
    """

    image: Grey
    mask: BoolArray


def ellipse(height: int, width: int, generator: np.random.Generator) -> BoolArray:
    """``(height, width)``: an ellipse that lies within the image, turned anyhow."""
    across, down = generator.uniform(*_AXES, size=2) * (width, height)
    angle = generator.uniform(0.0, math.pi)
    reach = max(across, down)
    x = generator.uniform(reach, max(width - 1 - reach, reach))
    y = generator.uniform(reach, max(height - 1 - reach, reach))
    rows, columns = np.mgrid[:height, :width]
    along = (columns - x) * math.cos(angle) + (rows - y) * math.sin(angle)
    beside = (rows - y) * math.cos(angle) - (columns - x) * math.sin(angle)
    return np.asarray((along / across) ** 2 + (beside / down) ** 2 <= 1.0)


def planted(image: Grey, mask: BoolArray, strength: float) -> Planted:
    """The image with the pixels of the mask moved."""
    pixels = image.astype(np.float64)
    target = 255.0 if pixels[mask].mean() < 127.5 else 0.0
    pixels[mask] += strength * (target - pixels[mask])
    return Planted(np.round(pixels).astype(np.uint8), mask)


def points_into(picture: FloatArray, mask: BoolArray) -> bool:
    """Whether the hottest pixel is in the mask; of several equally hot ones the first counts."""
    return bool(mask.ravel()[int(np.argmax(picture))])


class FarthestPixel:
    """What names the pixel that is farthest from the mean training image, in its standard deviations."""

    def __init__(self, train: Sequence[Grey]) -> None:
        sides = np.median([image.shape for image in train], axis=0).astype(int).tolist()
        self.size = (sides[0], sides[1])
        pixels = np.stack([self._sized(image) for image in train])
        spread = pixels.std(axis=0)
        self.mean, self.spread = pixels.mean(axis=0), np.maximum(spread, 0.05 * spread.mean())

    def picture(self, image: Grey) -> FloatArray:
        """``(height, width)`` of the image."""
        found = np.abs(self._sized(image) - self.mean) / self.spread
        return _resized(found, (image.shape[0], image.shape[1]))

    def _sized(self, image: Grey) -> FloatArray:
        return _resized(image.astype(np.float64), self.size)


def _resized(values: FloatArray, size: tuple[int, int]) -> FloatArray:
    import torch

    if values.shape == size:
        return values
    plane = torch.from_numpy(values)[None, None]
    brought = torch.nn.functional.interpolate(plane, size, mode="bilinear", antialias=True, align_corners=False)
    return np.asarray(brought[0, 0].numpy())


def grey(images: images_network.Images) -> list[Grey]:
    """Arrays ``(height, width)``."""
    from PIL import Image as Pillow

    found = []
    for image in images:
        if isinstance(image, Path):
            with Pillow.open(image) as opened:
                found.append(np.asarray(opened.convert("L")))
        else:
            found.append(np.asarray(image, dtype=np.uint8))
    return found


def outcomes(place: Path, name: str, method: str, train: int, judged: int) -> Mapping[str, Values]:
    """The lines of one set by one detector; `train` and `judged` are the most images of either kind."""
    from benchmarks.images_ours import modality
    from unalike import Detector

    protocol = images_data.GROUPED if place.is_dir() else images_data.ONE_CLASS
    split = images_data.read(place, name, protocol, _SEED)
    some = np.random.default_rng([_SEED, 1]).permutation(len(split.train))[:train]
    normal = grey(images_data.picked(split.train.images, np.sort(some)))
    held = grey(images_data.picked(split.test, np.flatnonzero(split.label == 0)[: 2 * judged]))
    started = time.perf_counter()
    detector = Detector(modality(weights=method == "pretrained"), random_state=_SEED)
    detector.fit(normal, groups=split.train.groups[np.sort(some)].tolist())
    fit_s = time.perf_counter() - started
    farthest = FarthestPixel(normal)
    untouched, spoilt = detector.anomaly_scores(held[judged:]), held[:judged]
    masks = [
        ellipse(image.shape[0], image.shape[1], np.random.default_rng([_SEED, 2, at]))
        for at, image in enumerate(spoilt)
    ]
    found: dict[str, Values] = {}
    for strength in STRENGTHS:
        made = [planted(image, mask, strength) for image, mask in zip(spoilt, masks, strict=True)]
        values = _measured(detector, farthest, made, untouched)
        empty = dict.fromkeys(("auroc", "auprc", "f1", "score_s", "peak_mb"), math.nan)
        found[f"{method}/{strength:g}"] = {**empty, "fit_s": fit_s, **dict(zip(EXTRA, values, strict=True))}
    return found


def _measured(detector: Any, farthest: FarthestPixel, made: Sequence[Planted], untouched: FloatArray) -> list[float]:
    """What `EXTRA` names; milliseconds of processor time, which is the fairer where cores are shared."""
    images = [one.image for one in made]
    started = time.process_time()
    scores = detector.detect(images).scores
    detect_ms = (time.process_time() - started) / len(made) * 1000.0
    started = time.process_time()
    explained = detector.explain(images)
    explain_ms = (time.process_time() - started) / len(made) * 1000.0
    labels = np.repeat([0, 1], [len(untouched), len(scores)])
    return [
        float(roc_auc_score(labels, np.concatenate([untouched, scores]))),
        float(np.mean([points_into(why.picture, one.mask) for why, one in zip(explained, made, strict=True)])),
        float(np.mean([points_into(farthest.picture(one.image), one.mask) for one in made])),
        float(np.mean([one.mask.mean() for one in made])),
        explain_ms,
        detect_ms,
    ]


def table(lines: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """Header and a line per detector, family of sets and strength: means over the sets."""
    printed = [
        ["detector", "images", "sets", "strength", "AUROC", "points into it", "largest z", "chance", "explain ms",
         "detect ms"]
    ]  # fmt: skip
    families = list(dict.fromkeys(line["data"].split("/")[0] for line in lines))
    for method in METHODS:
        for family in families:
            for strength in STRENGTHS:
                name = f"{method}/{strength:g}"
                mine = [x for x in lines if x["method"] == name and x["data"].split("/")[0] == family]
                if mine:
                    means = [float(np.mean([float(line[column]) for line in mine])) for column in EXTRA]
                    shown = [f"{means[0]:.2f}", *(f"{mean:.1%}" for mean in means[1:4])]
                    shown += [f"{mean:.0f}" for mean in means[4:]]
                    printed.append([method, family, str(len(mine)), f"{strength:g}", *shown])
    return printed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = plantings.parser("images_explain", __doc__, "folder of sets, as benchmarks.images takes them")
    parser.add_argument("--sets", type=harness.listed, default=list(SETS))
    parser.add_argument("--methods", type=harness.listed, default=["pretrained"])
    parser.add_argument("--train", type=int, default=300, help="at most so many training images")
    parser.add_argument("--images", type=int, default=40, help="images with a defect, and as many without")
    options = plantings.parsed(parser, arguments)
    if not options.show and (why := images_network.missing()) is not None:
        print(why)
        return 1

    def jobs(folder: Path) -> list[harness.Job]:
        places = images_data.names_in(folder)
        return [
            harness.Job(
                data=name,
                protocol="planted",
                seed=_SEED,
                methods=tuple(f"{method}/{strength:g}" for strength in STRENGTHS),
                task=partial(outcomes, places[name], name, method, options.train, options.images),
            )
            for method in options.methods
            for name in options.sets
        ]

    return plantings.run(options, jobs, table, extra=EXTRA, preload=_PRELOAD)


if __name__ == "__main__":
    raise SystemExit(main())
