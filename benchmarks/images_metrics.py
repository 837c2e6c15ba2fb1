"""What is measured on images besides detection: maps against masks, and alarms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from benchmarks import images_tools
from benchmarks.images_data import masks_at
from unalike.types import BoolArray, IntArray

COLUMNS = (
    "pixel_auroc",
    "pro",
    "hit",
    "stated_rate",
    "false_alarm_rate",
    "found",
    "images_s",
    "train_n",
    "test_n",
)
"""After the common ones; empty where they do not apply: see `localising` and `alarming`."""
SIDE = 224
"""Maps and masks are compared at so many pixels a side."""
FPR_LIMIT = 0.3
"""Of PRO."""

Maps = npt.NDArray[np.float32]


def localising(maps: Maps | None, masks: Sequence[Path | None] | None, label: IntArray) -> dict[str, float]:
    """What heat maps are worth; NaN without maps or masks.

    - ``pixel_auroc``: over all pixels of all test images;
    - ``pro``: area under the per-region overlap up to 30% of false pixels, by anomalib's ``AUPRO``;
    - ``hit``: share of the anomalies whose highest pixel lies in the mask.

    Parameters
    ----------
    maps : ndarray or None
        ``(n, 224, 224)``, higher = more anomalous.
    masks : sequence or None
        Of the test images; anomalies without one, or with an empty one, are left out.
    label : ndarray
        ``(n,)``.
    """
    if maps is None or masks is None:
        return dict.fromkeys(COLUMNS[:3], float("nan"))
    wanted = np.zeros((len(label), SIDE, SIDE), dtype=np.uint8)
    known = np.array([mask is not None for mask in masks]) & (label == 1)
    wanted[known] = masks_at([mask for mask, is_known in zip(masks, known, strict=True) if mask and is_known], SIDE)
    on_defect = wanted.any(axis=(1, 2))
    usable = on_defect | (label == 0)
    peaks = maps.reshape(len(maps), -1).argmax(axis=1)
    hits = wanted.reshape(len(wanted), -1)[np.arange(len(wanted)), peaks] == 1
    return {
        "pixel_auroc": float(roc_auc_score(wanted[usable].ravel(), maps[usable].ravel())),
        "pro": pro(maps[usable], wanted[usable]),
        "hit": float(hits[on_defect].mean()),
    }


def pro(maps: Maps, masks: npt.NDArray[np.uint8]) -> float:
    """Anomalib's ``AUPRO`` of ``(n, h, w)`` maps against masks of 0 and 1."""
    import torch

    return images_tools.aupro(torch.from_numpy(maps), torch.from_numpy(masks.astype(np.int64)), FPR_LIMIT)


def alarming(label: IntArray, alarms: BoolArray | None, stated_rate: float) -> dict[str, float]:
    """Rate that is stated and realised, and ``found``, the share of the anomalies; NaN without alarms."""
    if alarms is None:
        return dict.fromkeys(COLUMNS[3:6], float("nan"))
    return {
        "stated_rate": stated_rate,
        "false_alarm_rate": float(alarms[label == 0].mean()),
        "found": float(alarms[label == 1].mean()),
    }
