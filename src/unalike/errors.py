"""The exception tree.

::

    UnalikeError
    ├── InvalidInput (ValueError)       the data cannot be used
    ├── InvalidParameter (ValueError)   a setting cannot be used
    ├── NotFitted (ValueError, AttributeError) ── NotCalibrated
    ├── TrainingFailed (RuntimeError)   the network learned nothing, or the loss is not finite
    ├── CannotLoad (ValueError)         a model file is broken, foreign, newer or unsafe
    ├── CannotExport (ValueError)       a model cannot be written as ONNX, or would not give the same scores there
    ├── NotEnoughMemory (MemoryError)   what comes next would not fit, told before it is begun
    └── MissingExtra (ImportError)      an optional dependency is not installed

    UnalikeWarning (UserWarning)
    ├── TrainingWarning                 collapse, or training that did not help
    ├── InputWarning                    the data are usable, but look unlike what they are meant to be
    └── CalibrationWarning              too few calibration samples for the usual alarm rate

Every message says what must hold, what was found and what to do:
"`X` must be …; got …. Do …".
"""

from __future__ import annotations

import sys
import warnings


class UnalikeError(Exception):
    """Any error that unalike raises on purpose."""


class InvalidInput(UnalikeError, ValueError):
    """The data cannot be used: empty, wrong shape, unreadable, unseen column, NaN where not allowed."""


class InvalidParameter(UnalikeError, ValueError):
    """A setting cannot be used: unknown name, out of range, or not holdable by the data."""


class NotFitted(UnalikeError, ValueError, AttributeError):
    """A verb was called that needs `fit` first."""


class NotCalibrated(NotFitted):
    """A decision was asked for before any held-out normal data set the threshold."""


class TrainingFailed(UnalikeError, RuntimeError):
    """Training moved no weight, or its loss stopped being finite."""


class CannotLoad(UnalikeError, ValueError):
    """A model file is corrupted, truncated, foreign, of a newer format, or needs parts of the user's."""


class CannotExport(UnalikeError, ValueError):
    """A model cannot be written in another format, or gives other scores there; no file is left."""


class NotEnoughMemory(UnalikeError, MemoryError):
    """What comes next takes more memory than is free; nothing of it was begun."""


class MissingExtra(UnalikeError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""


class UnalikeWarning(UserWarning):
    """Any warning that unalike gives on purpose."""


class TrainingWarning(UnalikeWarning):
    """Training ended in a state that should be looked at: collapsed, or constant scores."""


class InputWarning(UnalikeWarning):
    """The data are usable, but look unlike what they are meant to be: on another scale than in training."""


class CalibrationWarning(UnalikeWarning):
    """There are too few calibration samples for the usual alarm rate."""


def tell(message: str, category: type[UnalikeWarning] = CalibrationWarning) -> None:
    """A warning that points at the line of the user's that led to it."""
    warnings.warn(message, category, stacklevel=_outside())


def _outside() -> int:
    """How many frames above `tell` the first one lies that is not of unalike."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("unalike."):
        depth, frame = depth + 1, frame.f_back
    return depth
