"""An exported detector, read from its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from unalike_runtime import images, series, tables
from unalike_runtime.decisions import Decisions, Rule
from unalike_runtime.errors import CannotLoad

FORMAT_VERSION = 2
"""Of files that this version reads."""

_ROWS = 1024
_CELLS = 4_000_000


def load(path: str | os.PathLike[str], *, threads: int | None = None) -> Model:
    """Read what ``unalike.export`` wrote.

    Parameters
    ----------
    path : str or Path
        Of the ``.onnx`` file.
    threads : int, optional
        That compute one sample; None: as many as onnxruntime takes.

    Raises
    ------
    CannotLoad
        There is no such file, it is no exported detector, or it is of another format.
    """
    if not Path(path).is_file():
        raise CannotLoad(f"`path` must be a file that unalike.export wrote; got {str(path)!r}, which is none.")
    settings = onnxruntime.SessionOptions()
    if threads is not None:
        settings.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(Path(path), settings, providers=["CPUExecutionProvider"])
        told = dict(session.get_modelmeta().custom_metadata_map)
    except Exception as error:
        raise CannotLoad(f"{str(path)!r} must be an ONNX file that onnxruntime runs; it says: {error}") from error
    if "unalike_format" not in told:
        raise CannotLoad(f"{str(path)!r} must be a file that unalike.export wrote; it does not say that it is one.")
    if json.loads(told["unalike_format"]) != FORMAT_VERSION:
        raise CannotLoad(
            f"{str(path)!r} must have format {FORMAT_VERSION}; got {told['unalike_format']}. Export the detector again "
            "with the unalike that goes with this unalike-runtime."
        )
    return Model(session, {name: json.loads(value) for name, value in told.items()})


class Model:
    """A detector that scores and decides as the one that was exported.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Of the file.
    told : mapping
        Its metadata.

    Attributes
    ----------
    modality : str
        ``"image"``, ``"table"`` or ``"series"``.
    threshold : float
        The largest score that is still normal.
    false_alarm_rate : float or None
        That the threshold promises on normal data.
    told : mapping
        All that the file says of itself.
    """

    def __init__(self, session: Any, told: Mapping[str, Any]) -> None:
        self.told = told
        self.modality: str = told["modality"]
        self.threshold = float(told["threshold"])
        self.false_alarm_rate: float | None = told["false_alarm_rate"]
        self._session = session
        self._name: str = session.get_inputs()[0].name
        self._outputs: list[str] = [output.name for output in session.get_outputs()]

    def __repr__(self) -> str:
        return f"Model({self.modality}, threshold {self.threshold:.4g})"

    def detect(self, X: Any) -> Decisions:
        """Decide which samples are anomalies.

        Parameters
        ----------
        X
            Images: an array, a list of paths, PIL images or arrays, or a folder. Tables: an array, a frame, a mapping
            of columns, or a list of mappings. Series: an array ``(steps, channels)``, a frame, or many of them in a
            list or by name.

        Raises
        ------
        InvalidInput
            Something that the model cannot judge.
        """
        told = self.told["input"]
        if self.modality == "series":
            return self._of_series(series.records(X, told), told)
        if self.modality == "table":
            rows, ids = tables.rows(X, told)
            return self._decided(ids, [self._run(part) for part in _parts(rows)])
        found = images.found(X)
        return self._decided(found.ids, [self._run(batch) for batch in images.batches(found, told)])

    def _of_series(self, records: series.Records, told: Mapping[str, Any]) -> Decisions:
        rule = Rule.read(self.threshold, self.told["decision"])
        cut = series.windows(records, told)
        scored = [self._run(cut.cells(part, told))["scores"] for part in _positions(cut, told)]
        of_windows = np.concatenate([np.zeros(0), *scored])
        scores = series.of_steps(of_windows, cut.spans, records.n, rule.least)
        p_values, found = rule.decide(scores)
        return Decisions(records.ids, scores, p_values, found, self.threshold, records.entities)

    def _run(self, data: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._name: data}), strict=True))

    def _decided(self, ids: npt.NDArray[Any], found: list[dict[str, npt.NDArray[Any]]]) -> Decisions:
        def joined(name: str) -> npt.NDArray[Any]:
            return np.concatenate([part[name] for part in found])

        scores = joined("scores")
        p_values = joined("p_values") if "p_values" in self._outputs else np.full(len(scores), np.nan)
        return Decisions(ids, scores, p_values, joined("is_anomaly"), self.threshold)


def _parts(rows: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]


def _positions(cut: series.Windows, told: Mapping[str, Any]) -> list[npt.NDArray[np.int64]]:
    at_once = int(np.clip(_CELLS // (told["window"] * len(told["channels"])), 1, _ROWS))
    return [np.arange(start, min(start + at_once, len(cut.start))) for start in range(0, len(cut.start), at_once)]
