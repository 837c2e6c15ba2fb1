from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from unalike import demo, load
from unalike.data import take
from unalike.modalities.image import Image
from unalike.modalities.table import Table
from unalike.modalities.text import Text


def hurried(cls):
    """The default branches of a modality, three steps long."""
    default = cls.branches

    def branches(self):
        return tuple(
            branch if branch.training is None else replace(branch, training=replace(branch.training, steps=3))
            for branch in default(self)
        )

    return branches


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for cls in (Image, Table, Text):
            patch.setattr(cls, "branches", hurried(cls))
        summary = demo.run(folder, seed=3, console=Console(file=printed, width=120))
    return folder, summary, printed.getvalue()


def test_the_sets_are_what_they_are_said_to_be():
    digits, cancer = demo.digits(), demo.breast_cancer()
    assert digits.X.shape == (1797, 8, 8)
    assert (digits.X.min(), digits.X.max()) == (0.0, 1.0)
    assert digits.labels.sum() == 906
    assert cancer.X.num_rows == 569
    assert cancer.X.num_columns == 30
    assert cancer.labels.sum() == 212


def test_the_texts_are_different_paragraphs_of_prose():
    case = demo.manual()
    assert len(case.X) == len(set(case.X)) == len(case.labels)
    assert 500 < (case.labels == 0).sum() < 1000  # by the version of Python
    assert 40 < case.labels.sum() < 150
    assert all(80 <= len(text) <= 600 and "\n" not in text for text in case.X)
    words = [
        sum("Python" in text for text, label in zip(case.X, case.labels, strict=True) if label == of) for of in (0, 1)
    ]
    assert words[0] > 20
    assert words[1] <= 2
    prose, code = "again and\n" * 9, ">>> " + "code " * 20
    assert demo.paragraphs([f"{prose}\n\n{code}\n\nshort", prose]) == [" ".join(prose.split())]


def test_training_and_test_rows_are_apart():
    labels = demo.digits().labels
    rows = demo.parted(labels, seed=0)
    assert labels[rows.train].sum() == labels[rows.calibration].sum() == 0
    every = np.concatenate([rows.train, rows.calibration, rows.test])
    assert np.array_equal(np.sort(every), np.arange(len(labels)))
    assert len(rows.train) == (labels == 0).sum() // 2
    assert abs(len(rows.calibration) - (labels[rows.test] == 0).sum()) <= 1
    assert not np.array_equal(rows.train, demo.parted(labels, seed=1).train)


@pytest.mark.parametrize("name", ["digits", "breast-cancer", "manual"])
def test_what_it_says_follows_from_what_it_wrote(ran, name):
    folder, summary, printed = ran
    assert json.loads((folder / "summary.json").read_text()) == summary
    result = summary[name]
    rows = pl.read_csv(result["decisions"])
    assert rows.columns == ["id", "score", "p_value", "is_anomaly", "label"]
    label, flagged = rows["label"].to_numpy(), rows["is_anomaly"].to_numpy()
    assert result["default_auroc"] == pytest.approx(roc_auc_score(label, rows["score"].to_numpy()), abs=1e-12)
    assert result["realised_false_alarm_rate"] == pytest.approx(flagged[label == 0].mean())
    assert result["found"] == pytest.approx(flagged[label == 1].mean())
    assert (result["test_normal"], result["test_anomalies"]) == ((label == 0).sum(), label.sum())
    assert f"{result['default_auroc']:.4f}" in printed
    assert f"{result['realised_false_alarm_rate']:.1%} (stated 5%)" in printed
    for by_scorer in result["auroc"].values():
        assert list(by_scorer) == ["knn", "centroid", "isolation forest"]
        assert all(f"{value:.4f}" in printed for value in by_scorer.values())


@pytest.mark.parametrize("case", [demo.digits, demo.breast_cancer, demo.manual])
def test_the_model_on_disk_gives_the_decisions_on_disk(ran, case):
    folder, summary, _ = ran
    case = case()
    test = demo.parted(case.labels, seed=3).test
    samples = take(case.X, test)
    rows = pl.read_csv(folder / f"{case.name}.csv")
    assert rows["id"].to_list() == test.tolist()
    assert rows["label"].to_list() == case.labels[test].tolist()
    decisions = load(summary[case.name]["model"]).detect(samples)
    np.testing.assert_array_equal(decisions.scores, rows["score"].to_numpy())
    np.testing.assert_array_equal(decisions.is_anomaly, rows["is_anomaly"].to_numpy())


@pytest.mark.parametrize("case", [demo.digits, demo.breast_cancer])
def test_neighbours_on_an_embedding_are_those_of_the_branch(ran, case):
    _, summary, _ = ran
    case = case()
    test = demo.parted(case.labels, seed=3).test
    detector = load(summary[case.name]["model"])
    branch = next(iter(detector.history_))
    scores = detector.branch_scores(case.X[test] if case.modality == "image" else case.X.take(test))
    found = summary[case.name]["auroc"]
    for ours, theirs in ((branch, f"trained ({branch})"), (f"{branch} (untrained)", "untrained")):
        assert roc_auc_score(case.labels[test], scores[ours]) == pytest.approx(found[theirs]["knn"], abs=1e-12)


def test_the_table_on_disk_gives_the_same_scores_again(ran):
    """The file that the last printed line offers for the command line."""
    folder, summary, printed = ran
    assert f"unalike evaluate {folder / 'breast-cancer-test.csv'}" in printed
    decisions = load(summary["breast-cancer"]["model"]).detect(folder / "breast-cancer-test.csv")
    np.testing.assert_array_equal(decisions.scores, pl.read_csv(folder / "breast-cancer.csv")["score"].to_numpy())


def test_the_samples_on_disk_are_those_of_the_demo(ran):
    folder, _, _ = ran
    for case in (demo.digits(), demo.breast_cancer(), demo.manual()):
        rows = demo.parted(case.labels, seed=3)
        for name, positions in (("train", rows.train), ("calibration", rows.calibration), ("test", rows.test)):
            if case.modality == "image":
                arrays = np.load(folder / f"{case.name}-{name}.npz")
                found, labels = arrays["X"], arrays["odd"] if name == "test" else np.zeros(len(positions))
                expected = case.X[positions]
            elif case.modality == "text":
                frame = pl.read_csv(folder / f"{case.name}-{name}.csv")
                labels = frame["foreign"].to_numpy() if name == "test" else np.zeros(len(positions))
                found, expected = frame["text"].to_numpy(), np.array(take(case.X, positions), dtype=object)
            else:
                frame = pl.read_csv(folder / f"{case.name}-{name}.csv")
                labels = frame["malignant"].to_numpy() if name == "test" else np.zeros(len(positions))
                found = frame.select(case.X.column_names).to_numpy()
                expected = case.X.take(positions).to_pandas().to_numpy()
            np.testing.assert_array_equal(found, expected)
            assert labels.tolist() == case.labels[positions].tolist()
