"""Series: records of steps from one machine or many; every step gets a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unalike.data import Split
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.modalities import tunedseries
from unalike.modalities.blocks import split_blocks
from unalike.modalities.moments import center_and_scale
from unalike.modalities.ownscales import LEAST_WINDOWS, OwnScales
from unalike.modalities.prints import step_prints
from unalike.modalities.windows import Windows, cut, mean_over_windows
from unalike.plain import is_whole
from unalike.records import Records, naming
from unalike.records.grid import LONGEST_GAP
from unalike.records.intake import collected
from unalike.records.period import period_of
from unalike.records.raw import Learned
from unalike.types import Branch, FloatArray, IntArray, Schema, View

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = 20.0
_LEAST_AUTO, _OF_MANY = 64, 16
_LEAST_WINDOWS = 4
_SHORTEST = 8
_STRIDES, _STRIDES_OF_MANY = 16, 4
_BLOCK_WINDOWS = 8
_LEAST_BLOCKS = 5


@dataclass(kw_only=True)
class Series:
    """Records of one channel or many, regular in time; every step of a record is a sample.

    Parameters
    ----------
    time, entity : str, optional
        Columns of a table: when a row was measured, and of which machine, sensor or customer. A pandas
        ``DatetimeIndex`` is the time where `time` is None.
    ignore : sequence of str
        Columns that are no channels.
    step : float or str, optional
        Time between two steps, in the units of the time column or as ``"5min"``; None: the usual one of the training
        records. Steps that are not regular are brought to a grid (`unalike.records`).
    window : int or "auto"
        Steps that are looked at together. ``"auto"``: of one channel as many whole periods of the training records
        (`records.period`) as make at least 64 steps, of many channels 16, but at most a quarter of the longest record.
    stride : int, optional
        Steps from one window to the next, at most a window; None: a sixteenth of a window, of many channels a quarter,
        but at least 2.
    longest_gap : int
        Steps without a row that count as missing; after more a new segment of the record begins.
    most_windows : int
        Training takes at most so many windows, one of each of so many equal stretches, where there are more; an update
        then takes the same share of the new ones.
    scale : {"together", "entity"}
        Each channel is standardised by the training steps of all records together, or of each entity by its own, for
        machines of very different size. Entities with fewer training steps than two windows, or that training did not
        see, then have the scale of all together, and a warning names them.

    Attributes
    ----------
    learned_ : Learned
        Names of the channels, and the time between two steps where times are known.
    window_, stride_ : int
        What is used.
    center_, scale_ : ndarray
        ``(channels,)`` mean and standard deviation over the training steps; 1 for a constant channel.
    own_ : OwnScales or None
        Those of each entity, with ``scale="entity"``.
    share_ : float
        Of the windows of the training steps, those that `most_windows` lets train.

    Notes
    -----
    A missing value (NaN) is never filled: it is NaN in the tensors too. A window of which less than half was measured
    is not judged, and a step that no judged window covers scores 0 (or `Fusion.least`), as normal as can be. A record
    that is shorter than a window is one window, what it lacks before its first step missing.
    """

    time: str | None = None
    entity: str | None = None
    ignore: Sequence[str] = ()
    step: float | str | None = None
    window: int | Literal["auto"] = "auto"
    stride: int | None = None
    longest_gap: int = LONGEST_GAP
    most_windows: int = 4_000
    scale: Literal["together", "entity"] = "together"

    name = "series"
    fusion = "ratio"

    def __post_init__(self) -> None:
        if isinstance(self.ignore, str):
            raise InvalidParameter(f"`ignore` must be a sequence of names; got {self.ignore!r}. Use [{self.ignore!r}].")
        if self.window != "auto" and not is_whole(self.window, 2):
            raise InvalidParameter(f"`window` must be a number of steps, at least 2, or 'auto'; got {self.window!r}.")
        if self.stride is not None and not is_whole(self.stride, 1):
            raise InvalidParameter(f"`stride` must be a number of steps, at least 1, or None; got {self.stride!r}.")
        if not is_whole(self.longest_gap, 1):
            raise InvalidParameter(f"`longest_gap` must be a number of steps, at least 1; got {self.longest_gap!r}.")
        if not is_whole(self.most_windows, 2):
            raise InvalidParameter(f"`most_windows` must be a whole number of at least 2; got {self.most_windows!r}.")
        if self.scale not in ("together", "entity"):
            raise InvalidParameter(f"`scale` must be 'together' or 'entity'; got {self.scale!r}.")

    def check(self, X: Any) -> Records:
        """Read what may be one record or many, and bring it to a regular grid (`unalike.records.intake`).

        Raises
        ------
        InvalidInput
            As `unalike.records.intake.collected`.
        """
        records = collected(
            X,
            time=self.time,
            entity=self.entity,
            ignore=self.ignore,
            step=self.step,
            longest_gap=self.longest_gap,
            learned=getattr(self, "learned_", None),
        )
        if not isinstance(X, Records):  # who checks twice is told once
            self.tell_unknown([segment.entity for segment in records.segments])
        return records

    def tell_unknown(self, entities: Sequence[str]) -> None:
        """Warn of entities that have no scale of their own where each should."""
        own = getattr(self, "own_", None)
        if own is not None:
            own.warn_of_others(entities, "steps enough in training")

    def split(self, X: Records, reference: float, calibration: float) -> Split:
        """Blocks of steps that train, are compared with and calibrate (see `modalities.blocks`)."""
        self.planned_ = self._window(X)
        self.entities_ = tuple(dict.fromkeys(segment.entity for segment in X.segments))
        return split_blocks(X, self.planned_, reference, calibration)

    def fit(self, X: Records) -> Series:
        """Learn window, stride and the scale of each channel from training steps.

        Raises
        ------
        InvalidInput
            When nothing was measured.
        """
        # A window that the gaps were made for stays, though a part of the steps may have another period.
        self.window_ = getattr(self, "planned_", None) or self._window(X)
        values = np.concatenate([segment.values for segment in X.segments]).astype(np.float64)
        if np.isnan(values).all():
            raise InvalidInput("`X` must hold measured values to train on; got missing values only.")
        self.learned_ = Learned.of(X)
        self.center_, self.scale_ = center_and_scale(values, ["number"] * len(X.channels))
        strides = _STRIDES if len(X.channels) == 1 else _STRIDES_OF_MANY
        self.stride_ = min(self.stride or max(self.window_ // strides, 2), self.window_)
        self.own_ = self._own_scales(X) if self.scale == "entity" else None
        self.share_ = min(1.0, self.most_windows / max(len(cut(X, self.window_, self.stride_)), 1))
        return self

    @property
    def schema(self) -> Schema:
        """Shape ``(channels, window)``."""
        self._need_fit()
        return Schema((len(self.learned_.channels), self.window_))

    def cut(self, X: Records) -> tuple[Windows, IntArray]:
        """Overlapping windows, and ``(n_windows, 2)`` the steps that each covers."""
        self._need_fit()
        parts = cut(X, self.window_, self.stride_)
        return parts, parts.spans()

    def timing(self, parts: Windows) -> tuple[IntArray, IntArray]:
        """Where each window begins, ``(n_windows,)`` steps, and its block of time.

        Windows of two entities are further apart than any window is long. Blocks are eight windows long, or shorter
        so that there are five: whoever leaves out a block leaves out most of what overlaps with a window in it.
        """
        times = parts.times()
        longest = len(parts.records) // _LEAST_BLOCKS
        length = int(np.clip(longest, self.window_, _BLOCK_WINDOWS * self.window_))
        return times, times // length

    def timeline(self, X: Records) -> tuple[npt.NDArray[Any], IntArray]:
        """``(n,)`` each: the entity of each step, and its number in the record."""
        steps = [segment.start + np.arange(len(segment)) for segment in X.segments]
        return naming.entities(X), np.concatenate([np.zeros(0, dtype=np.int64), *steps])

    def fingerprints(self, X: Records) -> npt.NDArray[np.uint64]:
        """``(n,)``: each step's, together with those of a window before it."""
        parts = [step_prints(segment.values, self.window_) for segment in X.segments]
        if self.own_ is not None:
            parts = [one ^ self.own_.salt(segment.entity) for one, segment in zip(parts, X.segments, strict=True)]
        return np.concatenate([np.zeros(0, dtype=np.uint64), *parts])

    def whole(self, X: Records, positions: IntArray) -> IntArray:
        """The positions that are in runs of at least a window, or that are a whole segment."""
        complete = {(segment.entity, segment.start, len(segment)) for segment in X.segments}
        pieces = X[positions].segments
        lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        kept = [len(one) >= self.window_ or (one.entity, one.start, len(one)) in complete for one in pieces]
        return positions[np.repeat(np.array(kept, dtype=np.bool_), lengths)]

    def tensors(self, parts: Windows) -> Tensor:
        """``(n, channels, window)`` float32, standardised by the training steps; NaN where nothing was measured."""
        import torch

        self._need_fit()
        center, scale = self._units([parts.records.segments[number].entity for number in parts.segment.tolist()])
        with np.errstate(over="ignore"):
            cells = (parts.cells() - center) / scale
        return torch.from_numpy(np.clip(cells, -_LARGEST, _LARGEST).astype(np.float32))

    def join(self, scores: FloatArray, owner: IntArray, n: int) -> FloatArray:
        """``(n,)``: for each step the mean score of the windows that cover it; 0 where none does."""
        return mean_over_windows(scores, owner, n)

    def ids(self, X: Records) -> npt.NDArray[Any]:
        """When each step was, where times are known; else its number in the record."""
        return naming.names(X)

    def places(self) -> tuple[str, ...]:
        """The names of the channels (see `unalike.types.Places`; the samples there are windows)."""
        self._need_fit()
        return self.learned_.channels

    def spread(self, chosen: Tensor) -> Tensor:
        """``(n, channels, 1)``: all of the chosen channels."""
        return chosen[..., None]

    def contrasts(self, sample: Tensor, rows: Tensor) -> Tensor:
        """``(m, channels)``: the mean squared difference over the steps that both measured; 0 where there is none."""
        squared = (sample - rows).double().square()
        return squared.nanmean(dim=-1).nan_to_num(nan=0.0)

    def typical(self, rows: Tensor) -> Tensor:
        """Step by step the lower median of what ``(..., k, channels, window)`` windows measured."""
        middle: Tensor = rows.nanmedian(dim=-3).values
        return middle

    def values(self, X: Records) -> FloatArray:
        """``(n, channels)``: what was measured."""
        return np.concatenate([segment.values for segment in X.segments])

    def told(self, sample: Tensor, entity: str = "") -> FloatArray:
        """A ``(channels, window)`` window in the units of `X`, to a hundred-thousandth of each channel's deviation.

        With ``scale="entity"``: in the units of this entity, whoever's window it is.
        """
        center, scale = (both[0] for both in self._units([entity]))
        unit = 10.0 ** np.floor(np.log10(scale) - 5.0)
        values = sample.double().numpy() * scale + center
        return np.asarray(np.round(values / unit) * unit)

    def view(self) -> View:
        """A neighbouring window, jittered and scaled."""
        return tunedseries.view()

    def branches(self) -> tuple[Branch, ...]:
        """The pipeline of `modalities.tunedseries`."""
        self._need_fit()
        return tunedseries.branches(len(self.learned_.channels))

    def labelled_branches(self) -> tuple[Branch, ...]:
        """Beside `branches` where labelled anomalies are given."""
        return tunedseries.labelled_branches()

    def state(self) -> dict[str, Any]:
        """Channels, scales, window, stride and step."""
        self._need_fit()
        own: dict[str, Any] = {} if self.own_ is None else {"own": self.own_.state()}
        own |= {"share": self.share_} if self.share_ < 1.0 else {}
        return {
            "learned": self.learned_.state(),
            "center": self.center_,
            "scale": self.scale_,
            "window": self.window_,
            "stride": self.stride_,
            **own,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take what was saved."""
        self.learned_ = Learned.restored(state["learned"])
        self.center_, self.scale_ = state["center"], state["scale"]
        self.window_, self.stride_ = state["window"], state["stride"]
        self.own_ = OwnScales.restored(state["own"]) if "own" in state else None
        self.share_ = float(state.get("share", 1.0))

    def _own_scales(self, X: Records) -> OwnScales:
        least = LEAST_WINDOWS * self.window_
        own = OwnScales.learned(X, self.center_, self.scale_, least)
        given = getattr(self, "entities_", None) or [segment.entity for segment in X.segments]
        own.warn_of_others(given, f"{least} steps that train")
        return own

    def _units(self, entities: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Centre and scale, ``(n, channels, 1)`` for so many entities, or ``(1, channels, 1)`` where all share them."""
        if self.own_ is None:
            return self.center_[None, :, None], self.scale_[None, :, None]
        rows = self.own_.rows(entities)
        return self.own_.center[rows, :, None], self.own_.scale[rows, :, None]

    def _window(self, X: Records) -> int:
        if self.window != "auto":
            return int(self.window)
        wanted = _OF_MANY
        if len(X.channels) == 1:
            period = period_of(X)
            wanted = period * math.ceil(_LEAST_AUTO / period)
        longest = max(map(len, X.segments), default=0)
        return max(min(wanted, longest // _LEAST_WINDOWS), _SHORTEST)

    def _need_fit(self) -> None:
        if not hasattr(self, "stride_"):
            raise NotFitted("`Series` must be fitted first. Call `fit`.")
