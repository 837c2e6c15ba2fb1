"""One page: what the check says of each view, and samples beside their views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from unalike.data import count, evenly, take
from unalike.errors import InvalidParameter
from unalike.seeding import RowGenerator, derive, numpy_generator
from unalike.types import Collection, IntArray, InTime, Modality, View
from unalike.viewcheck.check import check_views
from unalike.viewcheck.material import LEAST_SAMPLES, fitted, named_views, negative_makers
from unalike.viewcheck.results import ViewCheck, ViewChecks, number, share
from unalike.viewpage.cells import Cells
from unalike.viewpage.images import Images
from unalike.viewpage.lines import Lines
from unalike.viewpage.passages import Passages
from unalike.viewpage.style import STYLE

_PREPARED_WITH = 1000
_LEGEND = {
    "unchanged": "samples that come out as they went in; the other figures are of the changed ones",
    "moved": "distance of a view from its sample; 1 is that of a sample from its nearest neighbour",
    "beyond 95%": "views farther from normal than 95% of the samples; of unviewed samples it is 5%",
    "pairs found": "views whose nearest view, of 256 samples, is one of their own sample",
}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Drawing(Protocol):
    """Draws samples of one kind of data."""

    @property
    def note(self) -> str: ...

    def draw(self, views: Sequence[Tensor]) -> str: ...


@dataclass(frozen=True)
class Shown:
    """One section.

    Parameters
    ----------
    name, kind, settings : str
        As in `ViewCheck`.
    drawn : list of Tensor
        Of the samples shown, ``(s, ...)`` each.
    """

    name: str
    kind: Literal["view", "negative"]
    settings: str
    drawn: list[Tensor]


def view_page(
    X: Any,
    modality: str | Modality,
    *,
    views: Any = None,
    objectives: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    samples: int = 8,
    views_per_sample: int = 4,
    seed: int = 0,
    checks: ViewChecks | None = None,
) -> str:
    """A page of samples beside their views: one HTML file that needs nothing from elsewhere.

    Parameters
    ----------
    X : folder, file, list, array or DataFrame
        Normal samples. The figures of `check_views` are there from 40 on.
    modality : {"image", "series", "table", "text"} or Modality
        The kind of data. A Modality is not changed.
    views, objectives, groups
        As in `check_views`.
    samples, views_per_sample : int
        How many samples are shown, and how many views of each; 1 or more.
    seed : int
        One seed gives one page.
    checks : ViewChecks, optional
        What `check_views` found for the same data and views; None measures it.

    Returns
    -------
    str
        HTML, to be written in UTF-8.

    Raises
    ------
    InvalidInput, InvalidParameter
        As `check_views`; or the modality's samples are no images, windows of series, rows of a table or texts.
    MissingExtra
        When images are to be shown and Pillow is not installed.
    """
    for name, value in (("samples", samples), ("views_per_sample", views_per_sample)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidParameter(f"`{name}` must be a whole number of 1 or more; got {value!r}.")
    made, collection = fitted(X, modality)
    n = _count(made, collection)
    if checks is None and n >= LEAST_SAMPLES:
        checks = check_views(X, modality, views=views, objectives=objectives, groups=groups, seed=seed)
    chosen = np.sort(numpy_generator(seed, "page").permutation(n)[:samples])
    drawing, data = _drawing(made, collection, chosen)
    pool = _tensors(made, collection, evenly(n, _PREPARED_WITH))
    shown = [_views(name, view, data, pool, chosen, views_per_sample, seed) for name, view in
             named_views(views, made).items()]  # fmt: skip
    for name, objective in negative_makers(objectives, made):
        shown += _negatives(name, objective, data, pool, chosen, views_per_sample, seed)
    return _html(n, shown, checks, drawing)


def _count(modality: Modality, X: Collection) -> int:
    """How many can be shown: of records, windows."""
    return len(modality.cut(X)[1]) if isinstance(modality, InTime) else count(X)


def _tensors(modality: Modality, X: Collection, positions: IntArray) -> Tensor:
    if isinstance(modality, InTime):
        return modality.tensors(take(modality.cut(X)[0], positions))
    if modality.name == "text":  # of long texts the first part
        parts, owner = modality.cut(take(X, positions))
        return modality.tensors(take(parts, np.unique(owner, return_index=True)[1]))
    return modality.tensors(modality.cut(take(X, positions))[0])


def _window_names(modality: Any, X: Collection, chosen: IntArray) -> list[str]:
    first = modality.cut(X)[1][chosen, 0]
    pairs = zip(modality.timeline(X)[0][first].tolist(), modality.ids(X)[first].astype(str).tolist(), strict=True)
    return [f"{entity}, {step}" if entity else step for entity, step in pairs]


def _drawing(modality: Modality, X: Collection, chosen: IntArray) -> tuple[Drawing, Tensor]:
    data = _tensors(modality, X, chosen)
    if isinstance(modality, InTime) and data.ndim == 3:
        channels = X.channels if hasattr(X, "channels") else [f"channel {place}" for place in range(data.shape[1])]
        return Lines(data, _window_names(modality, X, chosen), channels), data
    ids = [str(name) for name in modality.ids(X)[chosen]]
    if hasattr(modality, "levels_") and hasattr(modality, "columns_"):
        return Cells(data, ids, modality), data
    if modality.name == "text":
        return Passages(data, ids), data
    if data.ndim == 4 and len(data) == len(ids):
        return Images(data, ids), data
    raise InvalidParameter(f"`modality` must be of images, series, tables or texts to be shown; got {modality!r}.")


def _views(name: str, view: View, data: Tensor, pool: Tensor, index: IntArray, times: int, seed: int) -> Shown:
    ready: View = view.prepare(pool) if hasattr(view, "prepare") else view
    generator = RowGenerator(derive(seed, "view", name), torch.from_numpy(index))
    drawn = [ready(data, generator) for _ in range(times)]
    for made in drawn:
        if made.shape[:2] != data.shape[:2] or made.ndim != data.ndim:
            raise InvalidParameter(f"`views` must give samples like those that they get; {name!r} gave {made.shape}.")
    return Shown(name, "view", repr(view), drawn)


def _negatives(
    name: str, objective: nn.Module, data: Tensor, pool: Tensor, index: IntArray, times: int, seed: int
) -> list[Shown]:
    made: Any = objective
    if hasattr(made, "prepare"):
        made.prepare(pool)
    generator = RowGenerator(derive(seed, "negatives", name), torch.from_numpy(index))
    with torch.no_grad():
        draws = [made.negatives(data, generator).split(len(data)) for _ in range(times)]
    kinds = getattr(made, "kinds", tuple(f"negatives {place + 1}" for place in range(len(draws[0]))))
    return [
        Shown(kind, "negative", f"one of the negatives of {name}", [draw[place] for draw in draws])
        for place, kind in enumerate(kinds)
    ]


def _html(n: int, shown: Sequence[Shown], checks: ViewChecks | None, drawing: Drawing) -> str:
    found = {} if checks is None else {(row.name, row.kind): row for row in checks}
    sections = [_section(place, part, found.get((part.name, part.kind)), drawing) for place, part in enumerate(shown)]
    measured = f"<p>There are fewer than {LEAST_SAMPLES} samples: too few to measure anything.</p>"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>Views of {n} samples</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>Views of {n} samples</h1>",
            "<p>A view should leave a normal sample normal, and change what does not matter. Look for views that no "
            "normal sample could look like, for views in which nothing has changed, and for one more thing, which "
            "no measurement without anomalies can tell: a view that makes an anomaly look normal.</p>",
            measured if checks is None else _summary(shown, checks),
            f'<p class="dim">{drawing.note}</p>',
            *sections,
            "</body>\n</html>\n",
        ]
    )


def _summary(shown: Sequence[Shown], checks: ViewChecks) -> str:
    places = {(part.name, part.kind): place for place, part in enumerate(shown)}
    heads = ("name", "verdict", "unchanged", "moved", "beyond 95%", "pairs found")
    classes = ("word", "word", "", "", "", "")
    head = "".join(f'<th class="{kind}">{title}</th>' for title, kind in zip(heads, classes, strict=True))
    rows = [
        f'<tr><td><a href="#v{places[row.name, row.kind]}">{escape(row.name)}</a>'
        f"{' <small>negative</small>' if row.kind == 'negative' else ''}</td>"
        f'<td class="word">{_badge(row)}</td><td>{share(row.unchanged)}</td><td>{number(row.moved)}</td>'
        f"<td>{share(row.beyond_95)}</td><td>{share(row.pairs_found)}</td></tr>"
        for row in checks
        if (row.name, row.kind) in places
    ]
    about = f"Measured in raw input: nearest neighbours fitted on {checks.n_fitted} samples, {checks.n_viewed} viewed."
    legend = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in _LEGEND.items())
    table = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    return f'{table}<dl>{legend}</dl><p class="dim">{about}</p>'


def _section(place: int, part: Shown, row: ViewCheck | None, drawing: Drawing) -> str:
    title = f"{escape(part.name)}{' (negative)' if part.kind == 'negative' else ''}"
    badge = "" if row is None else _badge(row)
    reason = "" if row is None else f"<p>{escape(row.reason)}</p>"
    return (
        f'<section id="v{place}"><header class="view"><h2>{title}</h2>{badge}</header>{reason}'
        f"<code>{escape(part.settings)}</code>\n{drawing.draw(part.drawn)}</section>"
    )


def _badge(row: ViewCheck) -> str:
    return f'<span class="badge {"fine" if row.verdict == "fine" else "off"}">{row.verdict}</span>'
