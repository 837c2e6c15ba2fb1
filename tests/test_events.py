from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unalike.decisions import Decisions
from unalike.errors import InvalidParameter


def decided(flags: str, *, entities: str | None = None, steps: Any = None, p_values: Any = None) -> Decisions:
    """One step per character: ``#`` an anomaly, ``-`` in question (p = .05), ``.`` normal."""
    p = np.array([{"#": 0.01, "-": 0.05, ".": 0.5}[flag] for flag in flags]) if p_values is None else p_values
    return Decisions(
        ids=np.array([f"t{number}" for number in range(len(flags))]),
        scores=1.0 - p,
        p_values=p,
        is_anomaly=np.array([flag == "#" for flag in flags]),
        threshold=0.9,
        false_alarm_rate=0.02,
        entities=np.array(list(entities or "")) if entities else np.array([""] * len(flags)),
        steps=np.arange(len(flags)) if steps is None else np.array(steps),
    )


def spans(decisions: Decisions, **settings: Any) -> list[tuple[str, int, int]]:
    return [(event.record, event.start, event.end) for event in decisions.events(**settings)]


def test_runs_are_events() -> None:
    assert spans(decided("..##.#...###")) == [("", 2, 4), ("", 5, 6), ("", 9, 12)]
    assert spans(decided("....")) == []
    assert spans(decided("####")) == [("", 0, 4)]


def test_near_runs_join_and_short_ones_fall() -> None:
    steps = decided("..##.#...###.#")
    assert spans(steps, merge=1) == [("", 2, 6), ("", 9, 14)]
    assert spans(steps, shortest=2) == [("", 2, 4), ("", 9, 12)]
    assert spans(steps, merge=1, shortest=5) == [("", 9, 14)]
    assert spans(steps, merge=3) == [("", 2, 14)]


def test_an_alarm_holds_while_steps_stay_in_question_and_does_not_begin_before() -> None:
    steps = decided("--#--.--.#-#--.-#")
    assert spans(steps) == [("", 2, 3), ("", 9, 10), ("", 11, 12), ("", 16, 17)]
    assert spans(steps, hold=0.1) == [("", 2, 5), ("", 9, 14), ("", 16, 17)]


def test_hold_is_as_a_slow_twin() -> None:
    rng = np.random.default_rng(0)
    p = rng.choice([0.01, 0.05, 0.5], 400)
    entities = "".join("ab"[number >= 170] for number in range(400))
    steps = decided("".join({0.01: "#", 0.05: "-", 0.5: "."}[value] for value in p), entities=entities)
    inside, on = [], False
    for number, value in enumerate(p):
        if number == 170:
            on = False
        on = value == 0.01 or (on and value <= 0.1)
        inside.append(on)
    counted = sum(event.end - event.start for event in steps.events(hold=0.1))
    assert counted == sum(inside)


def test_events_do_not_cross_records_or_breaks() -> None:
    assert spans(decided("####", entities="aabb")) == [("a", 0, 2), ("b", 2, 4)]
    assert spans(decided("####", steps=[0, 1, 7, 8])) == [("", 0, 2), ("", 7, 9)]
    assert spans(decided("##--", steps=[0, 1, 7, 8]), hold=0.1) == [("", 0, 2)]
    assert spans(decided("####", steps=[0, 1, 4, 5]), merge=2) == [("", 0, 6)]


def test_an_event_tells_its_peak_and_the_ids_of_its_ends() -> None:
    p = np.array([0.5, 0.01, 0.002, 0.01, 0.5])
    event = decided(".###.", p_values=p).events()[0]
    assert (event.peak, event.p_value, event.score) == (2, 0.002, 0.998)
    assert (event.first, event.last) == ("t1", "t3")
    frame = decided(".###.", p_values=p).events().to_frame()
    assert list(frame.columns) == ["entity", "first", "last", "start", "end", "peak", "score", "p_value"]
    assert frame.iloc[0].tolist() == ["", "t1", "t3", 1, 4, 2, 0.998, 0.002]
    assert len(decided("...").events().to_frame()) == 0


def test_the_frame_names_the_entity_only_where_there_are_many() -> None:
    assert list(decided("#.").to_dict()) == ["id", "score", "p_value", "is_anomaly"]
    assert next(iter(decided("#.", entities="ab").to_dict())) == "entity"


@pytest.mark.parametrize(
    "settings", [{"shortest": 0}, {"merge": -1}, {"merge": 1.5}, {"hold": 0.0}, {"hold": 2.0}, {"shortest": "3"}]
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=f"`{next(iter(settings))}` must"):
        decided("#.").events(**settings)


def test_what_has_no_p_values_or_no_steps_is_told() -> None:
    with pytest.raises(InvalidParameter, match="`hold` must have p-values"):
        decided("#.", p_values=np.array([np.nan, np.nan])).events(hold=0.1)
    plain = Decisions(np.arange(2), np.zeros(2), np.ones(2), np.zeros(2, dtype=bool), 1.0, None)
    with pytest.raises(InvalidParameter, match="steps of records"):
        plain.events()
