"""TSB-AD and stumpy, from the folder that ``make series-peers`` fills.

They are installed there without what they ask for: TSB-AD wants NumPy < 2, but its metrics, the only part that is
used, run with any; stumpy runs with the numba that PyOD brings. TSB-AD's metric takes seconds per series in Python.
So its own source, word for word but for `self` and the names of two dtypes, is written to a file that numba compiles;
`prepare` asserts that both give the same.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import textwrap
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from unalike.types import FloatArray, IntArray

FOLDER = Path(__file__).parent.parent / ".venv-series"
PRELOAD = ("stumpy", "stumpy.core", "stumpy.stump", "TSB_AD.evaluation.basic_metrics", "tsb_ad_compiled")

_COMPILED = ("core", "stump")
_MODULE = "tsb_ad_compiled"
_SAME = 1e-12
_FUNCTIONS = ("new_sequence", "sequencing", "RangeAUC_volume_opt_mem")
_CHANGES = {
    "self.range_convers_new(labels_original)": "segments",
    "(self, label,": "(label,",
    "(self, x,": "(x,",
    "(self, labels_original": "(segments, labels_original",
    "self.": "",
    "astype(int)": "astype(np.int64)",
    "astype(float)": "astype(np.float64)",
}


def missing() -> str | None:
    """What is missing, and what to do; None when all is there."""
    if (FOLDER / ".ready").exists():
        return None
    return f"VUS-PR comes from TSB-AD, and the matrix profile from stumpy, in {FOLDER}. Run `make series-peers` first."


def reach() -> None:
    """Let this process, and those that it starts, import from the folder; ours come first."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))


def tsb_metrics() -> Any:
    """TSB-AD's ``basic_metricor``."""
    reach()
    return importlib.import_module("TSB_AD.evaluation.basic_metrics").basic_metricor()


def range_auc_volume(label: IntArray, scores: FloatArray, buffer: int, thresholds: int) -> tuple[Any, ...]:
    """TSB-AD's ``RangeAUC_volume_opt_mem``, compiled."""
    ranges = tsb_metrics().range_convers_new(label)
    values: tuple[Any, ...] = importlib.import_module(_MODULE).RangeAUC_volume_opt_mem(
        ranges, label, scores, buffer, thresholds
    )
    return values


def stumpy() -> ModuleType:
    """The library, on as many threads as are allowed, its compiled functions read from the disk.

    Compiling takes a minute, and each job is a process of its own.
    """
    reach()
    numba: Any = importlib.import_module("numba")

    numba.set_num_threads(min(int(os.environ.get("OMP_NUM_THREADS", "1")), numba.config.NUMBA_NUM_THREADS))
    library = importlib.import_module("stumpy")
    cache = importlib.import_module("stumpy.cache")
    for module, function in cache.get_njit_funcs():
        if module in _COMPILED:
            getattr(importlib.import_module(f"stumpy.{module}"), function).enable_caching()
    return library


def prepare() -> None:
    """What ``make series-peers`` runs once: compile, and see that all is well.

    Raises
    ------
    RuntimeError
        When TSB-AD's metric and the compiled one differ.
    """
    reach()
    parts = [textwrap.dedent(inspect.getsource(getattr(type(tsb_metrics()), name))) for name in _FUNCTIONS]
    source = "import numpy as np\nfrom numba import njit\n"
    for part in parts:
        for old, new in _CHANGES.items():
            part = part.replace(old, new)
        source += f'\n\n@njit(cache=True, error_model="numpy")\n{part}'
    (FOLDER / f"{_MODULE}.py").write_text(source)
    importlib.invalidate_caches()
    generator = np.random.default_rng(0)
    for steps, buffer, lengths in ((300, 4, (9,)), (2_000, 40, (1, 30, 200)), (2_000, 41, (50, 50))):
        scores, label = generator.normal(size=steps), np.zeros(steps, dtype=np.int64)
        for first, length in zip(generator.integers(steps - 200, size=len(lengths)), lengths, strict=True):
            label[first : first + length] = 1
        theirs = tsb_metrics().RangeAUC_volume_opt_mem(label, scores, buffer)[-2:]
        if not np.allclose(range_auc_volume(label, scores, buffer, 250)[-2:], theirs, rtol=0, atol=_SAME):
            raise RuntimeError("TSB-AD's metric must give the same compiled; it does not with these versions.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stumpy().stump(scores[:64], 8, T_B=scores[64:128], ignore_trivial=False)
        stumpy().stump(scores[:64], 8)
    (FOLDER / ".ready").touch()


if __name__ == "__main__":
    prepare()
