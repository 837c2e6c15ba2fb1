from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from unalike import check_views, encoders, modalities, objectives, views
from unalike.errors import InvalidInput, InvalidParameter
from unalike.viewcheck.check import check_views as checked
from unalike.viewcheck.material import gather, named_views
from unalike.viewcheck.results import ViewCheck

COLUMNS = 6


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).normal(size=(400, COLUMNS)) @ np.random.default_rng(1).normal(size=(6, 6))


def only(view, X, **settings):
    return check_views(X, "table", views={"it": view}, objectives=(), **settings)["it"]


def moved_by(amount):
    def view(data, generator):
        return data + torch.tensor([amount, 0.0])

    return view


# ---- figures ---------------------------------------------------------------------------------------------------


def test_figures_are_those_of_a_slow_twin(table):
    found = only(views.CorruptCells(rate=0.3), table, seed=3)
    material = gather(table, "table", samples=1000, seed=3)
    first, second = material.draw(views.CorruptCells(rate=0.3), "it", 2)
    rows = [part[..., 0].double().numpy() for part in (material.bank, material.held_out, first, second)]
    bank, plain, first, second = [(part - rows[0].mean(axis=0)) / rows[0].std(axis=0) for part in rows]
    neighbors = NearestNeighbors(n_neighbors=1).fit(bank)
    usual, scores = (neighbors.kneighbors(part)[0][:, 0] for part in (plain, first))
    changed = (first != plain).any(axis=1)
    p_values = np.array([(1 + (usual >= score).sum()) / (len(usual) + 1) for score in scores])[changed]
    distance = np.linalg.norm(first - plain, axis=1)[changed]
    assert found.unchanged == pytest.approx((~changed).mean())
    assert found.moved == pytest.approx(np.median(distance) / np.median(usual), rel=1e-5)
    assert found.beyond_95 == pytest.approx((p_values <= 0.05).mean())
    assert found.beyond_99 == pytest.approx((p_values <= 0.01).mean())
    assert found.inside == pytest.approx((p_values > 0.5).mean())
    hits = [np.argmin(np.linalg.norm(second - row, axis=1)) == place for place, row in enumerate(first)]
    assert found.pairs_found == pytest.approx(np.mean(hits))


def test_the_halves_share_no_sample_and_no_group(table):
    X = np.repeat(table[:60], 3, axis=0)
    material = gather(X, "table", samples=1000, groups=np.arange(180) // 3, seed=0)
    bank = {tuple(row) for row in material.bank[..., 0].tolist()}
    assert not bank & {tuple(row) for row in material.held_out[..., 0].tolist()}
    assert len(material.bank) + len(material.held_out) == 180


def test_near_copies_need_groups(table):
    X = np.repeat(table[:60], 6, axis=0) + np.random.default_rng(2).normal(scale=1e-3, size=(360, COLUMNS))
    noise = views.Noise(scale=0.05)
    assert only(noise, X).beyond_95 > 0.9
    assert only(noise, X, groups=np.arange(360) // 6).beyond_95 < 0.15


def test_pairs_of_one_group_are_not_held_against_each_other(table):
    X, codes = np.repeat(table[:150], 2, axis=0), np.arange(300) // 2
    assert only(views.Noise(scale=0.02), X, groups=codes).pairs_found == 1.0


def test_an_unchanged_sample_lies_where_its_quantile_says(table):
    found = only(moved_by(1e-6), table)
    assert found.inside == pytest.approx(0.5, abs=0.01)
    assert found.beyond_95 == pytest.approx(0.05, abs=0.01)
    assert found.beyond_99 == pytest.approx(0.01, abs=0.006)
    assert found.pairs_found == 1.0


def test_figures_are_of_the_changed_samples(table):
    whole = only(views.MaskCells(rate=1.0), table)

    def half(data, generator):
        return torch.where(generator.uniform(1, 1) < 0.5, torch.tensor([0.0, 1.0]), data)

    found = only(half, table)
    assert found.unchanged == pytest.approx(0.5, abs=0.1)
    assert found.moved == pytest.approx(whole.moved, rel=0.15)
    assert found.beyond_95 == whole.beyond_95 == 1.0


def test_few_held_out_samples_have_no_quantile_of_99_percent(table):
    assert math.isnan(only("noise", table[:197]).beyond_99)
    assert not math.isnan(only("noise", table[:198]).beyond_99)


# ---- words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "verdict", "word"),
    [
        (views.Noise(scale=0.0), "too weak", "as they went in"),
        (views.Noise(scale=0.01), "too weak", "nearly copies"),
        (moved_by(50.0), "too strong", "beyond 95%"),
        (views.MixUp(low=1.0, high=1.0), "too strong", "second view of their sample"),
        (views.Noise(scale=0.2), "fine", "among the normal"),
    ],
)
def test_verdicts_of_views(table, view, verdict, word):
    found = only(view, table)
    assert found.verdict == verdict
    assert word in found.reason


class Negatives:
    """Makes what `make` makes of the rows."""

    def __init__(self, make):
        self.make = make

    def build(self, encoder):
        module = torch.nn.Module()
        module.encoder = encoder
        module.negatives = lambda data, generator: self.make(data)
        return module


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (lambda data: data.clone(), "too near"),
        (lambda data: data * torch.tensor([0.9, 1.0]), "too near"),
        (lambda data: data + torch.tensor([50.0, 0.0]), "too easy"),
        (lambda data: data * torch.tensor([1.7, 1.0]), "fine"),
    ],
)
def test_verdicts_of_negatives(table, make, verdict):
    row = check_views(table, "table", views="noise", objectives=[Negatives(make)])["negatives 1"]
    assert row.kind == "negative"
    assert row.verdict == verdict
    assert math.isnan(row.pairs_found)


def test_the_default_negatives_of_tables_are_checked(table):
    found = check_views(table, "table")
    assert [(row.name, row.kind) for row in found if row.kind == "negative"] == [
        ("shuffle", "negative"), ("shell", "negative"), ("box", "negative"),
    ]  # fmt: skip
    assert found["box"].moved > found["shell"].moved
    assert all(row.kind == "view" for row in check_views(table, "table", objectives=()))
    direct = check_views(table, "table", objectives=[objectives.SyntheticContrast(shell_radii=(50.0, 50.0))])
    assert direct["shell"].verdict == "too easy"


# ---- what can be checked ---------------------------------------------------------------------------------------


def shifted(row):
    return row + 0.1


def test_names():
    modality = modalities.Table().fit(np.zeros((5, 2)))
    assert list(named_views(None, modality)) == ["corrupt-cells"]
    assert list(named_views("noise", modality)) == ["noise"]
    assert list(named_views([shifted, "noise", views.Noise(scale=1.0)], modality)) == [
        "shifted", "noise", "noise 2", "all together",
    ]  # fmt: skip
    assert list(named_views({"mine": shifted}, modality)) == ["mine"]
    assert list(named_views(views.PerBatch(shifted), modality)) == ["shifted"]
    with pytest.raises(InvalidParameter, match="at least one view"):
        named_views({}, modality)


def test_all_together_is_the_composition(table):
    members = [views.Noise(scale=0.3), views.Noise(scale=0.4)]
    found = check_views(table, "table", views=members, objectives=())
    expected = math.hypot(found["noise"].moved, found["noise 2"].moved)
    assert found["all together"].moved == pytest.approx(expected, rel=0.1)


def test_every_named_view_can_be_checked(table, zeros):
    kinds = {"unalike.views.table": ("table", table[:60]), "unalike.views.image": ("image", zeros.train[:60])}
    of_these = {name: module for name, entry in views.NAMES.items() if (module := entry.split(":")[0]) in kinds}
    assert set(of_these.values()) == set(kinds)
    for name, module in of_these.items():
        kind, X = kinds[module]
        assert check_views(X, kind, views=name, objectives=())[name].verdict in ("fine", "too strong", "too weak")


def test_images(zeros):
    found = check_views(zeros.train, "image", views={"still": views.Affine(), "turned": views.Rotate(degrees=(90, 90))})
    assert found["still"].unchanged == 1.0
    assert found["turned"].verdict == "too strong"


def test_another_encoder_measures_in_its_own_space(zeros):
    class Mean(torch.nn.Module):
        width = 1

        def forward(self, data):
            return data.flatten(1).mean(dim=1, keepdim=True)

    turned = {"turned": views.Rotate(degrees=(90, 90))}
    assert check_views(zeros.train, "image", views=turned, encoder=Mean())["turned"].beyond_95 < 0.2


def test_one_seed_gives_one_result_and_nothing_else_moves(table):
    before = table.copy()
    modality = modalities.Table()
    state = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = checked(table, modality, seed=1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state[:2]
    assert torch.equal(torch.get_rng_state(), state[2])
    assert str(first) == str(checked(table, "table", seed=1)) != str(checked(table, "table", seed=2))
    assert not hasattr(modality, "scale_")
    np.testing.assert_array_equal(table, before)


def test_no_more_samples_than_stated_are_used(table):
    found = check_views(table, "table", samples=50)
    assert (found.n_fitted, found.n_viewed) == (25, 25)


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_rows_as_a_frame(table, backend):
    found = check_views(table, "table")
    frame = found.to_frame(backend)
    assert frame.shape == (4, 11)
    assert list(frame["verdict"].to_pylist() if backend == "pyarrow" else frame["verdict"]) == [
        row.verdict for row in found
    ]
    with pytest.raises(InvalidParameter, match="backend"):
        found.to_frame("excel")


def test_a_row_is_found_by_name(table):
    found = check_views(table, "table")
    assert isinstance(found["corrupt-cells"], ViewCheck)
    assert len(found) == len(str(found).splitlines()) - 1
    with pytest.raises(KeyError, match="corrupt-cells"):
        found["nothing"]


@pytest.mark.parametrize(
    ("X", "settings", "error", "word"),
    [
        (np.zeros((39, 2)), {}, InvalidInput, "at least 40"),
        (np.zeros((80, 2)), {}, InvalidInput, "copies of one another"),
        (np.eye(50), {"samples": 39}, InvalidParameter, "samples"),
        (np.eye(50), {"modality": "smell"}, InvalidParameter, "modality"),
        (np.eye(50), {"modality": object()}, InvalidParameter, "modality"),
        (np.eye(50), {"views": lambda row: row[:3]}, InvalidParameter, "shape"),
        (np.eye(50), {"views": lambda row: row * math.nan}, InvalidParameter, "finite"),
        (np.eye(50), {"groups": [0] * 49}, InvalidInput, "groups"),
    ],
)
def test_what_cannot_be_used_is_refused(X, settings, error, word):
    with pytest.raises(error, match=word):
        check_views(X, **{"modality": "table", **settings})


@pytest.mark.parametrize("crowd", [385, 390, 398])
def test_groups_that_cannot_be_halved_are_refused(table, crowd):
    groups = [0] * crowd + list(range(1, 401 - crowd))
    with pytest.raises(InvalidInput, match=r"`groups` must leave at least 19 samples in each half.*Give more groups"):
        check_views(table, "table", groups=groups, objectives=())


def test_forty_samples_in_pairs_are_enough(table):
    figures = check_views(table[:40], "table", groups=np.arange(40) // 2, objectives=())
    assert (figures.n_fitted, figures.n_viewed) == (20, 20)


def waves():
    """A record of two channels with a gap."""
    steps = np.arange(4000)
    noise = 0.1 * np.random.default_rng(0).normal(size=(2, 4000))
    record = (np.stack([np.sin(steps / 8), np.cos(steps / 8)]) + noise).T
    record[100:120, 0] = np.nan
    return record


def test_windows_of_series_are_checked_with_their_gaps():
    named = {"masked": views.MaskSteps(share=0.05), "permuted": views.Permute(), "whole": views.Scale(sigma=0.0)}
    found = check_views(waves(), "series", views=named, objectives=("injected",), samples=200)
    assert found["whole"].unchanged == 1.0
    assert found["masked"].unchanged < 0.3
    assert found["permuted"].beyond_95 > 0.9
    assert found["injected"].unchanged == 0.0
    assert found["injected"].beyond_95 > 0.5


def test_series_are_grouped_by_time_and_by_nothing_else():
    with pytest.raises(InvalidParameter, match="`groups` must be left out"):
        check_views(waves(), "series", groups=[0] * 4000)
    with pytest.raises(InvalidInput, match="longer records"):
        check_views(waves()[:44], "series")


def test_views_of_texts_are_measured_in_an_embedding():
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in range(200)]
    X = [" ".join(rng.choice(words, 12)) for _ in range(80)]
    checks = check_views(
        X,
        "text",
        views={"mild": views.DeleteWords(0.1), "nothing": views.DeleteWords(0.0), "other": views.Salad()},
        encoder=encoders.TextTransformer(vocabulary=400, width=16, heads=2),
        objectives=[objectives.SpoiledContrast(spoil=views.SpoilText())],
    )
    assert checks["nothing"].verdict == "too weak"
    assert checks["nothing"].unchanged == 1.0
    assert checks["other"].pairs_found < 0.1  # words drawn anew: no sample is found again
    assert checks["mild"].pairs_found > checks["other"].pairs_found + 0.3
    assert [row.kind for row in checks] == ["view"] * 3 + ["negative"]
