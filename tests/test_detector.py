from __future__ import annotations

import copy
import subprocess
import sys
import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from torch import Tensor, nn

from one_class import OneClass
from unalike import Branch, Detector, Training, encoders, modalities, objectives, scorers, thresholds
from unalike.errors import InvalidInput, InvalidParameter, NotCalibrated, NotFitted, TrainingFailed
from unalike.seeding import RowGenerator

QUICK = Training(steps=8, batch_size=64)
Array = npt.NDArray[np.float64]

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")


def table(**settings: object) -> Detector:
    return Detector("table", training=QUICK, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted(breast_cancer: OneClass) -> Detector:
    return table(threshold=thresholds.Conformal(false_alarm_rate=0.1)).fit(breast_cancer.train)


def test_it_detects_real_anomalies(fitted: Detector, breast_cancer: OneClass) -> None:
    decisions = fitted.detect(breast_cancer.test)
    assert roc_auc_score(breast_cancer.labels, decisions.scores) > 0.9
    false_alarms = decisions.is_anomaly[breast_cancer.labels == 0].mean()
    assert false_alarms < 0.25
    assert decisions.is_anomaly[breast_cancer.labels == 1].mean() > 0.6


def test_p_values_agree_with_decisions_and_the_threshold(fitted: Detector, breast_cancer: OneClass) -> None:
    decisions = fitted.detect(breast_cancer.test)
    np.testing.assert_array_equal(decisions.is_anomaly, decisions.p_values <= 0.1)
    np.testing.assert_array_equal(decisions.is_anomaly, decisions.scores > decisions.threshold)
    assert decisions.false_alarm_rate == 0.1


def test_held_out_rows_calibrate_without_themselves_and_then_join_the_bank(breast_cancer: OneClass) -> None:
    detector = table(branches=[Branch(name="raw", encoder="raw-table", scorer=scorers.KNN(k=1))])
    X = breast_cancer.train
    detector.fit(X)
    split = detector.split_
    assert set(split.train).isdisjoint(split.calibration)
    assert len(split.train) + len(split.calibration) == len(X)
    assert (detector.anomaly_scores(X) == 0).all()
    scaled = (X - X[split.train].mean(axis=0)) / X[split.train].std(axis=0)
    for row, score in zip(split.calibration[:9], detector.calibration_scores_, strict=False):
        others = np.delete(scaled, row, axis=0)
        assert score == pytest.approx(np.linalg.norm(others - scaled[row], axis=1).min(), rel=1e-5)


def test_held_out_rows_of_a_later_time_stay_out_of_the_bank(breast_cancer: OneClass) -> None:
    detector = table(branches=[Branch(name="raw", encoder="raw-table", scorer=scorers.KNN(k=1))])
    detector.fit(breast_cancer.train, time=np.arange(len(breast_cancer.train)))
    scores = detector.anomaly_scores(breast_cancer.train)
    assert (scores[detector.split_.train] == 0).all()
    np.testing.assert_array_equal(scores[detector.split_.calibration], detector.calibration_scores_)
    assert (detector.calibration_scores_ > 0).all()


def test_groups_stay_on_one_side(breast_cancer: OneClass) -> None:
    groups = np.arange(len(breast_cancer.train)) // 4
    detector = table().fit(breast_cancer.train, groups=groups)
    assert set(groups[detector.split_.train]).isdisjoint(groups[detector.split_.calibration])


def test_refit_equals_fit(breast_cancer: OneClass, fitted: Detector) -> None:
    again = clone(fitted)
    again.fit(breast_cancer.test[:90])
    again.fit(breast_cancer.train)
    np.testing.assert_array_equal(again.anomaly_scores(breast_cancer.test), fitted.anomaly_scores(breast_cancer.test))


def test_a_seed_gives_one_result_and_another_seed_another(breast_cancer: OneClass, fitted: Detector) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    other = clone(fitted).set_params(random_state=1).fit(breast_cancer.train)
    assert not np.allclose(other.anomaly_scores(breast_cancer.test), fitted.anomaly_scores(breast_cancer.test))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()


def test_one_row_scores_as_in_a_batch_in_any_order(fitted: Detector, breast_cancer: OneClass) -> None:
    X = breast_cancer.test[:40]
    whole = fitted.anomaly_scores(X)
    alone = np.concatenate([fitted.anomaly_scores(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, whole, rtol=1e-7)
    np.testing.assert_allclose(fitted.anomaly_scores(X[::-1])[::-1], whole, rtol=1e-7)
    np.testing.assert_array_equal(fitted.anomaly_scores(X), whole)


def test_trained_branches_stand_beside_their_floor(fitted: Detector, breast_cancer: OneClass) -> None:
    scores = fitted.branch_scores(breast_cancer.test)
    trained = [branch.settings.name for branch in fitted.branches_ if branch.history]
    assert trained
    for name in trained:
        assert not np.allclose(scores[name], scores[f"{name} (untrained)"])
        assert np.ptp(scores[name]) > 0


def test_the_rate_changes_without_training(fitted: Detector, breast_cancer: OneClass) -> None:
    strict = fitted.detect(breast_cancer.test, false_alarm_rate=0.05)
    loose = fitted.detect(breast_cancer.test, false_alarm_rate=0.3)
    np.testing.assert_array_equal(strict.scores, loose.scores)
    assert strict.is_anomaly.sum() < loose.is_anomaly.sum()
    assert fitted.detect(breast_cancer.test).false_alarm_rate == 0.1


def test_a_rate_for_one_call_keeps_the_kind_of_threshold(fitted: Detector, breast_cancer: OneClass) -> None:
    detector = copy.copy(fitted).calibrate(threshold=thresholds.Quantile(false_alarm_rate=0.3))
    other = copy.copy(fitted).calibrate(threshold=thresholds.Quantile(false_alarm_rate=0.05))
    moved = detector.detect(breast_cancer.test, false_alarm_rate=0.05)
    assert moved.threshold == other.threshold_.threshold_
    assert moved.threshold != fitted.detect(breast_cancer.test, false_alarm_rate=0.05).threshold


def test_the_first_fit_of_a_process_leaves_the_global_generators_alone() -> None:
    program = """
import random, warnings, numpy as np, torch
warnings.simplefilter("ignore")
from unalike import Detector
def state():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
before = state()
Detector("table", training={"steps": 2}).fit(np.random.default_rng(0).normal(size=(40, 3)))
assert state() == before
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_calibrating_anew_moves_the_threshold_and_no_score(breast_cancer: OneClass) -> None:
    detector = table(calibration_fraction=0.0, threshold=thresholds.Conformal(false_alarm_rate=0.1))
    detector.fit(breast_cancer.train)
    scores = detector.anomaly_scores(breast_cancer.test)
    with pytest.raises(NotCalibrated, match="calibrate"):
        detector.detect(breast_cancer.test)
    normal = breast_cancer.test[breast_cancer.labels == 0]
    first = detector.calibrate(normal[:60]).detect(breast_cancer.test)
    second = detector.calibrate(normal[60:]).detect(breast_cancer.test)
    np.testing.assert_array_equal(first.scores, scores)
    np.testing.assert_array_equal(second.scores, scores)
    assert first.threshold != second.threshold
    assert detector.calibrate(threshold=thresholds.Fixed(value=-1.0)).detect(breast_cancer.test).is_anomaly.all()


def test_a_rate_that_cannot_be_held_is_refused_before_training(
    breast_cancer: OneClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = table(threshold=thresholds.Conformal(false_alarm_rate=0.1)).fit(breast_cancer.train)
    before = detector.detect(breast_cancer.test)
    learned = vars(detector).copy()
    detector.set_params(threshold=thresholds.Conformal(false_alarm_rate=0.001))
    monkeypatch.setattr("unalike.detector.fit_branches", lambda *args, **settings: pytest.fail("it trained"))
    with pytest.raises(InvalidParameter, match=r"n = \d+ at least.*0.001.*needs 999 of them"):
        detector.fit(breast_cancer.train)
    with pytest.raises(InvalidParameter, match=r"n = 50 at least.*needs 999 of them"):
        detector.calibrate(breast_cancer.test[:50])
    assert vars(detector) == {**learned, "threshold": detector.threshold}
    np.testing.assert_array_equal(detector.detect(breast_cancer.test).is_anomaly, before.is_anomaly)


def test_a_fine_rate_may_wait_for_calibrate(breast_cancer: OneClass) -> None:
    fine = thresholds.Conformal(false_alarm_rate=0.02)
    detector = table(threshold=fine, calibration_fraction=0.0).fit(breast_cancer.train)
    normal = breast_cancer.test[breast_cancer.labels == 0]
    with pytest.raises(InvalidParameter, match="needs 49 of them"):
        detector.calibrate(normal[:48])
    with pytest.raises(NotCalibrated):
        detector.detect(normal)
    assert detector.calibrate(normal[:49]).detect(normal).false_alarm_rate == 0.02


def test_a_rate_that_only_the_suspects_could_hold_is_refused_with_nothing_replaced() -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(300, 4))
    X[::25] += 60.0
    settings = {"expected_anomalies": 0.15, "encoder": "raw-table", "objective": "frozen"}
    detector = Detector("table", **settings).fit(X)
    kept = len(detector.split_.calibration)
    assert kept < 60
    learned = vars(detector).copy()
    detector.set_params(threshold=thresholds.Conformal(false_alarm_rate=1 / 61))
    with pytest.raises(InvalidParameter, match=rf"n = {kept} at least.*needs 60 of them"):
        detector.fit(X)
    assert vars(detector) == {**learned, "threshold": detector.threshold}


def test_a_threshold_of_the_users_is_asked_only_when_it_tells_what_it_needs(breast_cancer: OneClass) -> None:
    class Needy(thresholds.Quantile):
        samples_needed = 37

    class Late(thresholds.Quantile):
        @property
        def threshold_(self) -> float:
            raise InvalidParameter("`late` must wait.")

    with pytest.raises(InvalidParameter, match=r"Needy.*needs 37 of them"):
        table(threshold=Needy()).fit(breast_cancer.train[:100])
    detector = table(threshold=Late()).fit(breast_cancer.train)
    with pytest.raises(InvalidParameter, match="must wait"):
        detector.detect(breast_cancer.test)


def test_scikit_learns_signs(fitted: Detector, breast_cancer: OneClass) -> None:
    X = breast_cancer.test
    decisions = fitted.detect(X)
    np.testing.assert_array_equal(fitted.predict(X), np.where(decisions.is_anomaly, -1, 1))
    np.testing.assert_array_equal(fitted.score_samples(X), -decisions.scores)
    np.testing.assert_array_equal(fitted.decision_function(X) < 0, decisions.is_anomaly)


def test_a_pipeline_gives_the_steps_scores(breast_cancer: OneClass) -> None:
    pipeline = make_pipeline(MinMaxScaler(), table()).fit(breast_cancer.train)
    scaled = MinMaxScaler().fit(breast_cancer.train)
    alone = table().fit(scaled.transform(breast_cancer.train))
    np.testing.assert_array_equal(
        pipeline.score_samples(breast_cancer.test), alone.score_samples(scaled.transform(breast_cancer.test))
    )


def test_fit_copies_what_the_user_passed(breast_cancer: OneClass) -> None:
    class Mine(nn.Module):
        width = 7

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(60, 7)

        def forward(self, data: Tensor) -> Tensor:
            out: Tensor = self.layer(data.flatten(1))
            return out

    mine, scorer = Mine(), scorers.KNN(k=2)
    before = mine.layer.weight.clone()
    X = breast_cancer.train.copy()
    detector = table(encoder=mine, objective="simclr", scorer=scorer).fit(X)
    assert torch.equal(before, mine.layer.weight)
    assert mine.layer.weight.requires_grad
    assert not hasattr(scorer, "reference_scores_")
    np.testing.assert_array_equal(X, breast_cancer.train)
    assert detector.embed(X).shape == (len(X), 7)
    assert detector.encoder is mine


def test_a_users_view_objective_scorer_and_threshold(breast_cancer: OneClass) -> None:
    def shift(data: Tensor, generator: RowGenerator) -> Tensor:
        return torch.stack([data[..., 0] + 0.1 * generator.normal(data.shape[1]), data[..., 1]], dim=2)

    class Pull(nn.Module):
        def __init__(self, encoder: nn.Module) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, batch: object, views: object, generator: RowGenerator) -> Tensor:
            z = self.encoder(views(batch.data, generator))  # type: ignore[operator, attr-defined]
            loss: Tensor = (z.std(dim=0) - 1).pow(2).mean()
            return loss

    class Norm:
        reference_scores_ = np.zeros(1)

        def fit(self, embeddings: Array, reference: Array | None = None, groups: object = None) -> Norm:
            self.center_ = embeddings.mean(axis=0)
            self.reference_scores_ = self.score(embeddings)
            return self

        def score(self, embeddings: Array) -> Array:
            return np.asarray(np.linalg.norm(embeddings - self.center_, axis=1), dtype=np.float64)

    class Top:
        threshold_, false_alarm_rate_ = 0.0, None

        def fit(self, scores: Array) -> Top:
            self.threshold_ = float(scores.max())
            return self

        def p_values(self, scores: Array) -> Array:
            return np.full(len(scores), np.nan)

        def is_anomaly(self, scores: Array) -> npt.NDArray[np.bool_]:
            return np.asarray(scores > self.threshold_)

    detector = table(views=shift, objective=Pull, scorer=Norm(), threshold=Top()).fit(breast_cancer.train)
    decisions = detector.detect(breast_cancer.test)
    assert roc_auc_score(breast_cancer.labels, decisions.scores) > 0.8
    assert 0 < decisions.is_anomaly.sum() < len(decisions)


def test_mixed_columns_from_pandas_and_polars_agree() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(50, 5, 200),
            "kind": rng.choice(["card", "cash"], 200),
            "night": rng.random(200) < 0.2,
        }
    )
    frame.loc[3, "amount"] = np.nan
    strange = pd.DataFrame({"amount": [500.0, 50.0], "kind": ["cheque", "card"], "night": [True, False]})
    detector = table(threshold=thresholds.Conformal(false_alarm_rate=0.1)).fit(frame)
    decisions = detector.detect(strange)
    assert decisions.scores[0] > decisions.scores[1]
    assert decisions.is_anomaly.tolist() == [True, False]
    import polars as pl

    np.testing.assert_array_equal(detector.anomaly_scores(pl.from_pandas(strange)), decisions.scores)
    np.testing.assert_array_equal(detector.anomaly_scores(strange[["night", "kind", "amount"]]), decisions.scores)
    with pytest.raises(InvalidInput, match="kind"):
        detector.detect(strange.drop(columns="kind"))


def test_images_detect_and_embed(zeros: OneClass) -> None:
    detector = Detector("image", training=Training(steps=5, batch_size=64)).fit(zeros.train)
    assert roc_auc_score(zeros.labels, detector.anomaly_scores(zeros.test)) > 0.95
    assert detector.embed(zeros.test[:3]).shape[0] == 3
    alone = np.concatenate([detector.anomaly_scores(zeros.test[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(alone, detector.anomaly_scores(zeros.test[:10]), rtol=1e-4)


def test_branches_can_be_switched_off_and_are_fused(breast_cancer: OneClass) -> None:
    names = [branch.name for branch in modalities.Table().fit(breast_cancer.train).branches()]
    detector = table(switch_off=names[1:]).fit(breast_cancer.train)
    assert [branch.settings.name for branch in detector.branches_] == names[:1]
    alone = detector.branch_scores(breast_cancer.test)[names[0]]
    np.testing.assert_array_equal(detector.anomaly_scores(breast_cancer.test), alone)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"modality": "sound"}, "image"),
        ({"modality": 3}, "Modality"),
        ({"encoder": "lenet"}, "convnet"),
        ({"objective": "byol"}, "simclr"),
        ({"scorer": "nearest"}, "knn"),
        ({"threshold": "guess"}, "conformal"),
        ({"switch_off": ["nothing"]}, "switch_off"),
        ({"branches": []}, "leave a branch"),
        ({"branches": [3]}, "sequence of Branch"),
        ({"branches": [Branch(name="a", encoder="raw-table")] * 2}, "different names"),
        ({"branches": [Branch(name="a", encoder="raw-table")], "scorer": "knn"}, "branches"),
        ({"calibration_fraction": 1.0}, "calibration_fraction"),
        ({"device": "abacus"}, "device"),
        ({"random_state": "today"}, "random_state"),
        ({"training": Training(epochs=0)}, "epochs"),
        ({"training": {"epoch": 3}}, "epoch"),
        ({"training": {"steps": "3"}}, "steps"),
        ({"training": {"steps": 2.5}}, "steps"),
        ({"training": {"learning_rate": float("nan")}}, "learning_rate"),
        ({"training": {"precision": "8-bit"}}, "precision"),
        ({"calibration_fraction": "most"}, "calibration_fraction"),
        ({"switch_off": "nearest"}, "list of names"),
    ],
)
def test_wrong_settings_teach(settings: dict[str, object], match: str, breast_cancer: OneClass) -> None:
    with pytest.raises(InvalidParameter, match=match):
        Detector(**settings).fit(breast_cancer.train[:30])  # type: ignore[arg-type]


def test_a_failed_refit_keeps_the_old_detector(breast_cancer: OneClass) -> None:
    detector = table().fit(breast_cancer.train)
    scores = detector.anomaly_scores(breast_cancer.test)
    with pytest.raises(InvalidInput):
        detector.fit(np.full((10, 3), np.inf))
    detector.set_params(training=Training(learning_rate=1e30, steps=5))
    with pytest.raises(TrainingFailed):
        detector.fit(breast_cancer.train)
    np.testing.assert_array_equal(detector.anomaly_scores(breast_cancer.test), scores)


def test_verbs_before_fit_teach(breast_cancer: OneClass) -> None:
    for verb in ("detect", "anomaly_scores", "embed", "predict", "branch_scores", "calibrate"):
        with pytest.raises(NotFitted, match="fit"):
            getattr(table(), verb)(breast_cancer.test)


def test_constant_data_says_so() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table().fit(np.ones((40, 3)))
    assert any("same score" in str(warning.message) for warning in caught)


def test_the_table_default_uses_synthetic_negatives_and_a_name_swaps_it(breast_cancer: OneClass) -> None:
    detector = table(objective=objectives.SimCLR(temperature=0.5), encoder=encoders.TableMLP(hidden=(32,)))
    detector.fit(breast_cancer.train)
    (branch,) = detector.branches_
    assert branch.settings.name == "main"
    assert branch.settings.training == QUICK
    assert detector.embed(breast_cancer.test).shape[1] == 32
    assert detector.history_["main"][-1]["loss"] < detector.history_["main"][1]["loss"]


def test_a_mapping_changes_some_training_settings_of_every_branch(breast_cancer: OneClass) -> None:
    detector = Detector("table", training={"steps": 4}).fit(breast_cancer.train)
    trained = [branch.settings.training for branch in detector.branches_ if branch.history]
    own = [branch.training for branch in detector.modality_.branches() if branch.objective is not None]
    assert [settings.steps for settings in trained] == [4] * len(own)
    assert [settings.batch_size for settings in trained] == [settings.batch_size for settings in own]


def test_a_center_counts_only_where_it_orders_normal_rows_as_neighbours_do() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(300, 10))
    several = 0.3 * one + 9.0 * np.eye(10)[np.arange(300) % 3]
    branches = [
        Branch(name="nearest", encoder="raw-table"),
        Branch(name="center", encoder="raw-table", scorer="centroid", weight=8.0, agreement=0.65),
    ]
    weights = [table(branches=branches).fit(X).fusion_.weights["center"] for X in (one, several)]
    assert weights[0] > 0
    assert weights[1] == 0
