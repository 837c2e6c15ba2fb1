"""Groups of images that show one thing."""

from __future__ import annotations

from typing import Any

import numpy as np

from unalike.data import skipped
from unalike.modalities import nearcopies
from unalike.modalities.image import Image
from unalike.types import IntArray


def find_groups(X: Any, modality: Image | None = None) -> IntArray:
    """Which images are near copies of each other: ``detector.fit(X, groups=find_groups(X))``.

    Images that show one thing several times (exposures, consecutive frames) get one code, each other image a code of
    its own. Small thumbnails are compared without their brightness and contrast (`unalike.modalities.nearcopies`); a
    thing that moved through the picture is not recognised. What you know, such as serial numbers in file names, is
    better than what this finds.

    Parameters
    ----------
    X : folder, list, array…
        Images, as `Detector.fit` takes them; at least 40, or none is grouped.
    modality : modalities.Image, optional
        How they are read.

    Returns
    -------
    ndarray
        ``(n,)`` int64 codes from 0, one per image given; those that could not be read have codes of their own.

    Raises
    ------
    InvalidInput
        When `X` cannot be read.

    Notes
    -----
    Cost: every image is read once, and the comparisons grow as ``n^2``: on one core 0.1 s for 1,000 images, about 3 s
    for 10,000.
    """
    reader = Image() if modality is None else modality
    images = reader.check(X)
    codes = nearcopies.group(reader.thumbnails(images))
    left_out = skipped(images)
    if not left_out:
        return codes
    given = np.empty(len(codes) + len(left_out), dtype=np.int64)
    given[images.rows] = codes
    given[[sample.row for sample in left_out]] = np.arange(len(left_out)) + codes.max() + 1
    return given
