"""benchmarks/series.py: which series, which windows, what is measured, what is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks import series, series_data, series_metrics, series_summary, series_tools
from benchmarks import series_windows as windows
from benchmarks.results import COLUMNS, Key, Results
from benchmarks.series_data import Series
from benchmarks.series_ours import OURS
from benchmarks.series_peers import PEERS, UNIVARIATE_ONLY

VALUES = dict.fromkeys((*COLUMNS[4:], *series_metrics.COLUMNS), 0.5)


def waves(steps: int, length: int = 20) -> np.ndarray:
    noise = 0.05 * np.random.default_rng(0).normal(size=steps)
    return np.sin(2 * np.pi * np.arange(steps) / length) + noise


def one(train: np.ndarray, test: np.ndarray, label: np.ndarray, name: str = "ucr/a", days: float = np.nan) -> Series:
    return Series(name=name, train=train.reshape(len(train), -1), test=test, label=label, days=days)


@pytest.fixture
def folder(tmp_path):
    """Three univariate series, one of two channels, and four files in NAB's layout."""
    label = np.zeros(120, dtype=np.int8)
    label[60:70] = 1
    for name in "abc":
        (tmp_path / "ucr").mkdir(exist_ok=True)
        np.savez(tmp_path / "ucr" / f"{name}.npz", train=waves(200), test=waves(120), label=label)
    (tmp_path / "asd").mkdir()
    pair = np.stack([waves(200), waves(200, 30)], axis=1)
    np.savez(tmp_path / "asd" / "omi-3.npz", train=pair, test=pair[:120], label=label)
    data = tmp_path / "nab" / "data" / "kind"
    data.mkdir(parents=True)
    times = np.datetime64("2020-01-01T00:00:00") + np.arange(100) * np.timedelta64(1, "h")
    lines = [f"{str(time).replace('T', ' ')},{value:.3f}" for time, value in zip(times, waves(100), strict=True)]
    for name in ("early", "fine", "none", "other"):
        (data / f"{name}.csv").write_text("\n".join(["timestamp,value", *lines]))
    at = [str(time).replace("T", " ") + ".000000" for time in times]
    combined = {
        "early": [[at[3], at[5]], [at[50], at[52]]],
        "fine": [[at[50], at[53]]],
        "none": [],
        "other": [[at[15], at[16]]],
    }
    (tmp_path / "nab" / "labels").mkdir()
    (tmp_path / "nab" / "labels" / "combined_windows.json").write_text(
        json.dumps({f"kind/{name}.csv": found for name, found in combined.items()})
    )
    return tmp_path


class TestData:
    def test_usable_series_and_why_others_are_not(self, folder):
        names = series_data.names_in(folder)
        assert names == ["asd/omi-3", "nab/kind/fine", "nab/kind/other", "ucr/a", "ucr/b", "ucr/c"]
        assert series_data.unusable(folder) == {
            "nab/kind/early": "a labelled window in the first 15%",
            "nab/kind/none": "no labelled window",
        }

    def test_nab_trains_on_the_first_part_and_labels_whole_windows(self, folder):
        read = series_data.read(folder, "nab/kind/fine")
        assert (len(read.train), len(read.test), read.protocol) == (15, 85, "univariate")
        assert np.flatnonzero(read.label).tolist() == [35, 36, 37, 38]
        assert read.days == pytest.approx(84 / 24)
        assert series_data.read(folder, "nab/kind/other").label[:3].tolist() == [1, 1, 0]

    def test_npz_parts_are_taken_as_they_are(self, folder):
        read = series_data.read(folder, "asd/omi-3")
        assert read.train.shape == (200, 2)
        assert read.protocol == "multivariate"
        assert np.isnan(read.days)
        np.testing.assert_array_equal(series_data.read(folder, "ucr/a").train[:, 0], waves(200))

    def test_sets(self, folder):
        names = series_data.names_in(folder)
        assert series_data.choose(names, ["tune"]) == ["asd/omi-3", "nab/kind/fine", "ucr/a", "ucr/c"]
        assert series_data.choose(names, ["confirm"]) == ["nab/kind/other", "ucr/b"]
        assert series_data.choose(names, ["asd", "ucr/b"]) == ["asd/omi-3", "ucr/b"]
        assert series_data.choose(names, []) == names
        with pytest.raises(ValueError, match="no series 'smd'"):
            series_data.choose(names, ["smd"])

    def test_sixteen_are_stratified(self):
        assert len(set(series_data.SIXTEEN)) == 16
        counts = [sum(name.startswith(f"{kind}/") for name in series_data.SIXTEEN) for kind in ("ucr", "nab", "smd")]
        assert counts == [10, 4, 1]

    @pytest.mark.parametrize("label", [np.zeros(120), np.ones(119)])
    def test_labels_must_fit(self, folder, label):
        np.savez(folder / "ucr" / "d.npz", train=waves(200), test=waves(120), label=label)
        with pytest.raises(ValueError, match="ucr/d must have"):
            series_data.read(folder, "ucr/d")

    def test_empty_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="must hold folders"):
            series_data.names_in(tmp_path)


class TestWindows:
    @pytest.mark.parametrize("length", [9, 20, 150])
    def test_period_of_waves(self, length):
        assert windows.period(waves(3_000, length)) % length in (0, 1, length - 1)

    def test_period_as_a_slow_twin(self):
        values = np.random.default_rng(1).normal(size=500).cumsum() + 5 * waves(500, 37)
        centred = values - values.mean()
        correlation = [(centred[: 500 - lag] * centred[lag:]).sum() / (centred**2).sum() for lag in range(401)][3:]
        peaks = [
            at
            for at in range(1, len(correlation) - 1)
            if correlation[at] > max(correlation[at - 1], correlation[at + 1])
        ]
        best = max(peaks, key=lambda at: correlation[at])
        assert windows.period(values) == (best + 3 if 3 <= best <= 300 else 125)

    @pytest.mark.parametrize("values", [np.ones(300), np.arange(300.0), np.arange(4.0)])
    def test_without_a_peak(self, values):
        assert windows.period(values) == 125

    def test_window_of(self):
        assert windows.window_of(waves(3_000)[:, None]) == 20
        assert windows.window_of(waves(60)[:, None]) == 10
        assert windows.window_of(np.zeros((600, 3))) == 32

    @pytest.mark.parametrize(("steps", "window", "stride"), [(50, 7, 1), (50, 7, 4), (50, 50, 3), (5, 9, 1)])
    def test_a_step_has_the_mean_of_its_windows(self, steps, window, stride):
        X = np.random.default_rng(0).normal(size=(steps, 2))
        scores = windows.score_steps(X, window, stride, lambda rows: rows.sum(axis=1), chunk=5)
        first = windows.starts(steps, window, stride)
        assert first[-1] == max(steps - window, 0)
        padded = np.concatenate([X, np.repeat(X[-1:], max(window - steps, 0), axis=0)])
        for step in range(steps):
            covering = [padded[at : at + window].sum() for at in first if at <= step < at + window]
            assert scores[step] == pytest.approx(np.mean(covering))

    def test_training_windows_are_thinned_evenly(self):
        X = np.arange(100.0)[:, None]
        rows = windows.training_windows(X, 10, most=4)
        assert rows[:, 0].tolist() == [0, 30, 60, 90]
        assert rows.shape == (4, 10)

    def test_scaler(self):
        train = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0], [3.0, 5.0]])
        scaled = windows.Scaler().fit(train).transform(np.array([[2.5, 6.0], [np.nan, np.nan], [1e9, 5.0]]))
        spread = np.std([1, 3, 3, 3])
        np.testing.assert_allclose(scaled, [[0, 1], [20, 0.5], [20, 0]])
        assert spread > 0

    def test_constant_rows_become_zero(self):
        rows = windows.standardised_rows(np.array([[2.0, 2.0], [1.0, 3.0]]))
        np.testing.assert_array_equal(rows, [[0, 0], [-1, 1]])


class TestMetrics:
    @pytest.mark.parametrize(("step", "right"), [(199, 0), (200, 1), (310, 1), (411, 1), (412, 0)])
    def test_top_one_tolerance(self, monkeypatch, step, right):
        monkeypatch.setattr(series_metrics, "vus_pr", lambda label, scores, buffer: 0.25)
        label, scores = np.zeros(600, dtype=np.int64), np.zeros(600)
        label[300:312], scores[step] = 1, 1
        found = series_metrics.ranking(one(waves(600), scores[:, None], label), scores)
        assert found == {"vus_pr": 0.25, "top1": right}

    def test_long_anomalies_have_their_length_as_tolerance(self, monkeypatch):
        monkeypatch.setattr(series_metrics, "vus_pr", lambda label, scores, buffer: buffer)
        label, scores = np.zeros(900, dtype=np.int64), np.zeros(900)
        label[300:500], scores[101] = 1, 1
        assert series_metrics.ranking(one(waves(900), scores[:, None], label), scores) == {"vus_pr": 20, "top1": 1}
        other = one(waves(900), scores[:, None], label, name="nab/a")
        assert np.isnan(series_metrics.ranking(other, scores)["top1"])

    def test_alarms(self):
        label, alarms = np.zeros(100, dtype=np.int64), np.zeros(100, dtype=bool)
        label[10:20] = label[40:45] = label[99] = 1
        alarms[[9, 13, 14, 50, 51]] = True
        found = series_metrics.alarming(one(waves(60), label[:, None], label, days=2.0), alarms, 0.01)
        assert found["delay"] == 3
        assert found["detected"] == pytest.approx(1 / 3)
        assert found["false_alarm_rate"] == pytest.approx(3 / 84)
        assert (found["alarms"], found["alarms_day"], found["stated_rate"]) == (300, 1.5, 0.01)

    def test_without_alarms(self):
        label = np.array([0, 1, 0])
        found = series_metrics.alarming(one(waves(60), label[:, None], label), np.zeros(3, dtype=bool), 0.01)
        assert (found["detected"], found["false_alarm_rate"], found["alarms"]) == (0, 0, 0)
        assert np.isnan(found["delay"])
        none = series_metrics.alarming(one(waves(60), label[:, None], label), None, np.nan)
        assert set(none) == set(found)
        assert np.isnan(list(none.values())).all()

    @pytest.mark.skipif(series_tools.missing() is not None, reason="make series-peers was not run")
    def test_vus_is_tsb_ads(self):
        label, scores = np.zeros(400, dtype=np.int64), np.random.default_rng(3).normal(size=400)
        label[50:70] = label[-9:] = 1
        theirs = series_tools.tsb_metrics().RangeAUC_volume_opt(label, scores, 12)[-1]
        assert series_metrics.vus_pr(label, scores.astype(np.float32), 12) == pytest.approx(theirs, abs=1e-12)
        assert series_metrics.vus_pr(label, np.exp(scores), 12) == pytest.approx(theirs, abs=1e-12)


class TestRun:
    def test_jobs(self, folder):
        names = series_data.names_in(folder)
        todo = series.jobs(folder, names, [0, 1], ["unalike", "floor", "sub-knn", *UNIVARIATE_ONLY])
        keys = [job.key(method) for job in todo for method in job.methods]
        assert len(keys) == len(set(keys)) == 2 * 2 * 6 + 6 + 5
        assert {key.protocol for key in keys if key.data == "asd/omi-3"} == {"multivariate"}
        assert all(key.seed == 0 for key in keys if key.method not in OURS)
        assert todo[0].methods == ("unalike", "floor")

    def test_rows_of_a_job(self, folder, monkeypatch):
        monkeypatch.setattr(series_metrics, "vus_pr", lambda label, scores, buffer: float(scores.max()))

        class Alarmed:
            def fit(self, train):
                self.steps = len(train)

            def score(self, test, method):
                return np.full(len(test), float(self.steps))

            def alarms(self, test, method):
                return None if method == "quiet" else (np.ones(len(test), dtype=bool), 0.02)

        rows = series.judge(folder, "ucr/b", 0, lambda seed: Alarmed(), ("loud", "quiet"), tune=False)
        assert set(rows["loud"]) == set(VALUES)
        assert (rows["loud"]["vus_pr"], rows["loud"]["tune"]) == (200, 0)
        assert (rows["loud"]["stated_rate"], rows["loud"]["false_alarm_rate"]) == (0.02, 1)
        assert np.isnan(rows["quiet"]["detected"])

    def test_says_what_to_install(self, folder, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(series_tools, "FOLDER", tmp_path / "nothing")
        assert series.main(["--data", str(folder), "--out", str(tmp_path / "out.csv")]) == 1
        assert "make series-peers" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [[], ["--data", ".", "--methods", "guess"]])
    def test_refuses(self, tmp_path, arguments, capsys):
        with pytest.raises(SystemExit):
            series.main([*arguments, "--out", str(tmp_path / "out.csv")])
        assert "--data is needed" in (error := capsys.readouterr().err) or "no method 'guess'" in error

    def test_names_are_told_apart(self):
        assert not set(OURS) & set(PEERS)
        assert set(UNIVARIATE_ONLY) <= set(PEERS)


class TestSummary:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "results.csv"
        with Results(path, series_metrics.COLUMNS) as results:
            for method, seed, scores in (
                ("unalike", 0, (0.8, 0.6, 0.4)),
                ("unalike", 1, (0.6, 0.4, 0.4)),
                ("sub-knn", 0, (0.5, 0.6)),
                ("untrained", 0, (0.7, 0.5, 0.4)),
            ):
                for name, vus in zip(("ucr/a", "ucr/b", "asd/c"), scores, strict=False):
                    protocol = "multivariate" if name == "asd/c" else "univariate"
                    values = {**VALUES, "vus_pr": vus, "tune": float(name == "ucr/b")}
                    if method != "unalike":
                        values |= dict.fromkeys(series_metrics.COLUMNS[2:-1], np.nan)
                    results.append(Key(name, protocol, seed, method), values)
        return path

    def test_means_are_over_seeds_first(self, file):
        header, *lines = series_summary.overview(
            [row for row in series_summary.read_rows(file) if row["protocol"] == "univariate"]
        )
        assert header[:3] == ["method", "series", "VUS-PR"]
        assert header[6:-3] == ["VUS-PR ucr"]
        assert [line[:3] for line in lines] == [
            ["unalike", "2", "0.600"],
            ["untrained", "2", "0.600"],
            ["sub-knn", "2", "0.550"],
        ]

    def test_a_stream_stands_beside_the_whole_record(self, file):
        assert len(series_summary.live(series_summary.read_rows(file))) == 1
        told = {"vus_pr": 0.3, "detected": 0.25, "delay": 7.0, "alarms": 3.0, "alarms_day": np.nan}
        with Results(file, series_metrics.COLUMNS) as results:
            for name, rate in (("ucr/a", 0.01), ("ucr/b", 0.09), ("ucr/z", 0.9)):
                values = {**VALUES, **told, "false_alarm_rate": rate}
                results.append(Key(name, "univariate", 0, "stream"), values)
        header, ucr, every = series_summary.live(series_summary.read_rows(file))
        assert header[:3] == ["collection", "series", "VUS-PR"]
        assert ucr == ["ucr", "2", "0.300 / 0.700", "0.25 / 0.50", "7.0 / 0.5", "5.00% / 50.00%", "3.0 / 0.5", " / 0.5"]
        assert every[1:] == ucr[1:]
        assert "as told at once" in series_summary.report(file, "unalike", [], markdown=True)

    def test_pairs_are_the_series_that_both_have(self, file):
        rows = series_summary.read_rows(file)
        _, knn, untrained = series_summary.comparisons(
            rows, [("unalike", "sub-knn"), ("unalike", "untrained"), ("unalike", "absent")]
        )
        assert knn[2:] == ["+0.050", "[-0.100, +0.200]", "+9.1%", "1/0/1", "2"]
        assert untrained[2:] == ["+0.000", "[+0.000, +0.000]", "+0.0%", "0/3/0", "3"]

    def test_report(self, file):
        text = series_summary.report(file, "unalike", [], markdown=True)
        assert "univariate: 2 series" in text
        assert "multivariate: 1 series" in text
        assert "| unalike | all | 2 | 50.00% |" in text
        confirm = series_summary.report(file, "unalike", ["confirm", "asd"], markdown=False)
        assert "univariate: 1 series" in confirm
        with pytest.raises(ValueError, match="no row of smd"):
            series_summary.report(file, "unalike", ["smd"], markdown=False)
