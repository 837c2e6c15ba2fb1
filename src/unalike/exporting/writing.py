"""From a fitted detector to an ONNX file that gives its scores."""

from __future__ import annotations

import copy
import json
import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unalike import __version__
from unalike.branch import FittedBranch
from unalike.detector import Detector
from unalike.embeddings import floating_type
from unalike.encoders.mirrored import MirroredEncoder
from unalike.errors import CannotExport, InvalidParameter, MissingExtra
from unalike.exporting.deciding import Decided, Fused, counted_branches, decided
from unalike.exporting.inputs import ImageInput, Input, Layout, Pixels, fed_examples, input_of
from unalike.exporting.proving import prove
from unalike.exporting.scoring import scoring_module
from unalike.ready import check_detector
from unalike.types import Collection
from unalike.writing import whole_file

FORMAT_VERSION = 1
"""Of the graph's inputs, outputs and metadata."""


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
        Fitted and calibrated, of images or of numeric tables; its device does not matter.
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
    Input ``images`` or ``rows`` ``(n, columns)`` float64, NaN = missing. Outputs, ``(n,)`` each: ``scores`` float64,
    ``p_values`` float64 where the threshold ranks scores (conformal, quantile), ``is_anomaly`` bool. Metadata:
    ``unalike_format``, ``unalike_version``, ``modality``, ``shape``, ``branches``, ``threshold``,
    ``false_alarm_rate``, as JSON values.

    The graph holds the scorer's bank, which for raw pixels is the training images.
    """
    target = _target(path)
    check_detector(detector, "to be exported", calibrated=True)
    _check_installed()
    source = input_of(detector.modality_, ImageInput(pixels=pixels, layout=layout, resize=resize))
    graph = Graph(detector, source.module)
    samples = source.drawn if examples is None else fed_examples(source, detector.modality_, examples)
    model = _traced(graph, source)
    _describe(model, detector, graph)
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
    prepare : Module
        Raw input to encoded samples.
    """

    def __init__(self, detector: Detector, prepare: nn.Module) -> None:
        super().__init__()
        names = counted_branches(detector.fusion_)
        by_name = {branch.settings.name: branch for branch in detector.branches_}
        self.prepare = prepare
        self.lines = nn.ModuleList(Line(by_name[name]) for name in names)
        self.fuse = Fused(detector.fusion_, names)
        self.decide: Decided = decided(detector.threshold_)

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` gives."""
        return ["scores", *self.decide.outputs]

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        """As `outputs` says."""
        data = self.prepare(raw)
        scores = self.fuse([line(data) for line in self.lines])
        return (scores, *self.decide(scores))


class Line(nn.Module):
    """One branch: encoder and scorer."""

    def __init__(self, branch: FittedBranch) -> None:
        super().__init__()
        self.encoder = _settled(copy.deepcopy(branch.judge.encoder).to("cpu").eval())
        self.by_place = bool(getattr(branch.judge.scorer, "judges_places", False))
        self.dtype = floating_type(self.encoder)
        self.scorer = scoring_module(branch.judge.scorer, f"branch {branch.settings.name!r}")

    def forward(self, data: Tensor) -> Tensor:
        """Scores ``(n,)``."""
        data = data.to(self.dtype)
        embeddings = self.encoder.locations(data) if self.by_place else self.encoder(data)  # type: ignore[operator]
        scores: Tensor = self.scorer(embeddings)
        return scores


def _settled(encoder: nn.Module) -> nn.Module:
    """An encoder whose graph does not hang on what is in its buffers."""
    for part in encoder.modules():
        if isinstance(part, MirroredEncoder):
            mirrors = bool(part.mirrors)
            del part.mirrors
            part.mirrors = mirrors  # type: ignore[assignment]
    return encoder


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


def _describe(model: Any, detector: Detector, graph: Graph) -> None:
    rate = detector.threshold_.false_alarm_rate_
    described = {
        "unalike_format": FORMAT_VERSION,
        "unalike_version": __version__,
        "modality": detector.modality_.name,
        "shape": list(detector.modality_.schema.shape),
        "branches": counted_branches(detector.fusion_),
        "threshold": graph.decide.limit,
        "false_alarm_rate": None if rate is None else float(rate),
    }
    model.producer_name, model.producer_version = "unalike", __version__
    for name, value in described.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, json.dumps(value)


def _serialized(model: Any) -> bytes:
    try:
        data: bytes = model.SerializeToString()
    except ValueError as error:
        raise CannotExport(
            f"`detector` must fit into one ONNX file, which holds 2 GB; it does not: {error}. Give the scorer a "
            "smaller bank, such as KNN(most_rows=10_000)."
        ) from error
    return data
