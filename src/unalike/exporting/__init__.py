"""A fitted detector as one ONNX file: pictures, rows or windows in, scores and decisions out, without torch.

`scoring` mirrors what judges an embedding, `settling` what in an encoder ONNX lacks, `deciding` what joins the branches
and decides, `inputs`, `tables` and `windows` what a modality does first; `writing` puts them together, `describing`
tells what a reader must know, and `proving` that the file gives the detector's scores.
"""

from __future__ import annotations

from unalike.exporting.writing import export

__all__ = ["export"]
