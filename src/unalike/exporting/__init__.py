"""A fitted detector as one ONNX file: pictures or rows in, scores and decisions out, without Python or torch.

`scoring` mirrors what judges an embedding, `deciding` what joins the branches and decides, `inputs` what a modality
does first; `writing` puts them together and proves that the file gives the detector's scores.
"""

from __future__ import annotations

from unalike.exporting.writing import export

__all__ = ["export"]
