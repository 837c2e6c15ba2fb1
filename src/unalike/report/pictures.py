"""Anomalous images: where, and what normal ones look like."""

from __future__ import annotations

from html import escape

import numpy as np
import numpy.typing as npt

from unalike.data import take
from unalike.decisions import Explanation
from unalike.explanation.overlays import as_bytes, overlay
from unalike.report.material import Material
from unalike.types import Collection
from unalike.viewpage.images import data_uri

_LARGEST = 360
_SMALL = 64
_NEAREST = 3


def picture(material: Material, position: int, why: Explanation | None) -> str:
    """The image, its heat map and the nearest normal images."""
    pixels = _pixels(material, material.X, position)
    name = escape(str(material.decisions.ids[position]))
    figures = [f'<figure class="odd"><img src="{_uri(_shown(pixels))}" alt="image {name}">'
               "<figcaption>the image</figcaption></figure>"]  # fmt: skip
    if why is not None and why.picture is not None:
        hot = overlay(pixels, why.picture, why.mask, threshold=_limit(material))
        figures.append(f'<figure><img src="{_uri(hot)}" alt="heat map of {name}"><figcaption>where it is unlike normal '
                       "ones (hot); outlined: past the threshold</figcaption></figure>")  # fmt: skip
    figures += _nearest(material, position)
    smooth = " smooth" if max(pixels.shape[1:]) > _SMALL else ""
    return f'<div class="pictures{smooth}">{"".join(figures)}</div>{_regions(why)}'


def _nearest(material: Material, position: int) -> list[str]:
    if material.pool is None:
        return []
    own = material.embeddings[int(np.searchsorted(material.mapped, position))]
    apart = None if material.pool.of_training else position
    figures = []
    for at in material.pool.nearest(own, _NEAREST, apart).tolist():
        name = escape(str(material.pool.ids[at]))
        uri = _uri(_shown(_pixels(material, material.pool.X, at)))
        figures.append(f'<figure><img src="{uri}" alt="normal image {name}"><figcaption>normal: {name}</figcaption>'
                       "</figure>")  # fmt: skip
    return figures


def _pixels(material: Material, X: Collection, position: int) -> npt.NDArray[np.generic]:
    pixels: npt.NDArray[np.generic] = material.modality.pixels(take(X, np.array([position])))
    return pixels


def _limit(material: Material) -> float | None:
    limit = material.decisions.threshold
    return float(limit) if np.isfinite(limit) else None


def _shown(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """``(height, width, 3)`` of the first three channels, or of the first."""
    return as_bytes(np.moveaxis(pixels[:3] if len(pixels) >= 3 else np.repeat(pixels[:1], 3, axis=0), 0, 2))


def _uri(pixels: npt.NDArray[np.uint8]) -> str:
    return data_uri(np.ascontiguousarray(pixels), _LARGEST)


def _regions(why: Explanation | None) -> str:
    if why is None or not why.parts:
        return ""
    told = "; ".join(f"{part.place} ({part.share:.0%})" for part in why.parts[:3])
    return f'<p class="dim">{escape(told)}</p>'
