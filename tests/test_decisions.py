from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from unalike.decisions import Decisions, Explanation, Explanations, Part
from unalike.errors import InvalidParameter
from unalike.events import Event


def made(ids: Any = None, **changed: Any) -> Decisions:
    arguments = {
        "ids": np.array(["a.png", "b.png", "c.png"]) if ids is None else ids,
        "scores": np.array([0.5, 2.0, -1.0]),
        "p_values": np.array([0.4, 0.01, np.nan]),
        "is_anomaly": np.array([False, True, False]),
        "threshold": 1.25,
        "false_alarm_rate": 0.05,
    }
    return Decisions(**{**arguments, **changed})


def test_decisions_are_frozen_and_their_arrays_read_only() -> None:
    decisions = made()
    with pytest.raises(dataclasses.FrozenInstanceError):
        decisions.threshold = 0.0  # type: ignore[misc]
    for name in ("ids", "scores", "p_values", "is_anomaly"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(decisions, name)[0] = 1


def test_decisions_leave_the_given_arrays_writeable() -> None:
    scores = np.array([0.5, 2.0, -1.0])
    made(scores=scores)
    scores[0] = 9.0
    assert scores.flags.writeable


def test_decisions_of_read_only_arrays() -> None:
    ids = np.arange(3)
    ids.setflags(write=False)
    assert made(ids).to_dict()["id"].tolist() == [0, 1, 2]


def test_length_and_print() -> None:
    assert len(made()) == 3
    assert repr(made()) == "Decisions(1 of 3 anomalous, threshold 1.25, false-alarm rate 0.05)"
    assert repr(made(false_alarm_rate=None)).endswith("threshold 1.25, no stated rate)")


def test_dict_has_the_columns_of_the_command_line() -> None:
    columns = made().to_dict()
    assert list(columns) == ["id", "score", "p_value", "is_anomaly"]
    assert columns["score"].tolist() == [0.5, 2.0, -1.0]


@pytest.mark.parametrize(
    ("backend", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)]
)
@pytest.mark.parametrize(
    "ids",
    [
        np.array(["a", "b", "c"]),
        np.array(["a", "b", "c"], dtype=object),
        np.arange(3),
        np.array(["2024-01-01", "2024-01-02", "2024-01-03"], dtype="datetime64[ns]"),
    ],
)
def test_frames_hold_the_same_rows_in_every_library(backend: Any, kind: type, ids: np.ndarray[Any, Any]) -> None:
    frame = made(ids).to_frame(backend)
    assert isinstance(frame, kind)
    table = nw.from_native(frame, eager_only=True)
    assert table.columns == ["id", "score", "p_value", "is_anomaly"]
    np.testing.assert_array_equal(table["id"].to_numpy(), ids)
    np.testing.assert_array_equal(table["score"].to_numpy(), [0.5, 2.0, -1.0])
    np.testing.assert_array_equal(table["p_value"].to_numpy(), [0.4, 0.01, np.nan])
    assert table["is_anomaly"].dtype == nw.Boolean
    assert table["is_anomaly"].to_list() == [False, True, False]


def test_a_frame_is_the_users_own() -> None:
    decisions = made()
    frame = decisions.to_frame()
    frame.loc[0, "score"] = 99.0
    assert decisions.scores[0] == 0.5


def test_unknown_library() -> None:
    with pytest.raises(
        InvalidParameter, match=r"`backend` must be one of \['pandas', 'polars', 'pyarrow'\]; got 'dask'"
    ):
        made().to_frame("dask")  # type: ignore[arg-type]


def test_library_that_is_not_installed() -> None:
    program = (
        "import sys; sys.modules['polars'] = None\n"
        "import numpy as np; from unalike import Decisions\n"
        "one = np.ones(1)\n"
        "decisions = Decisions(one, one, one, one, 0.0, None)\n"
        "print(decisions.to_frame('pyarrow').num_rows)\n"
        "decisions.to_frame('polars')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert run.stdout.strip() == "1"
    error = run.stderr.strip().splitlines()[-1]
    assert error == (
        "unalike.errors.MissingExtra: A polars frame needs polars. Install it, or use to_frame('pyarrow'), "
        "which is always there."
    )


def test_events_and_explanations_are_frozen_values() -> None:
    event = Event(record="r", start=3, end=5, score=2.0, p_value=0.01)
    assert event == Event("r", 3, 5, 2.0, 0.01)
    part = Part(place="column age", share=0.7, value=93, usual="20 to 60")
    explanation = Explanation(id="7", score=3.0, parts=(part,), nearest=("1", "4"))
    assert explanation.picture is None
    assert explanation.mask is None
    for value, name in ((event, "score"), (part, "share"), (explanation, "parts")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_explanations_of_many_have_a_short_repr_that_shows_the_first() -> None:
    one = Explanation("host: 5 to 9", 3.14159, (Part("load", 0.75, 9.0, 1.0),), ("host: 0",), np.zeros((1000, 40)))
    assert repr(Explanations((one,) * 500)) == "Explanations(500, the first: host: 5 to 9, score 3.142, load 0.75)"
    assert repr(Explanations((dataclasses.replace(one, parts=()),))).endswith("score 3.142, no cause)")
    assert repr(Explanations(())) == "Explanations(none)"
