"""Charts as SVG inside the page: they follow its colours, light or dark, need no script and no library.

What is told by colour is told by a shape too: each kind of line has dashes of its own, each kind of point a form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from unalike.types import FloatArray, IntArray

_WIDTH, _HEIGHT = 360.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 10.0, 36.0
_MOST_POINTS = 400


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a chart.

    Parameters
    ----------
    name : str
        In the legend.
    x, y : ndarray
        ``(n,)`` each; it breaks where `y` is not finite.
    kind : int
        0 to 3: colour and dashes.
    band : tuple of ndarray, optional
        ``(n,)`` lower and upper ends, shaded.
    """

    name: str
    x: FloatArray
    y: FloatArray
    kind: int = 0
    band: tuple[FloatArray, FloatArray] | None = None


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one kind: ``(n,)`` `x` and `y`, a `shape` among `SHAPES` and, where given, a `title` each."""

    name: str
    x: FloatArray
    y: FloatArray
    shape: str
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class Frame:
    """Axes: what lies where.

    Parameters
    ----------
    x, y : tuple of float
        Least and largest value.
    x_name, y_name : str
        Told beside the axes.
    percent : tuple of bool
        Whether an axis tells shares.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_name: str = ""
    y_name: str = ""
    percent: tuple[bool, bool] = (False, False)

    def across(self, values: FloatArray) -> FloatArray:
        """Where `x` values are drawn."""
        return _LEFT + (values - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def down(self, values: FloatArray) -> FloatArray:
        """Where `y` values are drawn."""
        return _HEIGHT - _BOTTOM - (values - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0) * (_HEIGHT - _TOP - _BOTTOM)

    def drawn(self) -> str:
        """Grid, ticks and names."""
        parts = []
        for value in ticks(*self.x):
            at = _told(float(self.across(np.float64(value))))  # type: ignore[arg-type]
            parts.append(f'<text x="{at}" y="{_HEIGHT - _BOTTOM + 14:g}" text-anchor="middle">'
                         f"{tick(value, self.percent[0])}</text>")  # fmt: skip
        for value in ticks(*self.y):
            at = _told(float(self.down(np.float64(value))))  # type: ignore[arg-type]
            parts.append(
                f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{at}" y2="{at}"/>'
                f'<text x="{_LEFT - 5:g}" y="{at}" dy="4" text-anchor="end">{tick(value, self.percent[1])}</text>'
            )
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(
            f'<text x="{middle:g}" y="{_HEIGHT - 4:g}" text-anchor="middle">{escape(self.x_name)}</text>'
            f'<text x="11" y="{(_TOP + _HEIGHT - _BOTTOM) / 2:g}" text-anchor="middle" '
            f'transform="rotate(-90 11 {(_TOP + _HEIGHT - _BOTTOM) / 2:g})">{escape(self.y_name)}</text>'
        )
        return "".join(parts)

    def limit(self, value: float, name: str) -> str:
        """A vertical line with a name."""
        at = float(self.across(np.float64(value)))  # type: ignore[arg-type]
        near_end = at > _WIDTH * 0.6
        return (
            f'<line class="limit" x1="{_told(at)}" x2="{_told(at)}" y1="{_TOP:g}" y2="{_HEIGHT - _BOTTOM:g}"/>'
            f'<text class="limit-name" x="{_told(at + (-4 if near_end else 4))}" y="{_TOP + 9:g}" '
            f'text-anchor="{"end" if near_end else "start"}">{escape(name)}</text>'
        )


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values from `low` to `high`, at most `most` or one more."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, math.floor(high / step + 1e-9) + 1)]


def tick(value: float, percent: bool = False) -> str:
    """A value beside an axis."""
    return f"{100 * value:.4g}%" if percent else f"{value:.4g}"


def line_chart(lines: Sequence[Line], frame: Frame, title: str, note: str = "", under: str = "") -> str:
    """Lines over axes; `under` is SVG that lies beneath them."""
    drawn = [frame.drawn(), under]
    drawn += [_band(frame, line) for line in lines if line.band is not None]
    drawn += [f'<g class="k{line.kind}">{polylines(frame.across(line.x), frame.down(line.y))}</g>' for line in lines]
    legend = [(swatch_line(line.kind), line.name) for line in lines]
    return chart("".join(drawn), title, note, legend)


def scatter(groups: Sequence[Points], title: str, note: str = "", names: tuple[str, str] = ("", "")) -> str:
    """Groups of points, the first beneath."""
    x, y = (np.concatenate([getattr(group, axis) for group in groups]) for axis in ("x", "y"))
    frame = Frame(padded(x), padded(y), *names)
    drawn = [frame.drawn()]
    for group in groups:
        mark = SHAPES[group.shape]
        at = zip(frame.across(group.x).tolist(), frame.down(group.y).tolist(), strict=True)
        titles = list(group.titles) or [""] * len(group.x)
        drawn += [mark(*place, told) for place, told in zip(at, titles, strict=True)]
    legend = [(swatch_point(group.shape), f"{group.name} ({len(group.x)})") for group in groups]
    return chart("".join(drawn), title, note, legend)


def histogram(groups: Sequence[tuple[str, FloatArray, str]], mark: tuple[float, str] | None, title: str, note: str,
              x_name: str, rug: FloatArray | None = None) -> str:  # fmt: skip
    """Shares of values by their size.

    Parameters
    ----------
    groups : sequence of (name, values, form)
        Form: ``"bars"``, ``"hatched"`` or ``"outline"``.
    mark : (value, name), optional
        A line at a value.
    title, note, x_name : str
        What is told.
    rug : ndarray, optional
        Values that are marked one by one below the axis.
    """
    low, high, cut = _range(groups, mark)
    edges = np.linspace(low, high, 41)
    shares = [_shares(values, edges) for _, values, _ in groups]
    frame = Frame((low, high), (0.0, max(float(max(share.max() for share in shares)), 1e-9)), x_name, "share",
                  (False, True))  # fmt: skip
    drawn = [frame.drawn()]
    drawn += [_FORMS[form](frame, edges, share) for (_, _, form), share in zip(groups, shares, strict=True)]
    if rug is not None:
        drawn += [SHAPES["tick"](at, _HEIGHT - _BOTTOM, "") for at in np.unique(
            np.round(frame.across(np.clip(rug, low, high)), 1)).tolist()]  # fmt: skip
    if mark is not None:
        drawn.append(frame.limit(*mark))
    legend = [(_swatch_form(form), f"{name} ({len(values)})") for name, values, form in groups]
    if rug is not None and len(rug):
        legend.append((swatch_point("tick"), "alarms, one by one"))
    more = f" Scores above {high:.4g} are counted at the right edge." if cut else ""
    return chart("".join(drawn), title, note + more, legend)


def chart(drawn: str, title: str, note: str, legend: Sequence[tuple[str, str]]) -> str:
    """A figure with its title, legend and note."""
    keys = "".join(f"<span>{swatch}{escape(name)}</span>" for swatch, name in legend if name)
    keys = f'<div class="legend">{keys}</div>' if keys else ""
    return (
        f'<figure class="chart"><b>{escape(title)}</b><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" '
        f'aria-label="{escape(title)}">{drawn}</svg><figcaption>{keys}{escape(note)}</figcaption></figure>'
    )


def padded(values: FloatArray) -> tuple[float, float]:
    """A range that holds all finite values, with room around them."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = 0.04 * (high - low) or max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def polylines(x: FloatArray, y: FloatArray) -> str:
    """A line for each run of finite values; a dot for a single one; no more points than can be seen."""
    finite = np.isfinite(x) & np.isfinite(y)
    runs = np.split(np.arange(len(x)), np.flatnonzero(np.diff(finite.astype(np.int8)) != 0) + 1)
    drawn = []
    for run in runs:
        if len(run) == 0 or not finite[run[0]]:
            continue
        points = [f"{_told(x[at])},{_told(y[at])}" for at in _seen(y, run).tolist()]
        drawn.append(f'<polyline points="{" ".join(points if len(points) > 1 else points * 2)}"/>')
    return "".join(drawn)


def _seen(y: FloatArray, run: IntArray) -> IntArray:
    """Of a long run the first, least, largest and last of each stretch, so that no peak is lost."""
    if len(run) <= _MOST_POINTS:
        return run
    kept = [np.array([s[0], s[np.argmin(y[s])], s[np.argmax(y[s])], s[-1]])
            for s in np.array_split(run, _MOST_POINTS // 4)]  # fmt: skip
    return np.unique(np.concatenate(kept))


def _band(frame: Frame, line: Line) -> str:
    assert line.band is not None  # noqa: S101
    x = frame.across(line.x)
    low, high = (frame.down(end) for end in line.band)
    there = [f"{_told(a)},{_told(b)}" for a, b in zip(x, high, strict=True)]
    back = [f"{_told(a)},{_told(b)}" for a, b in zip(x[::-1], low[::-1], strict=True)]
    return f'<polygon class="shade" points="{" ".join(there + back)}"/>'


def _range(groups: Sequence[tuple[str, FloatArray, str]], mark: tuple[float, str] | None) -> tuple[float, float, bool]:
    values = np.concatenate([values[np.isfinite(values)] for _, values, _ in groups])
    values = np.append(values, [] if mark is None else [mark[0]])
    low, top = float(values.min()), float(values.max())
    usual = float(np.quantile(values, 0.5))
    reach = max(float(np.quantile(values, 0.9)), usual if mark is None else mark[0])
    high = min(top, low + 2.5 * (reach - low)) if reach > low else top
    return low, high if high > low else low + 1.0, high < top


def _shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / max(len(values), 1)


def _bars(css: str) -> Callable[[Frame, FloatArray, FloatArray], str]:
    def draw(frame: Frame, edges: FloatArray, shares: FloatArray) -> str:
        x, y = frame.across(edges), frame.down(shares)
        base = _HEIGHT - _BOTTOM
        path = "".join(
            f"M{_told(x[at] + 0.4)} {base:g}V{_told(y[at])}H{_told(x[at + 1] - 0.4)}V{base:g}z"
            for at in np.flatnonzero(shares).tolist()
        )
        return f'<path class="{css}" d="{path}"/>'

    return draw


def _outline(frame: Frame, edges: FloatArray, shares: FloatArray) -> str:
    x = frame.across(np.repeat(edges, 2)[1:-1])
    return f'<g class="thin">{polylines(x, frame.down(np.repeat(shares, 2)))}</g>'


_FORMS = {"bars": _bars("f0 soft"), "hatched": _bars("o1"), "outline": _outline}


def _circle(css: str, size: float) -> Callable[[float, float, str], str]:
    def draw(x: float, y: float, title: str) -> str:
        told = f"<title>{escape(title)}</title></circle>" if title else "</circle>"
        return f'<circle class="{css}" cx="{_told(x)}" cy="{_told(y)}" r="{size:g}">{told}'

    return draw


def _path(css: str, form: str) -> Callable[[float, float, str], str]:
    def draw(x: float, y: float, title: str) -> str:
        told = f"<title>{escape(title)}</title></path>" if title else "</path>"
        return f'<path class="{css}" d="M{_told(x)} {_told(y)}{form}">{told}'

    return draw


SHAPES: dict[str, Callable[[float, float, str], str]] = {
    "dot": _circle("f0 soft", 2.2),
    "ring": _circle("o2", 2.0),
    "triangle": _path("f1", "m0 -5l4.5 8h-9z"),
    "open triangle": _path("o1", "m0 -5l4.5 8h-9z"),
    "cross": _path("o1", "m-3.5 -3.5l7 7m0 -7l-7 7"),
    "tick": _path("o1", "v5"),
}
"""Forms of points: x, y and a title to SVG."""


def swatch_line(kind: int) -> str:
    """A piece of a line for a legend."""
    line = f'<line class="k{kind}" x1="0" x2="27" y1="7" y2="7" stroke-width="2"/>'
    return f'<svg class="swatch" viewBox="0 0 27 14">{line}</svg>'


def swatch_point(shape: str) -> str:
    """A point for a legend."""
    return f'<svg class="swatch" viewBox="0 0 27 14">{SHAPES[shape](13, 8 if "triangle" in shape else 7, "")}</svg>'


def _swatch_form(form: str) -> str:
    inner = {
        "bars": '<path class="f0 soft" d="M4 2h18v11h-18z"/>',
        "hatched": '<path class="o1" d="M4 2h18v11h-18z"/>',
        "outline": '<path class="o2" d="M2 12V7H12V3H24V12"/>',
    }[form]
    return f'<svg class="swatch" viewBox="0 0 27 14">{inner}</svg>'


def _told(value: float) -> str:
    return f"{float(value):.1f}".removesuffix(".0")
