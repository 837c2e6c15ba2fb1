"""The harness of benchmarks/: files that continue, splits that do not leak, numbers that are right."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from benchmarks import datasets, digits, false_alarms, harness, ours, results, summary, tables
from benchmarks.results import COLUMNS, Key, Results
from pyod.models.knn import KNN
from scipy.stats import norm, wilcoxon
from sklearn.metrics import f1_score

from benchmark_methods import FAKES

VALUES = {"auroc": 0.5, "auprc": 0.25, "f1": 0.125, "fit_s": 1.0, "score_s": 2.0, "peak_mb": 3.0}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    rng = np.random.default_rng(0)
    for name, n, anomalies in (("2_small", 40, 8), ("10_other", 61, 10)):
        X, y = rng.normal(size=(n, 3)), np.zeros(n, dtype=int)
        y[:anomalies] = 1
        X[y == 1] += 4
        np.savez(path / f"{name}.npz", X=X, y=y)
    return path


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(tables, "METHODS", FAKES)
    monkeypatch.setattr(tables, "_PRELOAD", ("pytest",))
    for variable in harness.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "1")


def run(folder, out, methods, *more):
    return tables.main(
        ["--data", str(folder), "--out", str(out), "--methods", methods, "--seeds", "1", "--threads", "1", *more]
    )


# ---- the file -------------------------------------------------------------------------------------------------


def test_results_have_the_agreed_columns_and_are_continued(tmp_path):
    path = tmp_path / "made" / "results.csv"
    key = Key("6_cardio", "clean", 0, "floor")
    with Results(path) as file:
        assert key not in file
        file.append(key, VALUES)
    assert path.read_text() == (
        "data,protocol,seed,method,auroc,auprc,f1,fit_s,score_s,peak_mb\n"
        "6_cardio,clean,0,floor,0.500000,0.250000,0.125000,1.000,2.000,3.0\n"
    )
    with Results(path) as file:
        assert key in file
        assert key._replace(seed=1) not in file


@pytest.mark.parametrize("kept", [1, 30, 75, 90])
def test_a_half_written_last_line_is_dropped_wherever_it_ends(tmp_path, kept):
    path = tmp_path / "results.csv"
    with Results(path) as file:
        file.append(Key("a", "clean", 0, "m"), VALUES)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    left = kept > whole.index(b"\n")
    assert results.read_rows(path) == []
    with Results(path) as file:
        assert Key("a", "clean", 0, "m") not in file
        assert path.read_bytes() == whole[: whole.index(b"\n") + 1], left
        file.append(Key("a", "clean", 0, "m"), VALUES)
    assert path.read_bytes() == whole


def test_a_modality_adds_columns_at_the_end_and_leaves_cells_empty(tmp_path):
    path = tmp_path / "series.csv"
    with Results(path, ("vus_pr",)) as file:
        file.append(Key("a", "test-part", 0, "m"), {**VALUES, "vus_pr": float("nan")})
        with pytest.raises(ValueError, match="vus_pr"):
            file.append(Key("b", "test-part", 0, "m"), VALUES)
    assert path.read_text().splitlines()[0] == ",".join([*COLUMNS, "vus_pr"])
    assert path.read_text().endswith(",3.0,\n")
    assert "vus_pr" not in summary.read(path)[0].values


def test_results_refuse_other_columns_and_a_second_writer(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must have the columns"):
        Results(path)
    assert path.read_text() == "a,b\n1,2\n"
    with Results(tmp_path / "locked.csv"), pytest.raises(RuntimeError, match="written by another run"):
        Results(tmp_path / "locked.csv")


# ---- the harness ----------------------------------------------------------------------------------------------


def test_tables_appends_skips_and_resumes(folder, tmp_path, fakes, capsys):
    out = tmp_path / "tables.csv"
    assert run(folder, out, "norm,opposite", "--protocols", "clean,published") == 0
    rows = results.read_rows(out)
    assert tuple(rows[0]) == COLUMNS
    # By seed, protocol and set, the sets in counting order; both methods from one fit.
    assert [tuple(results.key_of(row)) for row in rows] == [
        (data, protocol, 0, method)
        for protocol in ("clean", "published")
        for data in ("2_small", "10_other")
        for method in ("norm", "opposite")
    ]
    for distance, opposite in zip(rows[::2], rows[1::2], strict=True):
        assert float(distance["auroc"]) > 0.95
        assert float(distance["auroc"]) + float(opposite["auroc"]) == pytest.approx(1.0, abs=2e-6)
        assert distance["fit_s"] == opposite["fit_s"]

    written = out.read_bytes()
    capsys.readouterr()
    assert run(folder, out, "norm,opposite", "--protocols", "clean,published") == 0
    assert "4 of 4 jobs are in the file; 0 to run" in capsys.readouterr().out
    assert out.read_bytes() == written

    out.write_bytes(written[:-9])  # kill -9 in the middle of the last line
    assert run(folder, out, "norm,opposite", "--protocols", "clean,published") == 0
    assert "[1/1] 10_other published seed 0 opposite" in capsys.readouterr().out
    again = out.read_bytes().splitlines()
    assert again[:-1] == written.splitlines()[:-1]
    assert again[-1].split(b",")[:7] == written.splitlines()[-1].split(b",")[:7]


def test_failing_methods_leave_no_row_and_do_not_stop_the_run(folder, tmp_path, fakes, capsys):
    out = tmp_path / "tables.csv"
    assert run(folder, out, "broken,killed,nan,norm", "--sets", "small") == 1
    assert [row["method"] for row in results.read_rows(out)] == ["norm"]
    errors = capsys.readouterr().err
    assert "2_small clean seed 0 broken: FAILED: ZeroDivisionError: it cannot be" in errors
    assert "2_small clean seed 0 killed: FAILED: its process ended with exit code -9" in errors
    assert "2_small clean seed 0 nan: FAILED: ValueError: scores must be finite; 24 of 24 are not" in errors
    assert "3 rows are missing" in errors


def test_memory_is_that_of_the_method_alone(folder, tmp_path, fakes):
    out = tmp_path / "tables.csv"
    run(folder, out, "hungry,norm", "--sets", "small")
    memory = {row["method"]: float(row["peak_mb"]) for row in results.read_rows(out)}
    assert 120 < memory["hungry"] < 160  # 16 Mi doubles are 128 MB
    assert memory["norm"] < 20


def test_a_job_beyond_its_time_fails(tmp_path, fakes):
    job = harness.Job(data="a", protocol="clean", seed=0, methods=("slow",), task=partial(signal.pause))
    with Results(tmp_path / "r.csv") as file:
        assert harness.run([job], file, threads=1, time_limit=0.2) == [Key("a", "clean", 0, "slow")]


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--methods", "nope"], "there is no method 'nope'"), (["--protocols", "dirty"], "there is no protocol 'dirty'")],
)
def test_unknown_names_are_refused(folder, tmp_path, more, message, capsys):
    with pytest.raises(SystemExit):
        tables.main(["--data", str(folder), "--out", str(tmp_path / "t.csv"), *more])
    assert message in capsys.readouterr().err


def test_seeds_are_a_list_or_a_count():
    assert harness.seeds("3") == [0, 1, 2]
    assert harness.seeds("0,4,5") == [0, 4, 5]
    assert harness.seeds("7,") == [7]


def test_metrics_are_those_of_scikit_learn_and_ties_share_the_last_places():
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.2).astype(np.int64)
    scores = rng.normal(size=200) + labels
    flagged = scores >= np.sort(scores)[-labels.sum()]
    assert harness.metrics(labels, scores)["f1"] == pytest.approx(f1_score(labels, flagged))
    # 2 anomalies, one place above the tie of 4 rows of which 1 is an anomaly: (1 + 1/4) / 2.
    tied = harness.metrics(np.array([1, 1, 0, 0, 0, 0]), np.array([9.0, 5, 5, 5, 5, 1]))
    assert tied["f1"] == pytest.approx(0.625)
    assert tied["auroc"] == pytest.approx((4 + 1 + 3 * 0.5) / 8)


# ---- protocols ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_the_clean_split_uses_every_row_once(seed):
    y = (np.random.default_rng(9).random(301) < 0.3).astype(np.int64)
    parts = tables.clean(y, seed)
    assert np.array_equal(np.sort(np.concatenate([parts.train, parts.test])), np.arange(301))
    assert y[parts.train].sum() == 0
    assert len(parts.train) == (y == 0).sum() // 2
    assert y[parts.test].sum() == y.sum()
    assert not np.array_equal(parts.train, tables.clean(y, seed + 10).train)


def test_the_published_split_is_that_of_dte():
    y = np.tile([0, 0, 1, 0, 0], 300)  # 1,200 normal rows: no draw, the order of the file
    parts = tables.published(y, 0)
    normal = np.flatnonzero(y == 0)
    assert np.array_equal(parts.train, normal[:600])
    assert np.array_equal(parts.test, np.concatenate([normal[600:], np.flatnonzero(y == 1)]))
    assert np.array_equal(parts.train, tables.published(y, 1).train)


def test_the_published_split_bootstraps_small_sets_and_subsamples_large_ones():
    y = (np.arange(300) % 10 == 0).astype(np.int64)
    parts = tables.published(y, 3)
    np.random.seed(3)
    drawn = np.random.choice(np.arange(300), 1000, replace=True)
    normal = drawn[y[drawn] == 0]
    assert np.array_equal(parts.train, normal[: round(len(normal) / 2)])
    assert len(parts.train) + len(parts.test) == 1000
    assert np.isin(parts.test, parts.train).any()  # the leak, kept on purpose

    parts = tables.published((np.arange(60_000) % 100 == 0).astype(np.int64), 3)
    rows = np.concatenate([parts.train, parts.test])
    assert len(rows) == len(np.unique(rows)) == 50_000


def test_a_split_without_normal_rows_is_refused(tmp_path):
    np.savez(tmp_path / "odd.npz", X=np.zeros((3, 1)), y=[0, 1, 1])
    with pytest.raises(ValueError, match="got 0 training rows and 2 anomalies"):
        tables.judge(tmp_path, "odd", "clean", 0, FAKES["norm"], ["norm"])


def test_sets_are_chosen_by_name_number_or_group(folder):
    names = datasets.names_in(folder)
    assert names == ["2_small", "10_other"]
    assert datasets.choose(names, ["OTHER", "2_small"]) == names
    assert datasets.choose(["6_cardio", "45_wine", "33_skin"], ["confirm"]) == ["33_skin"]
    assert len({name for group in datasets.GROUPS.values() for name in group.split()}) == 20
    with pytest.raises(ValueError, match="no data set 'mall'"):
        datasets.choose(names, ["mall"])


# ---- summary --------------------------------------------------------------------------------------------------


def rows_of(table, protocol="clean"):
    """{method: {(data, seed): auroc}} as rows."""
    return [
        summary.Row(data=data, protocol=protocol, seed=seed, method=method, values={**VALUES, "auroc": value})
        for method, runs in table.items()
        for (data, seed), value in runs.items()
    ]


def test_means_are_over_sets_of_means_over_seeds_and_ranks_over_common_sets():
    rows = rows_of(
        {
            "unalike": {("a", 0): 0.9, ("a", 1): 0.7, ("b", 0): 0.6, ("c", 0): 1.0},
            "peer": {("a", 0): 0.8, ("b", 0): 0.7},
            "third": {("a", 0): 0.1, ("b", 0): 0.7},
        }
    )
    assert summary.means(rows, "unalike", "auroc") == pytest.approx((0.8 + 0.6 + 1.0) / 3)
    assert summary.means(rows, "peer", "auroc") == pytest.approx(0.75)
    # a: .8 .8 .1 -> ranks 1.5 1.5 3; b: .6 .7 .7 -> 3 1.5 1.5
    assert summary.ranks(rows, ["unalike", "peer", "third"], "auroc") == (
        {"unalike": 2.25, "peer": 1.5, "third": 2.25},
        2,
    )


def test_comparisons_pair_what_both_finished():
    rng = np.random.default_rng(0)
    ours_, theirs = rng.random((2, 12))
    theirs[3] = ours_[3]
    rows = rows_of(
        {
            "unalike": {(str(place), 0): value for place, value in enumerate(ours_)}
            | {("0", 1): 0.0, ("only", 0): 1.0},
            "peer": {(str(place), 0): value for place, value in enumerate(theirs)},
        }
    )
    found = summary.compare(rows, "peer", "unalike", "auroc")
    difference = theirs - ours_
    assert found.n == 12
    assert found.difference == pytest.approx(difference.mean())
    assert (found.wins, found.ties, found.losses) == ((difference > 0).sum(), 1, (difference < 0).sum())
    assert found.p_value == pytest.approx(wilcoxon(np.delete(theirs, 3), np.delete(ours_, 3)).pvalue)
    # The percentile interval of a mean of 12 is near the normal one.
    error = difference.std() / 12**0.5
    assert found.low == pytest.approx(difference.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(difference.mean() + 1.96 * error, abs=0.15 * error)


def test_equal_methods_differ_by_nothing():
    runs = {("a", 0): 0.5, ("b", 0): 0.6}
    found = summary.compare(rows_of({"x": runs, "y": runs}), "x", "y", "auroc")
    assert (found.difference, found.low, found.high, found.ties, found.p_value) == (0, 0, 0, 2, 1)
    assert summary.compare(rows_of({"x": runs, "y": {("c", 0): 0.1}}), "x", "y", "auroc") is None


def test_differences_of_one_size_are_tested_by_the_normal_approximation():
    first = {(name, 0): 0.5 for name in "abcde"}
    second = {("a", 0): 0.6, ("b", 0): 0.6, ("c", 0): 0.4, ("d", 0): 0.9, ("e", 0): 0.5}
    found = summary.compare(rows_of({"x": second, "y": first}), "x", "y", "auroc")
    # Ranks 2, 2, -2, 4: W- = 2, mean 5, variance 4*5*9/24 - (27 - 3)/48 = 7; z = -3 / sqrt(7)
    assert found.p_value == pytest.approx(2 * norm.cdf(-3 / 7**0.5))


def test_summary_prints_each_protocol_and_markdown(tmp_path, capsys):
    path = tmp_path / "r.csv"
    with Results(path) as file:
        for protocol in ("clean", "published"):
            for data, value in (("6_cardio", 0.9), ("33_skin", 0.7)):
                file.append(Key(data, protocol, 0, "peer"), {**VALUES, "auroc": value - 0.1})
                file.append(Key(data, protocol, 0, "unalike"), {**VALUES, "auroc": value})
    path.write_bytes(path.read_bytes() + b"6_cardio,clean,1,peer,0.1")  # a run is in progress
    assert summary.main([str(path)]) == 0
    text = capsys.readouterr().out
    assert "protocol clean: 2 data sets, seeds 0" in text
    assert "protocol published" in text
    assert "method minus unalike" in text
    assert "-10.00  [-10.00, -10.00]" in text
    assert "0/0/2" in text

    summary.main([str(path), "--protocol", "clean", "--sets", "tune", "--against", "peer", "--markdown"])
    text = capsys.readouterr().out
    assert "protocol clean: 1 data sets" in text
    assert "published" not in text
    assert "| unalike | 1 | 1 | 0.9000 | 0.2500 | 0.1250 | 3.00 | 3.0 | 3 | 1.00 | 1.50 | 1.50 |" in text
    assert "| auroc | unalike | +10.00 | [+10.00, +10.00] | 1/0/0 | 1 | 1 |" in text

    summary.main([str(path), "--protocol", "clean", "--halves"])
    titles = [line for line in capsys.readouterr().out.splitlines() if "protocol" in line]
    start = "protocol clean: "
    assert [title.partition(" data")[0] for title in titles] == [f"tune: {start}1", f"confirm: {start}1", f"{start}2"]


# ---- ours, digits, false alarms -------------------------------------------------------------------------------


def test_the_floor_is_the_distance_to_the_nearest_standardised_training_row():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(30, 4)) * [1, 10, 100, 0] + [0, 0, 5, 7], rng.normal(size=(10, 4))
    test[0, 1] = np.nan
    floor = ours.floor(0)
    floor.fit(train)
    scale = np.where(train.std(axis=0) > 0, train.std(axis=0), 1.0)
    filled = np.where(np.isnan(test), train.mean(axis=0), test)
    expected = np.linalg.norm((filled[:, None] - train[None]) / scale, axis=2).min(axis=1)
    np.testing.assert_allclose(floor.score(test), expected)


def test_members_of_each_reading_of_our_detector():
    names = ["silu", "silu (untrained)", "raw", "relu", "relu (untrained)"]
    assert ours.members(names, "contrast") == ["silu", "relu"]
    assert ours.members(names, "untrained") == ["raw", "silu (untrained)", "relu (untrained)"]
    assert ours.members(names, "untrained-alone") == ["silu (untrained)", "relu (untrained)"]
    with pytest.raises(ValueError, match="there is no 'contrast'"):
        ours.members(["raw"], "contrast")


def test_digits_records_what_training_did():
    still = {"alignment": 1.0, "uniformity": -2.0, "effective_rank": 3.0, "spread": 0.1}
    history = {
        "a": [{"loss": float("nan"), **still}, {"loss": 4.0, **still}, {"loss": 1.0, **still, "spread": 0.2}],
        "b": [{"loss": float("nan"), **still}, {"loss": 2.0, **still}, {"loss": 2.0, **still}],
    }
    assert digits.learned(history) == {"first_loss": 3.0, "last_loss": 1.5, "moved": 0.0}
    assert digits.learned({"a": history["a"]})["moved"] == 1.0
    assert np.isnan(digits.learned({})["moved"])


def test_digits_has_four_methods_per_class_and_a_floor_on_raw_pixels():
    jobs = digits.jobs(2)
    keys = {job.key(method) for job in jobs for method in job.methods}
    assert len(keys) == 2 * 11 * 4
    row = digits.judge("digits/3", 0, digits.pixel_floor, ["floor"])["floor"]
    assert row["auroc"] > 0.98
    X, y = digits.load("digits/3")
    assert X.shape == (1797, 8, 8)
    assert (y == 0).sum() == 183
    _, malignant = digits.load("breast_cancer")
    assert malignant.sum() == 212


def test_false_alarm_splits_hold_whole_rates_and_do_not_overlap():
    for rate in false_alarms.RATES:
        assert (rate * (false_alarms.CALIBRATION_ROWS + 1)).is_integer()
    made = false_alarms.splits(2_500)
    assert len(made) == 20
    for calibration, test in made:
        assert len(calibration) == 219
        assert np.array_equal(np.sort(np.concatenate([calibration, test])), np.arange(2_500))
    assert len({tuple(calibration) for calibration, _ in made}) == 20


def test_false_alarm_rates_of_both_routes():
    rng = np.random.default_rng(0)
    found = {flags.rate: flags for flags in false_alarms.conformal(rng.normal(size=4_000))}
    for rate, flags in found.items():
        _, low, high = false_alarms.interval([flagged.mean() for flagged in flags.per_split])
        assert low <= rate <= high


def test_the_contamination_route_is_pyods_own():
    train, others = np.random.default_rng(0).normal(size=(2, 2_400, 3)) * [1, 10, 100]
    for flags in false_alarms.by_contamination(train, others):
        scale = train.std(axis=0)
        oracle = KNN(contamination=flags.rate).fit((train - train.mean(axis=0)) / scale)
        flagged = oracle.predict((others - train.mean(axis=0)) / scale)
        for found, (_, test) in zip(flags.per_split, false_alarms.splits(2_400), strict=True):
            assert np.array_equal(found, flagged[test] == 1)


def test_false_alarm_table_and_file(tmp_path):
    lines = [
        false_alarms.Outcome(
            data="d", method="m", stated_rate=0.05, split=place, n_calibration=219, n_test=2000, realised_rate=rate
        )
        for place, rate in enumerate([0.04, 0.05, 0.06])
    ]
    _, row = false_alarms.table(lines)
    # t(0.975, 2) = 4.3027; standard error 0.01 / sqrt(3)
    assert row == ["d", "m", "5%", "5.00%", "[2.52%, 7.48%]", "yes", "3", "2000"]
    path: Path = tmp_path / "new" / "f.csv"
    false_alarms.write(lines, path)
    assert path.read_text().splitlines()[1] == "d,m,0.05,0,219,2000,0.040000"
    assert [entry.name for entry in path.parent.iterdir()] == ["f.csv"]


def test_too_few_normal_rows_for_false_alarms_are_refused():
    with pytest.raises(ValueError, match="2219 normal rows beside the training half; got 50"):
        false_alarms.normal_halves(np.zeros((100, 2)), np.zeros(100, dtype=np.int64))
