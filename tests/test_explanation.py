"""Explanations of tables, checked by cells that were spoilt on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from one_class import OneClass
from unalike import Branch, Detector, load, modalities, save, scorers
from unalike.encoders import RawTable
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.explanation import chosen_positions, not_increasing
from unalike.modalities import columns

pytestmark = pytest.mark.filterwarnings("ignore::unalike.errors.CalibrationWarning")

NEAREST = (
    Branch(name="near", encoder=RawTable(), scorer=scorers.KNN(k=1)),
    Branch(name="log", encoder=RawTable(scaling="signed-log"), scorer=scorers.KNN(k=3)),
)


def people(n: int, seed: int = 0) -> pd.DataFrame:
    """Weight follows height, and the sport follows both; one cell in ten of `pulse` is missing."""
    rng = np.random.default_rng(seed)
    height = rng.normal(170.0, 10.0, n)
    frame = pd.DataFrame({"height": height, "weight": height - 100.0 + rng.normal(0.0, 2.0, n)})
    frame["sport"] = np.where(height > 180.0, "basketball", np.where(height < 160.0, "riding", "tennis"))
    frame["member"] = rng.random(n) < 0.5
    frame["shoes"] = rng.integers(1, 9, n)
    frame["pulse"] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(60.0, 5.0, n))
    return frame.set_index(pd.Index([f"person {number}" for number in range(n)]))


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return Detector("table", branches=NEAREST).fit(people(400))


def spoilt(column: str, value: object, n: int = 12) -> pd.DataFrame:
    frame = people(n, seed=1)
    frame[column] = frame[column].astype(object)
    frame[column] = value
    return frame.infer_objects()


@pytest.mark.parametrize(
    ("column", "value"),
    [("height", 260.0), ("weight", 150.0), ("sport", "chess"), ("shoes", 40), ("pulse", 200.0)],
)
def test_the_spoilt_column_stands_first_with_its_value_and_what_is_usual(
    fitted: Detector, column: str, value: object
) -> None:
    clean, bad = people(12, seed=1), spoilt(column, value)
    explained = fitted.explain(bad)
    assert len(explained) == 12
    firsts = [sample.parts[0] for sample in explained]
    assert sum(part.place == column for part in firsts) >= 11
    assert all(part.value == value and isinstance(part.value, type(value)) for part in firsts if part.place == column)
    for part, before in zip(firsts, clean[column], strict=True):
        if part.place == column == "weight":
            assert part.usual == pytest.approx(before, abs=12.0)  # what these people weigh, not what all do
        if part.place == column == "shoes":
            assert isinstance(part.usual, int)
            assert 1 <= part.usual <= 8
        if part.place == column == "sport":
            assert part.usual == before


def test_two_columns_that_are_guilty_together_stand_first(fitted: Detector) -> None:
    bad = people(20, seed=2).assign(shoes=60, pulse=300.0)
    for sample in fitted.explain(bad):
        assert {part.place for part in sample.parts[:2]} == {"shoes", "pulse"}


def test_a_date_is_one_place() -> None:
    rng = np.random.default_rng(0)
    hours = pd.to_timedelta(24 * rng.integers(0, 60, 300) + rng.integers(8, 10, 300), unit="h")
    frame = pd.DataFrame({"a": rng.normal(size=300), "entered": pd.Timestamp("2026-01-01") + hours})
    detector = Detector("table", branches=NEAREST).fit(frame)
    late = frame[:4].assign(entered=pd.Timestamp("2026-01-20 20:30"))
    for sample in detector.explain(late):
        assert sample.parts[0].place == "entered"
        assert sample.parts[0].value == pd.Timestamp("2026-01-20 20:30")
        assert "08" in str(sample.parts[0].usual) or "09" in str(sample.parts[0].usual), sample.parts[0].usual


def test_a_column_alone_takes_all_the_blame_of_a_nearest_neighbour() -> None:
    X = np.random.default_rng(0).normal(size=(300, 4))
    detector = Detector("table", branches=NEAREST[:1]).fit(X)
    row = X[detector.split_.train[7]].copy()
    row[2] += 30.0
    (sample,) = detector.explain(row[None], most_places=1)
    assert sample.score == detector.anomaly_scores(row[None])[0]
    (part,) = sample.parts
    assert part.place == "x2"
    assert part.share > 0.9
    assert part.value == row[2]
    assert sample.nearest[0] == str(detector.split_.train[7])
    np.testing.assert_allclose(sample.picture, [0.0, 0.0, part.share, 0.0])


def test_shares_fall_and_sum_to_at_most_one(breast_cancer: OneClass) -> None:
    detector = Detector("table", branches=NEAREST).fit(breast_cancer.train)
    explained = detector.explain(breast_cancer.test[-30:])
    for sample in explained:
        shares = [part.share for part in sample.parts]
        assert 1 <= len(shares) <= 5
        assert shares == sorted(shares, reverse=True)
        assert 0.0 < sum(shares) <= 1.0 + 1e-12
        assert sample.picture is not None
        assert sample.picture.sum() == pytest.approx(sum(shares))
    np.testing.assert_array_equal([s.score for s in explained], detector.anomaly_scores(breast_cancer.test[-30:]))


def test_alone_in_a_batch_and_after_loading_it_is_the_same(fitted: Detector, tmp_path: Path) -> None:
    bad = spoilt("weight", 140.0, n=5)
    whole = fitted.explain(bad)
    save(fitted, tmp_path / "m.unalike")
    loaded = load(tmp_path / "m.unalike").explain(bad)
    alone = [fitted.explain(bad.iloc[[row]])[0] for row in range(len(bad))]
    for one, two, three in zip(whole, loaded, alone, strict=True):
        assert (one.id, one.score, one.parts, one.nearest) == (two.id, two.score, two.parts, two.nearest)
        assert (one.id, one.nearest) == (three.id, three.nearest)
        assert [part.place for part in one.parts] == [part.place for part in three.parts]


def test_only_some_are_explained(fitted: Detector) -> None:
    bad = people(10, seed=5)
    mask = np.arange(10) % 4 == 1
    by_mask, by_position = fitted.explain(bad, only=mask), fitted.explain(bad, only=[1, 5, 9])
    assert [sample.id for sample in by_mask] == ["person 1", "person 5", "person 9"]
    assert [sample.parts for sample in by_mask] == [sample.parts for sample in by_position]
    assert len(fitted.explain(bad, only=np.zeros(10, dtype=bool))) == 0
    assert len(fitted.explain(bad)[2:4]) == 2


@pytest.mark.parametrize("only", [[True, False], [10], [-1], [0.5], np.zeros((2, 2), dtype=int)])
def test_a_wrong_choice_is_refused(only: object) -> None:
    with pytest.raises(InvalidInput, match="`only` must be a mask of 10 booleans or positions from 0 to 9"):
        chosen_positions(only, 10)


def test_frames_of_causes(fitted: Detector) -> None:
    explained = fitted.explain(spoilt("pulse", 200.0).assign(sport=None), most_places=3)
    frame = explained.to_frame("pandas")
    assert list(frame) == ["id", "score", "place", "share", "value", "usual", "nearest"]
    assert len(frame) == sum(len(sample.parts) for sample in explained)
    assert (frame[frame["place"] == "sport"]["value"] == "").all()
    assert explained.to_frame("polars").height == len(frame)
    assert explained[:0].to_frame("pyarrow").num_rows == 0


def test_missing_cells_and_constant_columns_do_not_break_it() -> None:
    frame = people(200).assign(constant=5.0, empty=np.nan)
    detector = Detector("table", branches=NEAREST).fit(frame)
    for sample in detector.explain(people(4, seed=1).assign(constant=9.0, empty=np.nan)):
        found = {part.place: part for part in sample.parts}
        assert found["constant"].usual == 5.0
        assert "empty" not in found
    filled = detector.explain(people(4, seed=1).assign(constant=5.0, empty=9.0))
    assert [(sample.parts[0].place, sample.parts[0].usual) for sample in filled] == [("empty", None)] * 4


def test_huge_cells_leave_the_others_their_distance() -> None:
    X = np.random.default_rng(0).normal(size=(300, 3))
    detector = Detector("table", branches=NEAREST).fit(X)
    row = X[detector.split_.train[3]].copy()
    row[0] = 1e30
    (sample,) = detector.explain(row[None])
    assert sample.parts[0].place == "x0"
    assert sample.nearest[0] == str(detector.split_.train[3])


def test_before_fit_and_with_bad_settings(fitted: Detector) -> None:
    with pytest.raises(NotFitted):
        Detector("table").explain(np.zeros((2, 2)))
    for wrong in (0, 1.5, True):
        with pytest.raises(InvalidParameter, match="`most_places` must be an integer of at least 1"):
            fitted.explain(people(2), most_places=wrong)  # type: ignore[arg-type]


def test_falls_are_evened_out_where_they_rise() -> None:
    np.testing.assert_allclose(not_increasing(np.array([1.0, 3.0, 1.0, 0.5, 0.7])), [2.0, 2.0, 1.0, 0.6, 0.6])
    np.testing.assert_allclose(not_increasing(np.array([1.0, 2.0, 6.0])), [3.0, 3.0, 3.0])
    assert len(not_increasing(np.zeros(0))) == 0


def test_contrasts_sum_to_the_distance_of_raw_tables() -> None:
    frame = people(60)[["height", "sport", "pulse"]]
    table = modalities.Table().fit(frame)
    data = table.tensors(frame).double()
    encoder = RawTable().build(table.schema)
    encoder.prepare(data)
    # The scale of a column with missing cells is that of the observed ones, which standardising leaves at 1.
    embedded = encoder(data)
    expected = (embedded - embedded[4]).square().sum(dim=1)
    torch.testing.assert_close(table.contrasts(data[4], data).sum(dim=1), expected, rtol=1e-4, atol=1e-6)


def test_typical_cells_are_medians_and_modes() -> None:
    cells = torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[5.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [3.0, 0.0]]])
    np.testing.assert_array_equal(columns.typical(cells, (0, 4)).numpy(), [[1.0, 0.0], [2.0, 0.0]])
    gone = torch.tensor([[[0.0, 1.0]], [[7.0, 0.0]], [[0.0, 1.0]]])
    np.testing.assert_array_equal(columns.typical(gone, (0,)).numpy(), [[0.0, 1.0]])
