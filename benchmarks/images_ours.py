"""Our image detector, read in several ways.

With the pretrained network (`modalities.Image(network=, weights=)`):

- ``unalike``: the default;
- ``frozen``, ``no-adaptation``: the same fusion, every trained network as it was before training; the default itself
  where none trains;
- ``contrast``, ``untrained-alone``: the trained networks alone, and those before training, where some train;
- ``patchbank``: one branch, a memory bank of frozen patches;
- ``unalike-5%``: the default, told that up to 5% of the training images may be anomalies;
- ``unalike-updated``: the default after `Detector.update` with the images that come later.

Without it (`modalities.Image()`):

- ``scratch``, ``scratch-untrained``: the trained networks alone, no pixels in the fusion, and those before training;
- ``scratch-default``: the default.

A reading is the fitted detector with other branches; ``fit_s`` and ``peak_mb`` are those of the whole.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Maker
from benchmarks.images_data import Train, joined, picked
from benchmarks.images_metrics import SIDE, Maps
from benchmarks.images_network import DEEP, LARGE, NETWORK, Images, timm_file
from benchmarks.series_ours import reading
from unalike.types import BoolArray, Branch, FloatArray

if TYPE_CHECKING:
    from unalike import Detector

READINGS = {
    "unalike": "unalike",
    "frozen": "untrained",
    "no-adaptation": "untrained",
    "contrast": "contrast",
    "untrained-alone": "untrained-alone",
    "patchbank": "unalike",
    "unalike-5%": "unalike",
    "unalike-updated": "unalike",
    "scratch": "contrast",
    "scratch-untrained": "untrained-alone",
    "scratch-default": "unalike",
}
"""What `benchmarks.series_ours.reading` calls them."""
LATER_ONLY = ("unalike-updated",)
SMALL_ONLY = ("scratch", "scratch-untrained", "scratch-default")
LARGE_ONLY = ("no-adaptation", "patchbank")
UNLABELLED = ("patchbank",)
"""Nothing in them learns from labelled anomalies, and `Detector.fit` refuses some."""

_CHUNK = 16
_HELD_OUT = 0.2


class ImageDefault:
    """`Detector` at its defaults behind the harness' contract.

    Parameters
    ----------
    seed : int
        Of the detector.
    weights : bool
        With the pretrained network.
    expected : float
        `expected_anomalies`.
    update : bool
        Take in what comes later, after `fit` and as a part of it.
    patches : bool
        Instead of the default one branch, of patches.
    """

    def __init__(
        self, seed: int, *, weights: bool = True, expected: float = 0.0, update: bool = False, patches: bool = False
    ) -> None:
        from unalike import Detector

        self.detector = Detector(
            modality(weights=weights and not patches, size=(LARGE, LARGE) if patches else None),
            branches=[patch_branch()] if patches else None,
            random_state=seed,
            expected_anomalies=expected,
        )
        self._update = update
        self._scores: dict[str, FloatArray] = {}

    def fit(self, train: Train) -> None:
        anomalies = train.anomalies if len(train.anomalies) else None
        self.detector.fit(train.images, groups=train.groups.tolist(), anomalies=anomalies)
        if self._update:
            self._take_in(train)

    def score(self, test: Images, method: str) -> FloatArray:
        self._scores[method] = self._read(method).anomaly_scores(test)
        return self._scores[method]

    def alarms(self, test: Images, method: str) -> tuple[BoolArray, float] | None:
        """Which images are raised, and the stated rate, of a default; None of other readings."""
        if READINGS[method] != "unalike":
            return None
        threshold = self.detector.threshold_
        rate = threshold.false_alarm_rate_
        return threshold.is_anomaly(self._scores[method]), float("nan") if rate is None else rate

    def maps(self, test: Images, method: str) -> Maps | None:
        """What `Detector.explain` draws, ``(n, 224, 224)``; None where it draws nothing."""
        return pictures(self._read(method), test)

    def _take_in(self, train: Train) -> None:
        """Four fifths of what comes later, whole groups, into the scorers; the rest joins the calibration."""
        groups = np.unique(train.later_groups)
        held = np.isin(train.later_groups, groups[:: round(1 / _HELD_OUT)])
        earlier = picked(train.images, self.detector.split_.calibration)
        self.detector.update(
            picked(train.later, np.flatnonzero(~held)),
            into="scorer",
            groups=train.later_groups[~held].tolist(),
            calibration=joined(earlier, picked(train.later, np.flatnonzero(held))),
        )

    def _read(self, method: str) -> Detector:
        trains = any(branch.untrained is not None for branch in self.detector.branches_)
        asked = READINGS[method]
        return reading(self.detector, "unalike" if asked == "untrained" and not trains else asked)


def modality(*, weights: bool, size: tuple[int, int] | None = None) -> Any:
    """Images, with the pretrained network or without."""
    from unalike import modalities

    make: Any = modalities.Image
    return make(network=NETWORK, weights=timm_file(), size=size) if weights else make(size=size)


def patch_branch() -> Branch:
    """What the prototype did best with: stages 4 to 6 on one grid."""
    from unalike.encoders import Timm
    from unalike.scorers import PatchBank

    encoder = Timm(name=NETWORK, weights=timm_file(), layers=DEEP, frozen=True)
    return Branch(name="patches", encoder=encoder, scorer=PatchBank())


def pictures(detector: Detector, images: Images) -> Maps | None:
    """Heat maps of all images, brought to 224 pixels a side; None where the detector draws none."""
    from unalike.errors import InvalidParameter

    drawn = []
    for at in range(0, len(images), _CHUNK):
        try:
            explained = detector.explain(images[at : at + _CHUNK])
        except InvalidParameter:
            return None
        found = [item.picture for item in explained]
        if any(picture is None for picture in found):
            return None
        drawn += [_at_side(picture) for picture in found if picture is not None]
    return np.stack(drawn)


def _at_side(picture: FloatArray) -> Maps:
    import torch

    plane = torch.from_numpy(np.asarray(picture, dtype=np.float32))[None, None]
    if plane.shape[-2:] != (SIDE, SIDE):
        plane = torch.nn.functional.interpolate(plane, (SIDE, SIDE), mode="bilinear", align_corners=False)
    brought: Maps = plane[0, 0].numpy()
    return brought


def pretrained(seed: int) -> ImageDefault:
    return ImageDefault(seed)


def scratch(seed: int) -> ImageDefault:
    return ImageDefault(seed, weights=False)


OURS: dict[str, Maker] = {
    **dict.fromkeys(("unalike", "frozen", "no-adaptation"), pretrained),
    **dict.fromkeys(("contrast", "untrained-alone"), partial(ImageDefault, weights=True)),
    "patchbank": partial(ImageDefault, patches=True),
    **dict.fromkeys(SMALL_ONLY, scratch),
    "unalike-5%": partial(ImageDefault, expected=0.05),
    "unalike-updated": partial(ImageDefault, update=True),
}
