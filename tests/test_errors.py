from __future__ import annotations

import inspect
import pickle
import warnings

import pytest

from unalike import errors

BUILT_IN = {
    "UnalikeError": Exception,
    "InvalidInput": ValueError,
    "InvalidParameter": ValueError,
    "NotFitted": AttributeError,
    "CannotExport": ValueError,
    "NotCalibrated": errors.NotFitted,
    "TrainingFailed": RuntimeError,
    "CannotLoad": ValueError,
    "MissingExtra": ImportError,
    "NotEnoughMemory": MemoryError,
    "UnalikeWarning": UserWarning,
    "TrainingWarning": errors.UnalikeWarning,
    "InputWarning": errors.UnalikeWarning,
    "CalibrationWarning": errors.UnalikeWarning,
}


def classes() -> dict[str, type]:
    return {
        name: one for name, one in vars(errors).items() if inspect.isclass(one) and one.__module__ == errors.__name__
    }


def test_the_table_above_is_complete() -> None:
    assert set(classes()) == set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_is_also_what_python_would_have_raised(name: str) -> None:
    assert issubclass(classes()[name], BUILT_IN[name])
    assert issubclass(classes()[name], errors.UnalikeWarning if name.endswith("Warning") else errors.UnalikeError)


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_is_drawn_in_the_tree_and_described(name: str) -> None:
    assert name in (errors.__doc__ or "")
    assert classes()[name].__doc__


def test_not_fitted_is_caught_as_scikit_learns() -> None:
    from sklearn.exceptions import NotFittedError

    assert set(NotFittedError.__mro__[1:3]) <= set(errors.NotFitted.__mro__)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(errors.InvalidInput("`X` must be …")))
    assert type(error) is errors.InvalidInput
    assert str(error) == "`X` must be …"


def test_warnings_can_be_silenced_as_one() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.UnalikeWarning)
        warnings.warn("too few", errors.CalibrationWarning, stacklevel=1)
