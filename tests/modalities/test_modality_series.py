"""Series through fit, detect, update, save and load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from unalike import Branch, Detector, load, save, scorers, thresholds
from unalike.encoders import RawWindow
from unalike.errors import CalibrationWarning, InputWarning, InvalidInput, InvalidParameter, UnalikeWarning
from unalike.modalities import Series

Array = npt.NDArray[np.float64]
pytestmark = pytest.mark.filterwarnings("ignore:A false-alarm rate of::")

WINDOW = 12
RAW = (Branch(name="windows", encoder=RawWindow(), scorer=scorers.KNN(k=3)),)


def waves(n: int, seed: int = 0, channels: int = 2) -> Array:
    """Sines of one period, a window long, with noise."""
    t = np.arange(n)[:, None]
    noise = np.random.default_rng(seed).normal(size=(n, channels))
    return np.asarray(np.sin(2 * np.pi * t / WINDOW + np.arange(channels)) + 0.1 * noise)


def hosts(n: int, names: str = "abc", seed: int = 0) -> pd.DataFrame:
    when = pd.date_range("2024-01-01", periods=n, freq="5min")
    made = [
        pd.DataFrame(waves(n, seed + 10 * number), columns=["load", "heat"]).assign(when=when, host=name)
        for number, name in enumerate(names)
    ]
    return pd.concat(made, ignore_index=True)


def detector(modality: Series | None = None, **settings: Any) -> Detector:
    settings = {"branches": RAW, "threshold": thresholds.Conformal(false_alarm_rate=0.05), **settings}
    return Detector(modality or Series(window=WINDOW), **settings)


def of_hosts(**settings: Any) -> Detector:
    return detector(Series(window=WINDOW, time="when", entity="host"), **settings)


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return detector().fit(waves(600))


@pytest.mark.parametrize(("most", "seen"), [(4000, 296 + 96), (100, 100 + 32)])
def test_an_update_takes_the_share_of_windows_that_training_took(most: int, seen: int, tmp_path: Path) -> None:
    made = detector(Series(window=WINDOW, stride=2, most_windows=most), calibration_fraction=0.0).fit(waves(602))
    save(made, tmp_path / "m.unalike")
    for model in (made, load(tmp_path / "m.unalike")):
        before = model.branches_[0].judge.scorer
        model.update(waves(202, seed=5), into="scorer")
        after = model.branches_[0].judge.scorer
        assert (before.rows_seen_, after.rows_seen_) == (min(most, 296), seen)
        assert len(after.bank_) == seen
        model.update(waves(202, seed=6), into="scorer")  # the next new windows weigh as much
        assert model.branches_[0].judge.scorer.rows_seen_ == seen + (seen - before.rows_seen_)


@pytest.mark.parametrize("gap", [1, 5])
def test_gaps_of_up_to_half_a_window_are_judged_as_straight_lines(fitted: Detector, gap: int) -> None:
    X = waves(120, seed=4)
    inside = np.arange(60, 60 + gap)
    X[inside] = np.nan
    bridged = X.copy()
    for channel in range(2):
        bridged[inside, channel] = np.interp(inside, [59, 60 + gap], X[[59, 60 + gap], channel])
    series = fitted.modality_
    windows, spans = series.cut(series.check(X))
    around = (spans[:, 0] <= 59) & (spans[:, 1] > 60 + gap)
    assert around.any()
    assert np.isnan(series.tensors(windows).numpy()[around]).any()  # missing stays missing: encoders bridge it
    np.testing.assert_allclose(fitted.embed(X)[around], fitted.embed(bridged)[around], atol=1e-5)


def test_a_gap_of_more_than_half_a_window_is_not_judged(fitted: Detector) -> None:
    X = waves(120, seed=4)
    X[60 : 60 + 2 * WINDOW] = np.nan
    with pytest.warns(InputWarning, match="could not be judged"):
        scores = fitted.detect(X).scores
    assert (scores[60 + WINDOW // 2 : 60 + 3 * WINDOW // 2] == 0.0).all()


def test_every_step_has_a_decision_and_the_odd_ones_score_highest(fitted: Detector) -> None:
    X = waves(300, seed=1)
    X[150:155] += 3.0
    decisions = fitted.detect(X)
    assert len(decisions) == 300
    assert decisions.ids.tolist() == list(range(300))
    assert 150 - WINDOW < np.argmax(decisions.scores) < 155 + WINDOW
    highest = max(decisions.events(merge=3), key=lambda event: event.score)
    assert highest.start <= 150 < 155 <= highest.end


def test_a_record_alone_scores_as_among_many_and_their_order_does_not_matter() -> None:
    model = of_hosts().fit(hosts(300))
    test = hosts(100, seed=5)
    together = model.anomaly_scores(test)
    for number, name in enumerate("abc"):
        alone = model.anomaly_scores(test[test.host == name])
        np.testing.assert_array_equal(alone, together[100 * number : 100 * (number + 1)])
    shuffled = test.iloc[np.random.default_rng(0).permutation(len(test))]
    decisions = model.detect(shuffled)
    scores = dict(zip(zip(decisions.entities, decisions.ids, strict=True), decisions.scores, strict=True))
    expected = model.detect(test)
    for entity, when, score in zip(expected.entities, expected.ids, expected.scores, strict=True):
        assert scores[entity, when] == score


def test_a_fit_again_and_a_copy_from_disk_score_alike(fitted: Detector, tmp_path: Path) -> None:
    X, test = waves(600), waves(200, seed=1)
    test[20:30] = np.nan
    expected = fitted.anomaly_scores(test)
    again = detector().fit(waves(500, seed=3)).fit(X)
    np.testing.assert_array_equal(again.anomaly_scores(test), expected)
    loaded = load(save(fitted, tmp_path / "m.unalike"))
    np.testing.assert_array_equal(loaded.anomaly_scores(test), expected)
    np.testing.assert_array_equal(loaded.memory_.trained, fitted.memory_.trained)
    assert loaded.modality_.schema == fitted.modality_.schema
    test[100:104] += 2.0
    assert len(fitted.detect(test).events()) > 0
    assert loaded.detect(test).events().items == fitted.detect(test).events().items


def test_tensors_are_standardised_by_training_steps_and_clipped() -> None:
    X = waves(200) * [2.0, 500.0] + [5.0, -1e6]
    modality = Series(window=WINDOW)
    records = modality.check(X)
    parts, _ = modality.fit(records).cut(records)
    tensors = modality.tensors(parts)
    assert tensors.shape[1:] == (2, WINDOW)
    assert modality.schema.shape == (2, WINDOW)
    expected = (X[:WINDOW] - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(tensors[0].T.numpy(), expected, atol=1e-4)
    far = modality.check(np.full((WINDOW, 2), 1e12))
    assert torch.equal(modality.tensors(modality.cut(far)[0]), torch.full((1, 2, WINDOW), 20.0))


def test_a_constant_channel_shows_only_when_it_moves() -> None:
    X = np.column_stack([waves(600, channels=1), np.full(600, 7.0)])
    model = detector().fit(X)
    assert model.modality_.scale_[1] == 1.0
    test = np.column_stack([waves(200, seed=1, channels=1), np.full(200, 7.0)])
    moved = test.copy()
    moved[100:110, 1] = 12.0
    usual, odd = model.anomaly_scores(test), model.anomaly_scores(moved)
    far = np.r_[0 : 100 - WINDOW, 110 + WINDOW : 200]
    np.testing.assert_array_equal(odd[far], usual[far])
    assert odd[100:110].min() > usual.max()


def test_a_record_shorter_than_a_window_is_judged_and_may_train(fitted: Detector) -> None:
    short = waves(5, seed=2)
    records = fitted.modality_.check(short)
    tensors = fitted.modality_.tensors(fitted.modality_.cut(records)[0])
    assert tensors.shape == (1, 2, WINDOW)
    assert tensors[..., : WINDOW - 5].isnan().all()
    assert tensors[..., WINDOW - 5 :].isfinite().all()
    scores = fitted.anomaly_scores(short)
    assert scores.shape == (5,)
    assert len(set(scores.tolist())) == 1
    assert fitted.anomaly_scores(short + 5.0).min() > scores.max()
    many = detector().fit([waves(5 + number % 20, seed=number) for number in range(60)])
    assert np.isfinite(many.anomaly_scores([short, waves(40, seed=1)])).all()


def test_a_channel_that_lacks_counts_as_missing_and_is_told() -> None:
    frame = pd.DataFrame(waves(600), columns=["load", "heat"])
    model = detector().fit(frame)
    test = pd.DataFrame(waves(100, seed=1), columns=["load", "heat"])
    with pytest.warns(InputWarning, match=r"none called \['heat'\]\. They count as missing"):
        lacking = model.anomaly_scores(test[["load"]])
    np.testing.assert_array_equal(lacking, model.anomaly_scores(test.assign(heat=np.nan)))
    assert np.isfinite(lacking).all()
    assert not np.array_equal(lacking, model.anomaly_scores(test))
    with pytest.raises(InvalidInput, match="none of them among"):
        model.detect(test.rename(columns={"load": "a", "heat": "b"}))


@pytest.mark.filterwarnings("ignore:.* could not be judged")
def test_steps_that_nothing_was_measured_of_are_as_normal_as_can_be(fitted: Detector) -> None:
    X = waves(200, seed=1)
    X[60:130] = np.nan
    decisions = fitted.detect(X)
    inner = slice(60 + WINDOW, 130 - WINDOW)
    assert (decisions.scores[inner] == 0.0).all()
    assert not decisions.is_anomaly[inner].any()
    assert (decisions.scores[:50] > 0.0).all()


@pytest.mark.filterwarnings("ignore:.* could not be judged")
def test_what_was_not_measured_is_no_anomaly_where_scores_are_below_zero() -> None:
    density = Branch(name="density", encoder=RawWindow(points=4), scorer=scorers.KernelDensity())
    fitted, X = detector(branches=(density,)).fit(waves(900)), waves(300, seed=1)
    assert fitted.threshold_.threshold_ < 0.0
    X[100:250] = np.nan
    found = fitted.detect(X)
    assert not found.is_anomaly[160:200].any()
    assert (found.scores[160:200] == fitted.fusion_.least).all()
    assert found.scores[160] <= np.median(found.scores[:90])
    stream = fitted.stream()
    told = np.concatenate([stream.push(X).final.scores, stream.close().final.scores])
    assert np.array_equal(told, found.scores)


def test_gaps_in_time_become_missing_steps_or_a_new_stretch() -> None:
    model = detector(Series(window=WINDOW, time="when", longest_gap=20)).fit(hosts(600, "a").drop(columns="host"))
    test = hosts(200, "a", seed=1).drop(columns="host")
    small, large = test.drop(index=range(50, 60)), test.drop(index=range(50, 100))
    decisions = model.detect(small)
    assert len(decisions) == 200  # the ten missing steps are judged with those around them
    assert decisions.steps.tolist() == list(range(200))
    parted = model.detect(large)
    assert len(parted) == 150
    assert parted.steps.tolist() == [*range(50), *range(100, 200)]
    # Windows do not reach over the gap: the stretch after it scores as a record of its own.
    np.testing.assert_array_equal(parted.scores[50:], model.anomaly_scores(test.iloc[100:]))


def test_suspected_steps_are_set_aside() -> None:
    X = waves(900)
    X[100:112] += 4.0
    model = detector(expected_anomalies=0.05).fit(X)
    aside = model.set_aside_
    assert np.isin(np.arange(102, 110), aside).all()
    assert len(aside) <= 0.05 * 900 + 4 * WINDOW
    test = waves(200, seed=1)
    test[100:112] += 4.0
    assert model.detect(test).is_anomaly[102:110].all()


@pytest.mark.parametrize("name", ["groups", "time"])
def test_what_orders_samples_is_refused(fitted: Detector, name: str) -> None:
    with pytest.raises(InvalidParameter, match=f"`{name}` must not be given for records"):
        detector().fit(waves(300), **{name: list(range(300))})
    if name == "groups":
        with pytest.raises(InvalidParameter, match="`groups` must not be given for records"):
            detector().fit(waves(300)).update(waves(100, seed=1), into="calibration", groups=list(range(100)))


def test_each_entity_has_its_own_threshold_by_itself() -> None:
    train = hosts(700)
    train.loc[train.host == "c", ["load", "heat"]] += np.random.default_rng(1).normal(0.0, 0.5, (700, 2))
    model = of_hosts(threshold=thresholds.PerEntity("quantile", least=30)).fit(train)
    assert set(model.threshold_.own_) == {"a", "b", "c"}
    test = hosts(200, seed=5)
    expected = model.detect(test, entities=test.host.tolist())
    decisions = model.detect(test)
    np.testing.assert_array_equal(decisions.is_anomaly, expected.is_anomaly)
    np.testing.assert_array_equal(decisions.p_values, expected.p_values)
    limits = [model.threshold_.own_[name].threshold_ for name in "abc"]
    assert limits[2] > max(limits[:2])
    counts = dict(model.threshold_.counts_)
    model.update(hosts(100, "c", seed=40), into="calibration")
    assert model.threshold_.counts_ == counts | {"c": counts["c"] + 100}
    model.calibrate(hosts(150, "ab", seed=60))
    assert model.threshold_.counts_ == {"a": 150, "b": 150}


def test_new_steps_join_the_calibration_once() -> None:
    model, new = detector().fit(waves(600)), waves(100, seed=1)
    before = model.calibration_scores_
    scores = model.anomaly_scores(new)
    model.update(new, into="calibration")
    np.testing.assert_array_equal(model.calibration_scores_, np.concatenate([before, scores]))
    with pytest.raises(InvalidInput, match="has not seen; 0 of 100 are in the scorers and 100 in the calibration"):
        model.update(new, into="calibration")
    longer = np.concatenate([new, waves(60, seed=2)])
    with pytest.warns(UnalikeWarning, match="left out: 0 of 160 are in the scorers and 100 in the calibration"):
        model.update(longer, into="calibration")
    assert len(model.calibration_scores_) == len(before) + 160
    # As a record of their own: windows that reach back into what is known would look too normal.
    np.testing.assert_array_equal(model.calibration_scores_[-60:], model.anomaly_scores(longer[100:]))


def test_training_steps_do_not_calibrate() -> None:
    X = waves(600)
    model = detector().fit(X)
    with pytest.raises(InvalidInput, match="has not seen; "):
        model.update(X, into="calibration")
    with pytest.warns(CalibrationWarning, match="600 of 600 are, because they trained or calibrated"):
        model.calibrate(X)


def test_new_steps_too_few_for_a_window_beside_known_ones_are_left_out() -> None:
    model, known = detector().fit(waves(600)), waves(100, seed=1)
    model.update(known, into="calibration")
    n = len(model.calibration_scores_)
    few = np.concatenate([known, waves(WINDOW - 2, seed=2)])
    seen = pytest.warns(UnalikeWarning, match="has seen are left out")
    with seen, pytest.raises(InvalidInput, match=f"enough for a window; got {WINDOW - 2} that"):
        model.update(few, into="calibration")
    # The end of a known record looks new until a window of it has passed.
    tail = pytest.warns(UnalikeWarning, match=f"{WINDOW - 1} new steps are left out")
    with seen, tail:
        model.update([known[30:], waves(50, seed=3)], into="calibration")
    assert len(model.calibration_scores_) == n + 50
    model.update(waves(5, seed=4), into="calibration")  # all there is of a record
    assert len(model.calibration_scores_) == n + 55


def test_what_the_scorers_take_in_becomes_normal() -> None:
    model = detector(Series(window=WINDOW, stride=2)).fit(waves(600))
    other = waves(400, seed=1) + 3.0
    held = waves(300, seed=2)
    assert model.detect(other[:100]).is_anomaly.mean() > 0.9
    with pytest.raises(InvalidParameter, match="`calibration` must hold the calibration samples"):
        model.update(other[100:], into="scorer")
    model.update(other[100:], into="scorer", calibration=held)
    assert len(model.calibration_scores_) == 300
    assert model.detect(other[:100]).is_anomaly.mean() < 0.5
    with pytest.raises(InvalidInput, match="has not seen; 300 of 300 are in the scorers"):
        model.update(other[100:], into="scorer", calibration=held)


def test_windows_that_overlap_do_not_vouch_for_each_other_in_an_update() -> None:
    model = detector(calibration_fraction=0.0).fit(waves(600))
    noise = np.random.default_rng(1).normal(size=(300, 2))
    model.update(noise, into="scorer")
    (branch,) = model.branches_
    scores = branch.judge.scorer.reference_scores_
    records = model.modality_.check(noise)
    parts, _ = model.modality_.cut(records)
    _, blocks = model.modality_.timing(parts)
    rows = model.embed(noise)
    for place in (0, len(rows) // 2):
        others = rows[blocks != blocks[place]]
        least = np.sort(np.linalg.norm(others - rows[place], axis=1))[: branch.judge.scorer.k]
        known = branch.judge.scorer.bank_[: -len(rows)]
        least = np.sort([*least, *np.sort(np.linalg.norm(known - rows[place], axis=1))[: len(least)]])[: len(least)]
        assert np.isclose(scores[len(known) + place], (least.mean(), least.max()), rtol=1e-5).any()


def test_the_period_is_the_window_where_none_is_given() -> None:
    model = detector(Series()).fit(waves(900, channels=1))
    assert model.modality_.window_ % WINDOW in (0, 1, WINDOW - 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 1}, "`window` must be a number of steps, at least 2, or 'auto'"),
        ({"window": 20.5}, "`window` must be a number of steps, at least 2, or 'auto'"),
        ({"stride": 0}, "`stride` must be a number of steps, at least 1"),
        ({"stride": 1.5}, "`stride` must be a number of steps, at least 1"),
        ({"longest_gap": 2.5}, "`longest_gap` must be a number of steps, at least 1"),
        ({"most_windows": 10.5}, "`most_windows` must be"),
        ({"ignore": "load"}, r"Use ['load']"),
        ({"most_windows": 1}, "`most_windows` must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=re.escape(message)):
        Series(**settings)


def test_what_cannot_train_is_refused() -> None:
    with pytest.raises(InvalidInput, match="missing values only"):
        detector().fit(np.full((300, 2), np.nan))
    with pytest.raises(InvalidInput, match="at least 2 steps to train on"):
        detector(calibration_fraction=0.0).fit(np.zeros((1, 2)))
    sparse = waves(600)
    sparse[np.arange(600) % 3 > 0] = np.nan
    with pytest.raises(InvalidInput, match="a window of which at least half was measured"):
        detector().fit(sparse)


def test_what_cannot_be_judged_neither_calibrates_nor_joins(fitted: Detector) -> None:
    before, nothing = fitted.threshold_.threshold_, np.full((300, 2), np.nan)
    for refused in (
        lambda: fitted.calibrate(nothing),
        lambda: fitted.update(nothing, into="calibration"),
        lambda: fitted.update(nothing, into="scorer", calibration=waves(300, seed=7)),
    ):
        with pytest.raises(InvalidInput, match="a window of which at least half was measured; got 300 steps"):
            refused()
    assert fitted.threshold_.threshold_ == before


def test_steps_that_could_not_be_judged_are_told(fitted: Detector) -> None:
    record = waves(300)
    record[100:200] = np.nan
    with pytest.warns(InputWarning, match=r"\d+ of 300 steps could not be judged"):
        decisions = fitted.detect(record)
    assert not decisions.is_anomaly[150]


def test_a_record_too_short_to_hold_blocks_out_is_refused() -> None:
    with pytest.raises(InvalidInput, match="long enough to hold out blocks"):
        detector(Series(window=80)).fit(waves(100))
