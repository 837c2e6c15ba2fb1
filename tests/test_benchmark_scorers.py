"""benchmarks/scorers.py: the same rows for every scorer, and a table that counts right."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import scorers
from benchmarks.results import Key, Results
from benchmarks.summary import Row
from sklearn.preprocessing import StandardScaler

from unalike.scorers import SCORERS

VALUES = {"auroc": 0.5, "auprc": 0.25, "f1": 0.125, "fit_s": 1.0, "score_s": 2.0, "peak_mb": 3.0}


def test_every_scorer_of_ours_is_in_the_table() -> None:
    # They judge no embedding, places, beside a background that rows have not, or nearly as knn.
    others = {
        "objective",
        "neighbor-ratio",
        "local-knn",
        "patch-bank",
        "place-fusion",
        "place-gaussians",
        "relative-mahalanobis",
        "noise-contrast",
    }
    assert set(scorers.MAKERS) >= set(SCORERS) - others
    assert len(scorers.METHODS) == 3 * len(scorers.MAKERS)
    assert scorers.MAKERS["isolation-forest"](3).seed == 3


def test_caps_keep_the_share_of_anomalies_and_nothing_twice() -> None:
    y = (np.arange(1000) % 10 == 0).astype(np.int64)
    positions = np.arange(1000)
    assert scorers.some(positions, 2000, 0) is positions
    few = scorers.some(positions, 50, 0)
    assert len(np.unique(few)) == 50
    assert (np.diff(few) > 0).all()
    chosen = scorers.stratified(positions, y, 200, 0)
    assert len(np.unique(chosen)) == 200
    assert y[chosen].sum() == 20
    assert not np.array_equal(chosen, scorers.stratified(positions, y, 200, 1))
    assert scorers.stratified(positions, y, 1000, 0) is positions


def test_embeddings_are_of_the_same_rows_before_and_after_training(breast_cancer) -> None:
    train, test = breast_cancer.train[:60], breast_cancer.test[:9]
    found = scorers.embeddings("table", 0, train, train[:20], test, settings={"steps": 3})
    scaler = StandardScaler().fit(train)
    raw_train, raw_test = found["raw"]
    np.testing.assert_allclose(raw_train[:, :30], scaler.transform(train[:20]), atol=1e-4)
    np.testing.assert_allclose(raw_test[:, :30], scaler.transform(test), atol=1e-4)
    assert found["trained"][1].shape == found["untrained"][1].shape
    assert not np.allclose(found["trained"][1], found["untrained"][1])


def test_one_job_gives_all_methods_of_a_data_set(monkeypatch: pytest.MonkeyPatch, breast_cancer) -> None:
    given = (breast_cancer.train[:30], breast_cancer.test[:40])
    monkeypatch.setattr(scorers, "embeddings", lambda *_: dict.fromkeys(scorers.KINDS, given))
    monkeypatch.setattr(scorers, "clean", lambda y, seed: scorers_parts(len(y)))
    rows = scorers.judge(None, "breast_cancer", 0, ["centroid/raw", "pyod-knn/trained"])
    assert list(rows) == ["centroid/raw", "pyod-knn/trained"]
    assert 0.0 <= rows["centroid/raw"]["auroc"] <= 1.0
    (job, *_) = scorers.jobs(None, ["breast_cancer"], [0, 1], ["knn/raw"])
    assert job.key("knn/raw") == Key("breast_cancer", "clean", 0, "knn/raw")
    with pytest.raises(ValueError, match="--data must name the folder"):
        scorers.load(None, "6_cardio")


def scorers_parts(n: int):
    from benchmarks.tables import Parts

    return Parts(np.arange(30), np.arange(30, 70))


def rows_of(values: dict[tuple[str, str], float]) -> list[Row]:
    return [
        Row(data=data, protocol="clean", seed=0, method=method, values={**VALUES, "auroc": value})
        for (data, method), value in values.items()
    ]


def test_the_table_marks_the_best_and_counts_wins() -> None:
    rows = rows_of(
        {
            ("digits/0", "knn/raw"): 0.9,
            ("digits/1", "knn/raw"): 0.8,
            ("digits/0", "knn/trained"): 0.95,
            ("digits/1", "knn/trained"): 0.8,
            ("6_cardio", "knn/raw"): 0.5,
            ("6_cardio", "knn/trained"): 0.6,
            ("6_cardio", "knn/untrained"): 0.7,
            ("digits/0", "lof/raw"): 0.96,
            ("digits/1", "lof/raw"): 0.76,
        }
    )
    header, knn, lof = scorers.table(rows, "auroc", lambda cell: f"*{cell}*")
    assert header[:4] == ["scorer", "digits raw", "digits untrained", "digits trained"]
    assert header[-2:] == ["> raw", "> untrained"]
    assert knn == ["knn", "85.00", "", "*87.50*", "*50.00*", "*70.00*", "*60.00*", "2 of 3", "0 of 1"]
    assert lof == ["lof", "*86.00*", "", "", "", "", "", "0 of 0", "0 of 0"]


def test_the_summary_reads_a_results_file(tmp_path, capsys) -> None:
    path = tmp_path / "scorers.csv"
    with Results(path) as results:
        for kind, value in (("raw", 0.5), ("trained", 0.75)):
            results.append(Key("breast_cancer", "clean", 0, f"knn/{kind}"), {**VALUES, "auroc": value})
    assert scorers.main(["--summary", str(path), "--markdown"]) == 0
    text = capsys.readouterr().out
    assert "cancer: 1; seeds 0" in text
    assert "| knn | **50.00** |  | **75.00** | 1 of 1 | 0 of 0 |" in text


def test_unknown_methods_are_refused(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        scorers.main(["--out", str(tmp_path / "r.csv"), "--methods", "knn/frozen"])
    assert "there is no method 'knn/frozen'" in capsys.readouterr().err
