"""Windows of series on the page: lines inside the HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from torch import Tensor

_MOST_CHANNELS = 6
_OPEN = 2
_WIDTH, _HEIGHT = 120, 48
_DIGITS = 1


class Lines:
    """Draws windows, each view over its sample.

    Parameters
    ----------
    samples : Tensor
        ``(s, channels, length)``; NaN where nothing was measured.
    ids : sequence of str
        Of the samples.
    channels : sequence of str
        Names.
    """

    note = (
        "The thin line is the sample, the heavy one its view; where a line breaks, nothing was measured. Each channel "
        "has a scale of its own."
    )

    def __init__(self, samples: Tensor, ids: Sequence[str], channels: Sequence[str]) -> None:
        self._samples = samples
        self._ids = ids
        self._channels = channels

    def draw(self, views: Sequence[Tensor]) -> str:
        """For each sample a row per channel, a column per view, ``(s, channels, length)`` each."""
        return "\n".join(self._sample(place, [made[place] for made in views]) for place in range(len(self._samples)))

    def _sample(self, place: int, views: Sequence[Tensor]) -> str:
        columns = f'style="grid-template-columns: repeat({len(views)}, minmax(0, 1fr))"'
        shown = self._channels[:_MOST_CHANNELS]
        rows = "".join(
            f'<p class="dim">{escape(str(name))}</p><div class="row" {columns}>{self._row(place, channel, views)}</div>'
            for channel, name in enumerate(shown)
        )
        more = len(self._channels) - len(shown)
        rest = f'<p class="dim">{more} more channels are not shown.</p>' if more > 0 else ""
        title = f"<summary>window from {escape(self._ids[place])}</summary>"
        return f"<details{' open' if place < _OPEN else ''}>{title}{rows}{rest}</details>"

    def _row(self, place: int, channel: int, views: Sequence[Tensor]) -> str:
        sample = self._samples[place, channel]
        lines = [sample, *(made[channel] for made in views)]
        measured = [value for line in lines for value in line.tolist() if value == value]
        low, high = (min(measured), max(measured)) if measured else (0.0, 0.0)
        unit = (_HEIGHT - 4) / (high - low) if high > low else 0.0
        under = _paths(sample, low, unit)
        name = escape(str(self._channels[channel]))
        return "".join(
            f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="view {number} of {name}">'
            f'<g class="under">{under}</g><g class="over">{_paths(line, low, unit)}</g></svg></figure>'
            for number, line in enumerate(lines[1:], start=1)
        )


def _paths(line: Tensor, low: float, unit: float) -> str:
    """A line for each stretch that was measured; a dot for a single step."""
    across = _WIDTH / max(len(line) - 1, 1)
    stretches: list[list[str]] = [[]]
    for step, value in enumerate(line.tolist()):
        if value != value:
            stretches.append([])
            continue
        height = _HEIGHT - 2 - (value - low) * unit if unit else _HEIGHT / 2
        stretches[-1].append(f"{round(step * across, _DIGITS):g},{round(height, _DIGITS):g}")
    return "".join(
        f'<polyline points="{" ".join(points if len(points) > 1 else points * 2)}"/>' for points in stretches if points
    )
