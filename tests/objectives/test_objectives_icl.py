"""Internal contrastive learning against a slow twin, and in a detector, scored by its own loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from unalike import Detector, load, save
from unalike.encoders import TableMLP
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidInput, InvalidParameter, NotFitted
from unalike.objectives import ICL
from unalike.objectives.build import build_objective
from unalike.seeding import RowGenerator
from unalike.types import Batch, Schema
from unalike.views import CorruptCells

LEVELS = (0, 4, 0, 0, 3)


def rows(n, levels=LEVELS, seed=0):
    draws = RowGenerator(seed, torch.arange(n))
    columns = [draws.integers(level).float() if level else draws.normal() for level in levels]
    missing = (draws.uniform(len(levels)) < 0.2).float()
    return torch.stack((torch.stack(columns, dim=1), missing), dim=-1)


def made(settings=None, levels=LEVELS, sample=None, seed=0):
    encoder = build_encoder(TableMLP(hidden=(8,)), Schema((len(levels), 2), levels if any(levels) else ()), 0)
    objective = build_objective(settings or ICL(), encoder, seed)
    objective.prepare(rows(64, levels, seed=9) if sample is None else sample)
    return objective


def batch_of(data, label=None):
    return Batch(data=data, index=torch.arange(len(data)), label=label)


def loss_of(objective, batch):
    return objective(batch, CorruptCells(rate=0.5), RowGenerator(0, batch.index))


def cell(objective, row, column):
    """What both networks see of a cell, by hand."""
    value, missing = row[column].tolist()
    vector = [0.0] * 8
    if LEVELS[column] and not missing:
        code = int(value) if 0 <= value < LEVELS[column] else 0
        vector = objective.codes.weight[objective.ranks[column, code]].tolist()
    number = 0.0 if missing or LEVELS[column] else value
    return [number, float(missing), *vector]


def flat(cells, chosen):
    return [number for column in chosen for number in cells[column]]


def twin_losses(objective, data, window):
    """Row by row and position by position: of the paper's networks, and of the encoder."""
    columns, temperature = data.shape[1], objective.settings.temperature
    drawn = RowGenerator(0, torch.arange(len(data))).integers(columns - window + 1).tolist()
    own, embedded = [], []
    for number, row in enumerate(data):
        cells = [cell(objective, row, column) for column in range(columns)]
        seen, rest = [], []
        for start in range(columns - window + 1):
            inside = range(start, start + window)
            seen.append(objective.window(torch.tensor(flat(cells, inside))))
            rest.append(objective.rest(torch.tensor(flat(cells, [c for c in range(columns) if c not in inside]))))
        masked = row.clone()
        masked[range(drawn[number], drawn[number] + window)] = torch.tensor([0.0, 1.0])
        hidden = objective.head(objective.encoder(masked[None]))[0]

        def loss(query, position, seen=seen):
            fits = [torch.cosine_similarity(query, one, dim=0).item() / temperature for one in seen]
            return -torch.tensor(fits).log_softmax(0)[position].item()

        own.append([loss(query, position) for position, query in enumerate(rest)])
        embedded.append(loss(hidden, drawn[number]))
    return np.array(own), np.array(embedded)


def wrong(losses):
    """Minus the logarithm of the probability of not finding the window."""
    return -np.log1p(-np.exp(-losses))


def test_loss_and_score_are_those_of_a_slow_twin():
    objective, data = made(ICL(temperature=0.3)), rows(6)
    with torch.no_grad():
        own, embedded = twin_losses(objective, data, window=2)
        assert loss_of(objective, batch_of(data)).item() == pytest.approx(own.mean() + embedded.mean(), rel=1e-4)
        np.testing.assert_allclose(objective.score(batch_of(data)), own.mean(axis=1), rtol=1e-4)


def test_a_labelled_anomaly_must_not_find_its_windows():
    objective, data = made(ICL(temperature=1.0)), rows(3)
    with torch.no_grad():
        own, embedded = twin_losses(objective, data, window=2)
        loss = loss_of(objective, batch_of(data, label=torch.ones(3, dtype=torch.int64)))
    assert loss.item() == pytest.approx(wrong(own).mean() + wrong(embedded).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("columns", "window", "windows"), [(2, 1, 2), (3, 2, 2), (40, 2, 39), (41, 10, 32), (160, 10, 50), (300, 150, 50)]
)
def test_windows_follow_the_rule_and_are_spread_evenly(columns, window, windows):
    objective = made(levels=(0,) * columns)
    assert objective.inside.shape == (windows, window)
    assert objective.outside.shape == (windows, columns - window)
    assert objective.inside[0, 0] == 0
    assert objective.inside[-1, -1] == columns - 1
    assert objective.inside[:, 0].diff().unique().numel() <= 2
    both = torch.cat((objective.inside, objective.outside), dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(columns).expand(windows, -1))


def test_the_networks_do_not_know_a_column():
    """Rows whose cells stand in another order give the same windows, in that order, and so the same score."""
    objective = made(ICL(window=1), levels=(0, 0))
    data = rows(5, (0, 0))
    score = objective.score(batch_of(data))
    assert torch.allclose(objective.score(batch_of(data.flip(1))), score, rtol=1e-5)
    coded = made(ICL(window=1, levels=(4, 4)), levels=(0, 0), sample=torch.zeros(4, 2, 2))
    data = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])
    assert torch.allclose(coded.score(batch_of(data.flip(1))), coded.score(batch_of(data)), rtol=1e-5)


def test_categories_are_ranked_by_frequency():
    sample = torch.zeros(10, 2, 2)
    sample[:, 0, 0] = torch.tensor([2.0] * 5 + [1.0] * 3 + [0.0] + [3.0])
    sample[9, 0, 1] = 1.0  # missing: does not count
    objective = made(levels=(4, 0), sample=sample)
    assert objective.ranks.tolist() == [[2, 1, 0, 3], [0, 0, 0, 0]]


def test_the_encoder_tells_which_columns_are_categories():
    assert made().levels == LEVELS
    assert made(ICL(levels=(0, 0, 0, 0, 3))).levels == (0, 0, 0, 0, 3)


def test_a_row_scores_alone_as_in_a_batch_and_chunks_do_not_show(monkeypatch):
    objective, data = made().double(), rows(9).double()
    score = objective.score(batch_of(data))
    alone = torch.cat([objective.score(batch_of(data[row : row + 1])) for row in range(9)])
    assert torch.allclose(alone, score, rtol=1e-12)
    monkeypatch.setattr("unalike.objectives.icl._MOST_CELLS", 30)
    assert torch.allclose(objective.score(batch_of(data)), score, rtol=1e-12)


def test_the_encoder_s_part_leaves_the_score_as_it_is():
    """The gradient of the encoder's loss stops at the windows: the two networks learn as in the paper."""
    objective, batch = made(), batch_of(rows(8))
    loss_of(objective, batch).backward()
    both = [weight.grad.clone() for weight in objective.window.parameters()]
    objective.zero_grad()
    objective._losses(batch.data).mean().backward()
    for one, other in zip(both, objective.window.parameters(), strict=True):
        assert torch.allclose(one, other.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"window": 0}, "`window` must be a whole number of 1 or more; got 0"),
        ({"most_windows": 1}, "`most_windows` must be a whole number of 2 or more"),
        ({"width": 2.5}, "`width` must be a whole number"),
        ({"hidden": (8, 0)}, r"`hidden\[1\]` must be a whole number"),
        ({"temperature": 0.0}, "`temperature` must be a finite number above 0"),
        ({"levels": (-1,)}, "`levels` must be 0"),
        ({"hidden": 100}, "`hidden` must be a tuple of whole numbers; got 100"),
    ],
)
def test_settings_out_of_range_are_refused(given, told):
    with pytest.raises(InvalidParameter, match=told):
        ICL(**given)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(NotFitted, match="`prepare"):
        ICL().build(TableMLP().build(Schema((3, 2)))).score(batch_of(rows(2, (0, 0, 0))))
    with pytest.raises(InvalidInput, match="two columns or more"):
        made(levels=(0,))
    with pytest.raises(InvalidParameter, match="`window` must leave something of the row, which has 3 columns; got 3"):
        made(ICL(window=3), levels=(0, 0, 0))
    with pytest.raises(InvalidInput, match="`levels` must have one entry per column, 5; got 2"):
        made(ICL(levels=(0, 3)))


def frame(n, seed=0):
    """The second column follows the first, and the category the third."""
    rng = np.random.default_rng(seed)
    first, third = rng.normal(size=(2, n))
    kind = np.where(third > 0, "high", "low")
    return pd.DataFrame({"a": first, "b": first + 0.05 * rng.normal(size=n), "c": third, "kind": kind})


def torn(n, seed=1):
    """Every column as before, but of different rows."""
    data = frame(n, seed)
    data["b"] = data["b"].sample(frac=1, random_state=seed).to_numpy()
    return data


@pytest.fixture(scope="module")
def detector():
    training = {"steps": 60, "batch_size": 64, "learning_rate": 3e-3}
    return Detector("table", objective="icl", scorer="objective", training=training, calibration_fraction=0.0).fit(
        frame(300)
    )


def test_scored_by_its_own_loss_it_finds_rows_that_do_not_belong_together(detector, tmp_path):
    normal, odd = detector.anomaly_scores(frame(100, seed=2)), detector.anomaly_scores(torn(100, seed=2))
    assert (odd[:, None] > normal).mean() > 0.75
    scores = detector.branch_scores(torn(20))
    assert not np.array_equal(scores["main"], scores["main (untrained)"])
    objective = detector.branches_[0].judge.encoder.objective
    data = detector.modality_.tensors(torn(20)).double()
    np.testing.assert_array_equal(objective.score(batch_of(data)), scores["main"])
    save(detector, tmp_path / "model.unalike")
    again = load(tmp_path / "model.unalike")
    assert np.array_equal(again.anomaly_scores(torn(20)), detector.anomaly_scores(torn(20)))


def test_its_embedding_is_scored_as_any_other(tmp_path):
    detector = Detector("table", objective="icl", training={"steps": 5}, calibration_fraction=0.0).fit(frame(80))
    assert detector.embed(frame(7)).shape == (7, 128)
    save(detector, tmp_path / "model.unalike")
    again = load(tmp_path / "model.unalike").anomaly_scores(torn(20))
    np.testing.assert_array_equal(again, detector.anomaly_scores(torn(20)))


def test_what_has_no_score_of_its_own_is_refused():
    with pytest.raises(InvalidParameter, match="an objective with a score of its own, such as 'icl'"):
        Detector("table", objective="simclr", scorer="objective", training={"steps": 2}).fit(frame(40))
    with pytest.raises(InvalidParameter, match="must have an objective in its branch; 'main' has none"):
        Detector("table", objective="frozen", scorer="objective").fit(frame(40))
