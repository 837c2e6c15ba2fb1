"""Does the file give the detector's scores? Asked of onnxruntime, before the file takes its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unalike.detector import Detector
from unalike.errors import CannotExport
from unalike.exporting.inputs import Input
from unalike.exporting.scoring import median_size
from unalike.judging import score_parts
from unalike.types import FloatArray, Threshold

TOLERANCE = 1e-4
"""Largest difference of a score, relative to it; or to the median reference score, where it is less than that."""


@dataclass(frozen=True)
class Expected:
    """What may come out of the graph for some samples, ``(n,)`` each.

    The tail of a score jumps where it passes the largest reference score, and a p-value at each calibration score. So
    a fused score may be anything between those of branch scores that are wrong by the tolerance.
    """

    scores: FloatArray
    low: FloatArray
    high: FloatArray


def prove(detector: Detector, file: Path, source: Input, samples: npt.NDArray[Any]) -> None:
    """Compare onnxruntime's results with the detector's, for the samples together and for the first one alone.

    Raises
    ------
    CannotExport
        When they differ.
    """
    found = ran(file, source.name, samples)
    alone = ran(file, source.name, samples[:1])
    expected = expect(detector, source, samples)
    compare(detector.threshold_, expected, found)
    compare(detector.threshold_, Expected(expected.scores[:1], expected.low[:1], expected.high[:1]), alone)


def ran(file: Path, name: str, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """The outputs of the graph on a CPU, by name."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {name: samples}), strict=True))
    except Exception as error:
        raise CannotExport(
            f"The exported file must run in onnxruntime; it does not: {str(error)[:300]}. Leave the branch that "
            "cannot be exported out with switch_off=, or save the detector."
        ) from error


def expect(detector: Detector, source: Input, samples: npt.NDArray[Any]) -> Expected:
    """The detector's scores for what is fed to the graph, from raw input on."""
    fusion, data = detector.fusion_, source.encoded(samples)
    by_branch = score_parts(
        {branch.settings.name: branch.judge for branch in detector.branches_},
        lambda positions: data[torch.from_numpy(positions)],
        len(samples),
        torch.device("cpu"),
    )
    off = {name: _allowed(scores, fusion.references_[name]) for name, scores in by_branch.items()}
    scores = fusion.score(by_branch)
    off_fused = _allowed(scores, detector.calibration_scores_)
    low = fusion.score({name: values - off[name] for name, values in by_branch.items()})
    high = fusion.score({name: values + off[name] for name, values in by_branch.items()})
    return Expected(scores, np.minimum(low, scores - off_fused), np.maximum(high, scores + off_fused))


def compare(threshold: Threshold, expected: Expected, found: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse other scores, p-values and decisions than expected.

    Raises
    ------
    CannotExport
        When there are some.
    """
    scores = found["scores"]
    wrong = ~((scores >= expected.low) & (scores <= expected.high))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise CannotExport(
            f"The exported file must give the detector's scores; {int(wrong.sum())} of {len(scores)} differ, the first "
            f"is {scores[at]:.6g} where {expected.scores[at]:.6g} was expected. Update torch, onnxscript and "
            "onnxruntime, or leave the branch that differs out with switch_off=."
        )
    if "is_anomaly" not in found:
        return
    sure = (expected.low > threshold.threshold_) == (expected.high > threshold.threshold_)
    off = sure & (found["is_anomaly"] != threshold.is_anomaly(expected.scores))
    if "p_values" in found:
        most, least = threshold.p_values(expected.low), threshold.p_values(expected.high)
        off |= ~((found["p_values"] >= least - TOLERANCE) & (found["p_values"] <= most + TOLERANCE))
    if off.any():
        raise CannotExport(
            f"The exported file must decide as the detector does; it decides otherwise on {int(off.sum())} of "
            f"{len(scores)} samples with equal scores. Calibrate with threshold='conformal', or save the detector."
        )


def _allowed(scores: FloatArray, reference: FloatArray) -> FloatArray:
    return np.asarray(TOLERANCE * np.maximum(np.abs(scores), median_size(reference)))
