"""anomalib, from the folder that ``make image-peers`` fills.

It is installed there without what it asks for and we have: it runs with our torch, timm and torchmetrics, so that
both sides compute with the same libraries.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parent.parent / ".venv-images"


def missing() -> str | None:
    """What is missing, and what to do; None when all is there."""
    if (FOLDER / ".ready").exists():
        return None
    return f"PRO and three peers come from anomalib, in {FOLDER}. Run `make image-peers` first."


def reach() -> None:
    """Let this process, and those that it starts, import from the folder; ours come first."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))


def library(module: str) -> Any:
    """A module of anomalib; the whole package is imported with the first, in some seconds."""
    reach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = importlib.import_module(f"anomalib.{module}")
    logging.getLogger("anomalib").setLevel(logging.ERROR)
    return found


def aupro(maps: Tensor, masks: Tensor, limit: float) -> float:
    """By anomalib: area under the per-region overlap of ``(n, h, w)`` maps, masks of 0 and 1, up to `limit`."""
    metric = library("metrics.aupro")._AUPRO(fpr_limit=limit)
    metric.update(maps, masks)
    return float(metric.compute())


def prepare() -> None:
    """What ``make image-peers`` runs once: see that all is well."""
    import torch

    masks = torch.zeros(2, 16, 16, dtype=torch.int64)
    masks[1, 4:8, 4:8] = 1
    if aupro(masks.float(), masks, 0.3) < 1 - 1e-6:
        raise RuntimeError("anomalib's AUPRO of maps that are the masks must be 1; it is not with these versions.")
    for name in ("patchcore", "padim", "dfm"):
        library(f"models.image.{name}.torch_model")
    (FOLDER / ".ready").touch()


if __name__ == "__main__":
    prepare()
