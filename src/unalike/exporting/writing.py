"""From a fitted detector to an ONNX file that gives its scores."""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike.branch import FittedBranch
from unalike.detector import Detector
from unalike.embeddings import floating_type
from unalike.errors import CannotExport, InvalidParameter, MissingExtra
from unalike.exporting.deciding import Fused, counted_branches, decided
from unalike.exporting.describing import describe
from unalike.exporting.inputs import ImageInput, Input, Layout, Pixels, fed_examples, input_of
from unalike.exporting.proving import prove
from unalike.exporting.scoring import scoring_module
from unalike.exporting.settling import settled
from unalike.judging import judges_places
from unalike.ready import check_detector
from unalike.types import Collection
from unalike.writing import whole_file


def export(
    detector: Detector,
    path: str | os.PathLike[str],
    *,
    pixels: Pixels = "uint8",
    layout: Layout = "channels-last",
    resize: bool = False,
    examples: Collection = None,
) -> Path:
    """Write a fitted detector as one ONNX file, from raw input to decision, and prove that it gives the same.

    Parameters
    ----------
    detector : Detector
        Fitted and calibrated, of images, tables or series; its device does not matter.
    path : str or Path
        Ends in ``.onnx``. A file in its place is replaced, once the new one has been proven.
    pixels : {"uint8", "uint16", "float32"}
        Images: the type that the graph takes. Whole numbers are scaled as in `modalities.Image`; floats are taken as
        they are.
    layout : {"channels-last", "channels-first"}
        Images: ``(n, height, width, channels)`` or ``(n, channels, height, width)``.
    resize : bool
        Images: take any height and width, the same for all images of a call, and resize them inside the graph as
        `modalities.Image` does. False: they have the size that the model was fitted on.
    examples : as `Detector.fit` takes, optional
        Up to 8 of these samples prove that the file gives the detector's scores; nothing of them is kept. None:
        drawn ones. Give some normal samples: drawn ones lie far from them.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    NotFitted, NotCalibrated
        Before anything is written.
    InvalidParameter
        A setting is unknown, or no file can be written there.
    CannotExport
        Something in the detector cannot be put into a graph, or onnxruntime gives another score (by more than 1e-4 of
        it) or decision. No file is left, and one that was there stays.
    MissingExtra
        onnx, onnxscript or onnxruntime is not installed.

    Notes
    -----
    Inputs: ``images``; of tables ``rows`` ``(n, numbers)`` float64, NaN = missing, in which categories are codes and
    dates their sines and cosines; of series ``windows`` ``(n, length, channels)`` float64, NaN = missing. Outputs,
    ``(n,)`` each: ``scores`` float64, ``p_values`` float64 where the threshold ranks scores (conformal, quantile),
    ``is_anomaly`` bool; of series ``scores`` of windows alone. Metadata, as JSON values: ``unalike_format``,
    ``unalike_version``, ``modality``, ``shape``, ``branches``, ``threshold``, ``false_alarm_rate``, ``input``, what
    makes ``rows`` and ``windows`` of a user's data, and of series ``decision``. The distribution ``unalike-runtime``
    does that, and joins windows to steps (docs/export.md).

    The graph holds the scorer's bank, which for raw pixels is the training images.
    """
    target = _target(path)
    check_detector(detector, "to be exported", calibrated=True)
    _check_installed()
    source = input_of(detector.modality_, ImageInput(pixels=pixels, layout=layout, resize=resize))
    graph = Graph(detector, source)
    samples = source.drawn if examples is None else fed_examples(source, detector.modality_, examples)
    model = _traced(graph, source)
    describe(model, detector, source, graph.branches)
    with whole_file(target) as file:
        file.write_bytes(_serialized(model))
        prove(detector, file, source, samples)
    return target


class Graph(nn.Module):
    """The scoring path of a detector: raw input to scores and decisions.

    Parameters
    ----------
    detector : Detector
        Fitted and calibrated; it is copied where it must be changed.
    source : Input
        How it begins.
    """

    def __init__(self, detector: Detector, source: Input) -> None:
        super().__init__()
        self.branches = counted_branches(detector.fusion_)
        by_name = {branch.settings.name: branch for branch in detector.branches_}
        self.prepare = source.module
        self.lines = nn.ModuleList(Line(by_name[name]) for name in self.branches)
        self.fuse = Fused(detector.fusion_, self.branches)
        decide = decided(detector.threshold_)
        self.decide = None if source.joins else decide

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` gives."""
        return ["scores", *([] if self.decide is None else self.decide.outputs)]

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        """As `outputs` says."""
        data = self.prepare(raw)
        scores = self.fuse([line(data) for line in self.lines])
        return (scores,) if self.decide is None else (scores, *self.decide(scores))


class Line(nn.Module):
    """One branch: encoder and scorer."""

    def __init__(self, branch: FittedBranch) -> None:
        super().__init__()
        self.encoder = settled(branch.judge.encoder)
        self.by_place = judges_places(branch.judge.scorer)
        self.dtype = floating_type(self.encoder)
        self.scorer = scoring_module(branch.judge.scorer, f"branch {branch.settings.name!r}")

    def forward(self, data: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        data = data.to(self.dtype)
        embeddings = self.encoder.locations(data) if self.by_place else self.encoder(data)  # type: ignore[operator]
        scores: Tensor = self.scorer(embeddings)
        return scores


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.suffix.lower() != ".onnx":
        raise InvalidParameter(f"`path` must end in .onnx; got {str(path)!r}. Name it model.onnx.")
    if not target.parent.is_dir() or target.is_dir():
        raise InvalidParameter(
            f"`path` must be a file in an existing folder; got {str(path)!r}. Make the folder first."
        )
    return target


def _check_installed() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ImportError as error:
            raise MissingExtra(f"`export` needs {name}. Install 'unalike[onnx]'.") from error


def _traced(graph: Graph, source: Input) -> Any:
    """The ONNX model, in memory."""
    raw = torch.from_numpy(np.ascontiguousarray(source.drawn[:2]))
    free = {axis: torch.export.Dim(name) for axis, name in enumerate(source.varying)}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter about its own future
            program: Any = torch.onnx.export(
                graph,
                (raw,),
                dynamo=True,
                input_names=[source.name],
                output_names=graph.outputs,
                dynamic_shapes=(free,),
                verbose=False,
            )
    except Exception as error:
        raise CannotExport(
            "`detector` must have encoders that torch can write as ONNX; it has one that is refused: "
            f"{_short(error)}. Leave that branch out with switch_off=, or save the detector."
        ) from error
    return program.model_proto


def _short(error: BaseException) -> str:
    """The first cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300]}" if lines else type(error).__name__


def _serialized(model: Any) -> bytes:
    try:
        data: bytes = model.SerializeToString()
    except ValueError as error:
        raise CannotExport(
            f"`detector` must fit into one ONNX file, which holds 2 GB; it does not: {error}. Give the scorer a "
            "smaller bank, such as KNN(most_rows=10_000)."
        ) from error
    return data
