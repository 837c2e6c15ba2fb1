"""Benchmarks of training speed, growth and negatives: what their tables say, and that their contenders agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks import negatives, speed_grow, speed_reach, speed_train
from benchmarks.results import COLUMNS, Key, Results
from benchmarks.summary import read


def test_rates_are_told_against_lightly_in_the_same_part():
    rates = {
        ("step", speed_train.OURS): (30.0, 120.0),
        ("loop", speed_train.OURS): (20.0, 90.0),
        ("step", speed_train.LIGHTLY): (20.0, 100.0),
        ("end to end", speed_train.LIGHTLY): (10.0, 60.0),
    }
    lines = {(line[0], line[1]): line for line in speed_train.table(rates, 3, 1)}
    assert lines["step", speed_train.OURS][2:] == [str(3 * 2 * 256), "1", "30.0", "1.50", "120.0", "1.20"]
    assert lines["loop", speed_train.OURS][5] == "2.00"


def test_moved_rows_alone_differ_from_the_surfaces():
    train, judged, labels = speed_grow.tables(400)
    assert (train.shape, judged.shape, int(labels.sum())) == ((400, 32), (400, 32), 4)
    from benchmarks.bank import made

    assert np.array_equal((judged != made(400, 32, 1)).any(axis=1), labels == 1)


@pytest.fixture
def course():
    told = [
        ("program", 1, 5, 0.7, 0.7),
        ("program", 2, 10, 0.8, 0.79),
        ("same", 1, 3, 0.9, 0.78),
        ("same", 2, 6, 0, 0.8),
    ]
    names = ("contender", "epochs", "cpu_seconds", "auroc_held", "auroc_test")
    return [{"class": "4", **dict(zip(names, map(str, row), strict=True))} for row in told]


def test_what_is_to_be_reached_is_told_by_the_programs_end_on_training_images(course):
    header, line = speed_reach.table(course)
    told = dict(zip(header, line, strict=True))
    assert told["to reach"] == "0.7900"
    assert (told["program, s"], told["same, s"], told["default, s"]) == ("10", "6", "")
    course[1]["auroc_test"] = "0.7899"
    assert speed_reach.table(course)[1][2] == "not in 10"


def test_kinds_of_negatives_fit_their_modality():
    for modality in ("table", "image", "series"):
        fits = negatives.fits(modality)
        assert len(set(fits)) == len(fits)
        assert (("one-class", "in-time") in fits) == (modality == "series")
    assert [negatives.modality_of(name) for name in ("6_cardio", "ucr/ECG2", "fashion-mnist/4")] == [
        "table",
        "series",
        "image",
    ]
    assert negatives.objective("hard-1").hardness == 1.0
    assert negatives.objective("groups").across_groups


def test_copies_are_near_and_share_a_group():
    train = np.random.default_rng(0).normal(size=(20, 3))
    many, groups = negatives.copies(train, "table", 0)
    assert many.shape == (60, 3)
    assert np.array_equal(many[:20], train)
    assert 0 < np.abs(many[20:40] - train).max() < 0.2
    assert np.bincount(groups).tolist() == [3] * 20


def test_labelled_rows_are_in_no_other_part(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 2)), np.repeat([0, 1], [80, 40])
    np.savez(tmp_path / "one.npz", X=X, y=y)
    train, test, labels, odd = negatives.rows(tmp_path, "one", 0)
    assert (len(train), len(test), len(odd), int(labels.sum())) == (40, 70, 10, 30)
    seen = {row.tobytes() for part in (train, test, odd) for row in part}
    assert len(seen) == 120


def test_the_table_of_negatives_is_told_against_plain(tmp_path):
    blank = dict.fromkeys(COLUMNS[4:], 0.5)
    with Results(tmp_path / "rows.csv") as results:
        for method, auroc in (("plain", 0.8), ("hard-1", 0.85)):
            results.append(Key("6_cardio", "one-class", 0, method), {**blank, "auroc": auroc})
    lines = negatives.table(read(tmp_path / "rows.csv"))
    assert lines[1:] == [["plain", "one-class", "80.0 (+0.0)", "", ""], ["hard-1", "one-class", "85.0 (+5.0)", "", ""]]


def test_the_network_of_the_race_is_one_that_trains():
    objective = speed_train.network()
    assert objective.encoder(torch.zeros(2, 3, 32, 32)).shape == (2, 512)
    assert sum(weight.numel() for weight in objective.encoder.parameters()) == 11_176_512
