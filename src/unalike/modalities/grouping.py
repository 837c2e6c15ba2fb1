"""Groups of images that show one thing, and of texts that are one."""

from __future__ import annotations

from typing import Any

import numpy as np

from unalike.data import skipped
from unalike.errors import InvalidParameter
from unalike.modalities import nearcopies, textfiles
from unalike.modalities.build import build_modality
from unalike.modalities.image import Image
from unalike.modalities.text import Text
from unalike.types import IntArray


def find_groups(X: Any, modality: Image | Text | str | None = None) -> IntArray:
    """Which images or texts are near copies of each other: ``detector.fit(X, groups=find_groups(X))``.

    Images that show one thing several times (exposures, consecutive frames) get one code, each other image a code of
    its own. Small thumbnails are compared without their brightness and contrast (`unalike.modalities.nearcopies`); a
    thing that moved through the picture is not recognised. Texts are copies where they differ in no more than letter
    case and white space. What you know, such as serial numbers in file names, is
    better than what this finds.

    Parameters
    ----------
    X : folder, list, array…
        Images or texts, as `Detector.fit` takes them; at least 40 images, or none is grouped.
    modality : {"image", "text"}, modalities.Image or modalities.Text, optional
        What they are, and how they are read; images when not given.

    Returns
    -------
    ndarray
        ``(n,)`` int64 codes from 0, one per sample given; those that could not be read have codes of their own.

    Raises
    ------
    InvalidInput
        When `X` cannot be read.
    InvalidParameter
        When `modality` is another kind of data.

    Notes
    -----
    Cost: of texts one pass. Every image is read once, and the comparisons grow as ``n^2``: on one core 0.1 s for 1,000
    images, about 3 s for 10,000.
    """
    reader: Any = build_modality("image" if modality is None else modality)
    if not isinstance(reader, (Image, Text)):
        raise InvalidParameter(f"`modality` must be of images or texts; got {modality!r}.")
    images = reader.check(X)
    codes = textfiles.group(images) if isinstance(reader, Text) else nearcopies.group(reader.thumbnails(images))
    left_out = skipped(images)
    if not left_out:
        return codes
    given = np.empty(len(codes) + len(left_out), dtype=np.int64)
    given[images.rows] = codes
    given[[sample.row for sample in left_out]] = np.arange(len(left_out)) + codes.max() + 1
    return given
