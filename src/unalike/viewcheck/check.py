"""The measurement: does a view keep a normal sample normal, move it enough, and leave it recognisable?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unalike.errors import InvalidInput
from unalike.scorers.neighbors import KNN
from unalike.seeding import RowGenerator, derive
from unalike.thresholds import Conformal
from unalike.types import FloatArray, Modality
from unalike.viewcheck.material import Material, gather, named_views, negative_makers
from unalike.viewcheck.results import ViewCheck, ViewChecks

_BATCH = 256
"""Pairs are looked for among so many samples, as in a batch of training."""

_LEAST_FOR_99 = 99


def check_views(
    X: Any,
    modality: str | Modality = "table",
    *,
    views: Any = None,
    objectives: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    encoder: Any = None,
    samples: int = 1000,
    seed: int = 0,
) -> ViewChecks:
    """Measure, without labels, whether views and negatives are fit for normal data.

    Half of the samples fit a floor detector, the distance to the nearest of them in raw input; the other half are
    viewed. The figures of each view are those of `ViewCheck`; how to read them, and what no check without
    labels can know, is told in docs/choosing-views.md.

    Parameters
    ----------
    X : folder, file, list, array or DataFrame
        Normal samples, at least 40; from 200 on the 99% figure is there too. Of series these are windows.
    modality : {"image", "series", "table", "text"} or Modality
        The kind of data. A Modality is not changed.
    views : View, callable, str, sequence or mapping, optional
        What `Detector(views=...)` takes: of a sequence each member is checked, and all together. A mapping names
        views to be checked one by one. None: the modality's default view.
    objectives : sequence, optional
        Those whose negatives are checked (they have a method ``negatives``); None: the modality's default
        ones, ``()``: none.
    groups : sequence of length n, optional
        Near-copies share a value. Without it near-copies on both sides make every view look too strong. Not for
        series, whose windows are grouped by stretches of time.
    encoder : EncoderSettings, nn.Module or str, optional
        In whose embedding is measured; it is not trained. None: raw input.
    samples : int
        At most so many are used, 40 or more.
    seed : int
        One seed gives one result.

    Returns
    -------
    ViewChecks
        One row per view, then one per kind of negative.

    Raises
    ------
    InvalidInput
        `X` is unusable, too small, holds only copies of one sample, or nearly all of it is one group.
    InvalidParameter
        A setting cannot be used, or a view changes the shape of its input.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from unalike import check_views
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> print(check_views(X[y == 1], "table"))  # doctest: +SKIP
    """
    material = gather(X, modality, samples=samples, groups=groups, encoder=encoder, seed=seed)
    ruler = _Ruler(material)
    rows = [ruler.view(name, view) for name, view in named_views(views, material.modality).items()]
    for name, objective in negative_makers(objectives, material.modality):
        rows += ruler.negatives(name, objective)
    return ViewChecks(tuple(rows), n_fitted=len(material.bank), n_viewed=len(material.held_out))


class _Ruler:
    """The floor detector, fitted, with the usual scores and the usual distance of neighbours."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._floor = KNN(k=1).fit(material.embed(material.bank))
        self._plain = material.embed(material.held_out)
        usual = self._floor.score(self._plain)
        if not (usual > 0).any():
            raise InvalidInput("`X` must hold different samples; got copies of one another. Give more kinds of normal.")
        self._p_values = Conformal(false_alarm_rate=0.05).fit(usual).p_values
        self._unit = float(np.median(usual[usual > 0]))

    def view(self, name: str, view: Any) -> ViewCheck:
        """Of one view, from two draws."""
        first, second = self._material.draw(view, name, 2)
        viewed, other = self._material.embed(first), self._material.embed(second)
        found = self._pairs_found(viewed, other)
        return ViewCheck(name=name, kind="view", settings=repr(view), pairs_found=found, **self._figures(first, viewed))

    def negatives(self, name: str, objective: Any) -> list[ViewCheck]:
        """One row per kind of negative."""
        if hasattr(objective, "prepare"):
            objective.prepare(self._material.bank)
        data = self._material.held_out
        generator = RowGenerator(derive(self._material.seed, "negatives", name), torch.arange(len(data)))
        with torch.no_grad():
            drawn = objective.negatives(data, generator)
        kinds = drawn.split(len(data))
        names = getattr(objective, "kinds", tuple(f"negatives {number + 1}" for number in range(len(kinds))))
        return [
            ViewCheck(
                name=kind,
                kind="negative",
                settings=repr(getattr(objective, "settings", name)),
                pairs_found=math.nan,
                **self._figures(made, self._material.embed(made)),
            )
            for kind, made in zip(names, kinds, strict=True)
        ]

    def _figures(self, made: Tensor, embedded: FloatArray) -> dict[str, float]:
        """What views and negatives have in common; all but `unchanged` of the changed samples only."""
        plain = self._material.held_out
        differs = (made != plain) & ~(made.isnan() & plain.isnan())
        changed = differs.flatten(1).any(dim=1).numpy()
        names = ("moved", "inside", "beyond_95", "beyond_99")
        if not changed.any():
            return {"unchanged": 1.0, **dict.fromkeys(names, math.nan)}
        p_values = self._p_values(self._floor.score(embedded[changed]))
        distance = np.linalg.norm(embedded[changed] - self._plain[changed], axis=1)
        enough = len(self._plain) >= _LEAST_FOR_99
        beyond_99 = float((p_values <= 0.01).mean()) if enough else math.nan
        figures = (np.median(distance) / self._unit, (p_values > 0.5).mean(), (p_values <= 0.05).mean(), beyond_99)
        return {"unchanged": float((~changed).mean()), **dict(zip(names, map(float, figures), strict=True))}

    def _pairs_found(self, first: FloatArray, second: FloatArray) -> float:
        """Share of first views whose nearest second view, of `_BATCH` samples, is that of their own sample."""
        first, second, group = first[:_BATCH], second[:_BATCH], self._material.group[:_BATCH]
        distance = torch.cdist(torch.from_numpy(first).double(), torch.from_numpy(second).double()).numpy()
        own = np.diagonal(distance).copy()
        distance[group[:, None] == group[None, :]] = np.inf
        return float((own <= distance.min(axis=1)).mean())
