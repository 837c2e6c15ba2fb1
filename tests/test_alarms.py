from __future__ import annotations

import json
import math

import numpy as np
import pytest

from unalike.alarms import evaluate_alarms, labelled_events
from unalike.errors import InvalidInput
from unalike.events import Events


def events(text: str, entities: str | None = None) -> Events:
    """One character per step, ``#`` where something happens."""
    names = np.array(list(entities or " " * len(text)))
    steps = np.concatenate([np.arange(n) for n in np.unique(names, return_counts=True)[1]])
    return labelled_events(np.array([mark == "#" for mark in text]), steps, names)


def test_runs_of_labels_are_events() -> None:
    found = events("##..#.####", "aaaaaabbbb")
    assert [(event.record, event.start, event.end) for event in found] == [("a", 0, 2), ("a", 4, 5), ("b", 0, 4)]


def test_what_is_found_how_late_and_what_is_false() -> None:
    truth = events("..####......##....##..")
    alarm = events("#...##.###...###......")
    found = evaluate_alarms(alarm, truth)
    assert (found.n_events, found.n_alarms, found.n_false) == (3, 4, 2)
    assert found.delays.tolist() == [2, 1]
    assert found.share_found == 2 / 3
    assert found.median_delay == 1.5
    assert str(found) == "2 of 3 events found, half of them within 1.5 steps; 2 of 4 alarms false"
    assert json.loads(json.dumps(found.to_dict()))["n_found"] == 2


def test_an_alarm_before_the_event_is_no_delay_and_one_alarm_may_meet_several() -> None:
    truth = events("..##..##..")
    found = evaluate_alarms(events(".########."), truth)
    assert (found.delays.tolist(), found.n_false) == ([0, 0], 0)
    touching = evaluate_alarms(events("##..##..##"), truth)  # ends where the event begins
    assert (touching.share_found, touching.n_false) == (0.0, 3)


def test_records_are_kept_apart() -> None:
    found = evaluate_alarms(events("....##..", "aaaabbbb"), events("##......", "aaaabbbb"))
    assert (found.share_found, found.n_false) == (0.0, 1)


def test_it_agrees_with_steps_compared_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        flags, marks = (np.repeat(rng.random(15) < share, 3)[: rng.integers(20, 45)] for share in (0.3, 0.4))
        n = min(len(flags), len(marks))
        steps, names = np.arange(n), np.array([""] * n)
        truth, alarms = (labelled_events(each[:n], steps, names) for each in (marks, flags))
        found = evaluate_alarms(alarms, truth)
        hits = [np.flatnonzero(flags[event.start : event.end]) for event in truth]
        assert found.delays.tolist() == [hit[0] for hit in hits if len(hit)]
        told = evaluate_alarms(alarms, truth, n)
        assert told.n_normal == int((~marks[:n]).sum())
        assert told.n_normal_alarmed == int((flags[:n] & ~marks[:n]).sum())
        assert found.n_false == sum(not marks[alarm.start : alarm.end].any() for alarm in alarms)


def test_one_alarm_over_all_is_told_by_the_share_of_normal_steps() -> None:
    text = "..##........"
    found = evaluate_alarms(events("#" * len(text)), events(text), len(text))
    assert (found.n_false, found.share_of_normal) == (0, 1.0)
    assert str(found).endswith("0 of 1 alarms false, 100.00% of normal steps in an alarm")
    assert found.to_dict()["share_of_normal"] == 1.0
    assert math.isnan(evaluate_alarms(events(text), events(text)).share_of_normal)


def test_without_events_or_alarms() -> None:
    nothing = events("....")
    assert math.isnan(evaluate_alarms(events(".##."), nothing).share_found)
    silent = evaluate_alarms(nothing, events(".##."))
    assert silent.share_found == 0.0
    assert math.isnan(silent.median_delay)
    assert str(silent) == "0 of 1 events found; 0 of 0 alarms false"


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="one value per step, 3; got 2"):
        labelled_events(np.array([0, 1]), np.arange(3), np.array(["", "", ""]))
