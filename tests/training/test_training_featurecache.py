from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from unalike import Detector, Training, errors, views
from unalike.encoders.stemmed import Stemmed
from unalike.objectives.simclr import SimCLR
from unalike.seeding import RowGenerator
from unalike.training import TrainingRows
from unalike.training.featurecache import PickView, feature_folder, feature_rows

CPU = torch.device("cpu")
NOISE = views.image.GaussianNoise(scale=(0.5, 0.5), p=1.0)


class Stem(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        weights = np.random.default_rng(seed).normal(size=(5, 16)).astype(np.float32)
        self.weight = nn.Parameter(torch.from_numpy(weights), requires_grad=False)
        self.calls = []

    def forward(self, data):
        self.calls.append(len(data))
        # Not a matrix product: a row is to come out the same in any batch.
        return (data.flatten(1)[:, None] * self.weight).sum(dim=2)


def rows_of(n=600, seed=0, anomalies=0):
    data = torch.from_numpy(np.random.default_rng(seed).random((n + anomalies, 1, 4, 4), dtype=np.float32))
    return TrainingRows(n, lambda positions: data[torch.from_numpy(positions)], n_anomalies=anomalies)


def features(folder, rows=None, stem=None, **changed):
    settings = {"view": NOISE, "views": 3, "seed": 7, "device": CPU, "folder": folder, **changed}
    return feature_rows(rows or rows_of(), stem or Stem(), **settings)


SOME = np.array([599, 3, 300, 3, 0, 256])


def twin(rows, positions, views_of_row=3):
    """Row by row and view by view."""
    stem, wanted = Stem(), []
    for position in positions:
        alone = np.array([position])
        rolls = [
            NOISE(rows.load(alone), RowGenerator(_seed(number), torch.from_numpy(alone)))
            for number in range(views_of_row)
        ]
        wanted.append(torch.stack([stem(roll)[0] for roll in rolls]))
    return torch.stack(wanted)


def _seed(number):
    from unalike.seeding import derive

    return derive(7, "fixed view", number)


def test_features_are_those_of_the_stem(tmp_path):
    rows = rows_of()
    torch.testing.assert_close(features(tmp_path, rows).load(SOME), twin(rows, SOME))


def test_a_second_time_nothing_is_computed(tmp_path):
    first = features(tmp_path).load(SOME)
    stem = Stem()
    again = features(tmp_path, stem=stem).load(SOME)
    assert torch.equal(first, again)
    assert sum(stem.calls) == 3  # one row, for the shape


@pytest.mark.parametrize("damage", ["delete", "truncate", "flip", "empty"])
def test_damaged_entries_are_made_again(tmp_path, damage):
    first = features(tmp_path).load(SOME)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 3
    for path in tmp_path.iterdir():
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        if damage == "delete":
            path.unlink()
        else:
            path.write_bytes({"truncate": content[:-10], "flip": content, "empty": b""}[damage])
    assert torch.equal(features(tmp_path).load(SOME), first)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("damage", ["delete", "truncate"])
def test_entries_may_go_while_they_are_in_use(tmp_path, damage):
    used = features(tmp_path)
    first = used.load(SOME)
    for path in tmp_path.iterdir():
        if damage == "delete":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(used.load(SOME), first)


def test_the_folder_may_go_while_it_is_in_use(tmp_path):
    folder = tmp_path / "cache"
    with feature_folder(str(folder)) as made:
        used = features(made)
        first = used.load(SOME)
        for path in made.iterdir():
            path.unlink()
        made.rmdir()
        assert torch.equal(used.load(SOME), first)


@pytest.mark.parametrize(
    "changed",
    [{"seed": 8}, {"views": 2}, {"view": replace(NOISE, p=0.5)}, {"stem": Stem(1)}, {"rows": rows_of(seed=1)}],
    ids=["seed", "views", "view", "weights", "rows"],
)
def test_other_fits_have_other_entries(tmp_path, changed):
    features(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    features(tmp_path, **changed)
    assert len({path.name for path in tmp_path.iterdir()} - before) == 3


def test_the_bound_holds_and_what_does_not_fit_is_computed(tmp_path):
    rows = rows_of()
    size = 32 + 256 * 3 * 5 * 4
    bounded = features(tmp_path, rows, most_bytes=2 * size + 10)
    assert len(list(tmp_path.iterdir())) == 2
    torch.testing.assert_close(bounded.load(SOME), twin(rows, SOME))
    features(tmp_path, rows, seed=8, most_bytes=2 * size + 10)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * size + 10
    torch.testing.assert_close(bounded.load(SOME), twin(rows, SOME))


def test_labelled_anomalies_have_features_too(tmp_path):
    rows = rows_of(20, anomalies=4)
    made = features(tmp_path, rows)
    assert made.n_anomalies == 4
    torch.testing.assert_close(made.load(np.array([21, 2])), twin(rows, [21, 2]))


def test_a_view_is_picked_for_each_row():
    data = torch.arange(4.0).expand(500, 4)[..., None]
    picked = PickView()(data, RowGenerator(0, torch.arange(500)))
    assert picked.shape == (500, 1)
    assert set(picked.flatten().tolist()) == {0.0, 1.0, 2.0, 3.0}
    alone = PickView()(data[7:8], RowGenerator(0, torch.tensor([7])))
    assert torch.equal(alone[0], picked[7])


class Rest(nn.Linear):
    width = 8


def fit(cache, **changed):
    torch.manual_seed(0)
    encoder = Stemmed(Stem(), Rest(5, 8))
    training = Training(steps=5, batch_size=32, fixed_views=4, cache=cache)
    X = np.random.default_rng(0).random((60, 4, 4, 1), dtype=np.float32)
    settings = {"encoder": encoder, "objective": SimCLR(), "training": training, "views": NOISE, **changed}
    return Detector("image", scorer="knn", calibration_fraction=0.0, **settings).fit(X), X


def test_a_fit_on_fixed_views_trains_the_rest_only_and_is_repeatable(tmp_path):
    cold, X = fit(str(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir())
    warm, _ = fit(str(tmp_path / "cache"))
    temporary, _ = fit(None)
    scores = cold.anomaly_scores(X)
    np.testing.assert_array_equal(warm.anomaly_scores(X), scores)
    np.testing.assert_array_equal(temporary.anomaly_scores(X), scores)
    branch = cold.branches_[0]
    before, after = branch.untrained.encoder.state_dict(), branch.judge.encoder.state_dict()
    assert torch.equal(before["frozen.weight"], after["frozen.weight"])
    assert not torch.equal(before["trained.weight"], after["trained.weight"])
    assert set(cold.branch_scores(X)) == {"main", "main (untrained)"}


def test_the_door(tmp_path):
    with pytest.raises(errors.InvalidParameter, match="frozen part"):
        fit(None, encoder="convnet")
    with pytest.raises(errors.InvalidParameter, match="`fixed_views` must be a whole number"):
        fit(None, training={"fixed_views": 0})
    with pytest.raises(errors.InvalidParameter, match="`cache` must be the name of a folder"):
        fit(None, training={"cache": "x"})
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.InvalidParameter, match="`cache` must be a folder"):
        fit(str(tmp_path / "file"))
    trainable = Stemmed(Stem(), Rest(5, 8))
    trainable.frozen.requires_grad_(True)
    with pytest.raises(errors.InvalidParameter, match="must be frozen"):
        fit(None, encoder=trainable)
