"""Images on the page: PNG inside the HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt
from torch import Tensor

from unalike.errors import MissingExtra

_COLOUR = 3


class Images:
    """Draws images, all on the scale of the samples.

    Parameters
    ----------
    samples : Tensor
        ``(s, channels, height, width)``. Values in ``[0, 1]`` are shown as they are; any others between their
        least and their largest.
    ids : sequence of str
        Of the samples.
    """

    def __init__(self, samples: Tensor, ids: Sequence[str]) -> None:
        self._samples = samples
        self._ids = ids
        low, high = float(samples.min()), float(samples.max())
        self._low, self._high = (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, max(high, low + 1e-9))

    @property
    def note(self) -> str:
        """What must be known to read the pictures."""
        channels = self._samples.shape[1]
        if channels in (1, _COLOUR):
            return "The first picture of each row, with the heavy frame, is the sample."
        return f"The first picture of each row is the sample. Shown is the mean of the {channels} channels."

    def draw(self, views: Sequence[Tensor]) -> str:
        """One row per sample: the sample, then its views, ``(s, channels, height, width)`` each."""
        columns = f'style="grid-template-columns: repeat({len(views) + 1}, minmax(0, 1fr))"'
        names = ["sample", *(f"view {number}" for number in range(1, len(views) + 1))]
        rows = [f'<div class="row head" {columns}>' + "".join(f"<span>{name}</span>" for name in names) + "</div>"]
        for place, sample in enumerate(self._samples):
            name = escape(str(self._ids[place]))
            figures = [
                f'<figure class="sample"><img src="{data_uri(self._bytes(sample))}" alt="sample {name}">'
                f'<figcaption title="{name}">{name}</figcaption></figure>'
            ]
            uris = [data_uri(self._bytes(made[place])) for made in views]
            figures += [
                f'<figure><img src="{uri}" alt="view {number} of sample {name}"></figure>'
                for number, uri in enumerate(uris, start=1)
            ]
            rows.append(f'<div class="row" {columns}>' + "".join(figures) + "</div>")
        return "\n".join(rows)

    def _bytes(self, image: Tensor) -> npt.NDArray[np.uint8]:
        """``(height, width, 3)``, or ``(height, width)`` of anything but colour."""
        values = image.double().cpu().numpy()
        values = np.moveaxis(values, 0, 2) if len(values) == _COLOUR else values.mean(axis=0)
        unit = np.clip((values - self._low) / (self._high - self._low), 0.0, 1.0)
        return np.round(unit * 255.0).astype(np.uint8)


def data_uri(pixels: npt.NDArray[np.uint8], largest: int | None = None) -> str:
    """An image inside the page.

    Parameters
    ----------
    pixels : ndarray
        ``(height, width, 3)``, or ``(height, width)`` of anything but colour.
    largest : int, optional
        Larger images are made smaller, and compressed with losses (JPEG). None: as it is (PNG).

    Raises
    ------
    MissingExtra
        When Pillow is not installed.
    """
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise MissingExtra("A page of images needs Pillow. Install 'unalike[image]'.") from error
    image, buffer, kind = Pillow.fromarray(pixels), io.BytesIO(), "png"
    if largest is not None and max(image.size) > largest // 2:
        image.thumbnail((largest, largest))
        kind = "jpeg"
        image.save(buffer, format="JPEG", quality=88)
    else:
        image.save(buffer, format="PNG")
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
