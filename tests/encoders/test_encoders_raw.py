from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from unalike.encoders import Raw, RawTable
from unalike.encoders.build import build_encoder
from unalike.errors import InvalidParameter
from unalike.types import Schema

SMOOTH = [0, 1, 4]
"""Columns of `table` without equal values."""


def tensor(X):
    """A numeric table as the modality hands it over; NaN is missing."""
    missing = np.isnan(X)
    return torch.from_numpy(np.stack((np.where(missing, 0.0, X), missing), axis=-1).astype(np.float64))


def fitted(X, scaling):
    encoder = build_encoder(RawTable(scaling=scaling), Schema((X.shape[1], 2)), 0).eval()
    encoder.prepare(tensor(X))
    return encoder


def values(encoder, X):
    """The rescaled columns, without flags."""
    return encoder(tensor(X)).numpy()[:, : X.shape[1]]


def table(n, seed=0, missing=0.0):
    """Normal, heavy-tailed, rounded (many ties), two-valued and far from zero."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=n),
        rng.standard_t(2, size=n),
        rng.poisson(2, size=n),
        rng.integers(2, size=n),
        1e6 + rng.normal(size=n),
    ]
    X = np.stack(columns, axis=1).astype(np.float64)
    X[rng.random(X.shape) < missing] = np.nan
    return X


def test_images_are_flattened_and_nothing_else():
    encoder = build_encoder(Raw(), Schema((3, 4, 5)), 0)
    data = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert encoder.width == 60
    assert torch.equal(encoder(data), data.reshape(2, 60))
    assert list(encoder.state_dict()) == []


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_standard_is_scikit_learn_s(missing):
    X, test = table(500, missing=missing), table(80, seed=1)
    assert np.allclose(values(fitted(X, "standard"), test), StandardScaler().fit(X).transform(test), atol=1e-9)


def test_signed_log_of_the_standardised_value():
    X, test = table(500), 30.0 * table(80, seed=1)
    z = StandardScaler().fit(X).transform(test)
    assert np.allclose(values(fitted(X, "signed-log"), test), np.sign(2 * z) * np.log1p(np.abs(2 * z)), atol=1e-9)


@pytest.mark.parametrize("n", [2, 7, 300, 1000, 3000])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_quantile_is_scikit_learn_s_within_the_range_of_the_training_data(n, missing):
    X = table(n, missing=missing if n > 7 else 0.0)
    new = table(200, seed=1)
    inside = np.clip(new, np.nanmin(X, axis=0), np.nanmax(X, axis=0))
    theirs = QuantileTransformer(output_distribution="normal", n_quantiles=min(n, 1000), random_state=0).fit(X)
    for test in (inside, np.where(np.isnan(X), np.nanmedian(X, axis=0), X)):
        found, expected = values(fitted(X, "quantile"), test), theirs.transform(test).clip(-3.5, 3.5)
        assert np.allclose(found[:, SMOOTH], expected[:, SMOOTH], atol=1e-5)
        # Where values are equal, scikit-learn's quantiles differ by rounding errors and miss one of them.
        apart = np.abs(norm.cdf(found) - norm.cdf(expected))
        varied = np.nanmax(X, axis=0) > np.nanmin(X, axis=0)
        assert apart[:, varied].max() <= 1.0 / (min(n, 1000) - 1)


@pytest.mark.parametrize("n", [7, 300, 1000])
def test_training_values_have_the_normal_scores_of_their_mean_ranks(n):
    X = np.round(2.0 * table(n)[:, :3]) / 2.0
    share = (rankdata(X, axis=0) - 1.0) / (n - 1.0)
    ends = (X.min(axis=0) == X) | (X.max(axis=0) == X)
    found, expected = values(fitted(X, "quantile"), X), norm.ppf(share).clip(-3.5, 3.5)
    assert np.allclose(found[~ends], expected[~ends], atol=1e-9)
    assert np.allclose(np.abs(found[ends]), 3.5)


def test_outside_the_range_the_overshoot_is_added():
    X = table(400)[:, :1]
    mean, std = X.mean(), X.std()
    far = np.array([X.max() + 2.0 * std, X.max() + 50.0 * std, X.min() - 5.0 * std])[:, None]
    expected = [3.5 + np.log1p(2.0), 3.5 + np.log1p(50.0), -3.5 - np.log1p(5.0)]
    assert np.allclose(values(fitted(X, "quantile"), far)[:, 0], expected, atol=1e-9)
    assert mean != 0.0


def test_equal_training_values_have_the_score_of_their_middle_rank():
    X = np.array([0.0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8])[:, None]
    found = values(fitted(X, "quantile"), np.array([[1.0], [5.0]]))
    assert found[0, 0] == pytest.approx(float(torch.special.ndtri(torch.tensor(0.2))), abs=1e-6)
    assert found[1, 0] == pytest.approx(float(torch.special.ndtri(torch.tensor(0.7))), abs=1e-6)


def test_ties_survive_the_single_precision_of_the_modality():
    X = np.round(table(2000)[:, :1], 1)
    single = tensor(X).float()
    encoder = build_encoder(RawTable(scaling="quantile"), Schema((1, 2)), 0).eval()
    encoder.prepare(single)
    theirs = QuantileTransformer(output_distribution="normal", n_quantiles=1000, random_state=0)
    expected = theirs.fit_transform(single[..., 0].double().numpy()).clip(-3.5, 3.5)
    apart = np.abs(norm.cdf(encoder(single).numpy()[:, :1]) - norm.cdf(expected))
    assert apart.max() <= 1.0 / 999
    assert encoder(single).dtype == torch.float32


@pytest.mark.parametrize("scaling", ["standard", "signed-log", "quantile"])
def test_a_constant_column_tells_equal_below_and_above_apart(scaling):
    encoder = fitted(np.full((50, 1), 0.1), scaling)
    below, equal, above = values(encoder, np.array([[-0.9], [0.1], [1.1]]))[:, 0]
    assert equal == pytest.approx(0.0, abs=1e-9)
    assert above == pytest.approx(-below)
    assert above >= 1.0


@pytest.mark.parametrize("scaling", ["standard", "signed-log", "quantile"])
def test_the_scores_rise_with_the_value(scaling):
    test = np.linspace(-40.0, 40.0, 4001)[:, None]
    X = table(500)[:, 1:2]
    assert np.diff(values(fitted(X, scaling), test)[:, 0]).min() >= 0.0


@pytest.mark.parametrize("scaling", ["standard", "signed-log", "quantile"])
def test_the_unit_of_a_column_does_not_count(scaling):
    X, test = table(300), table(50, seed=1)
    one, other = values(fitted(X, scaling), test), values(fitted(5.0 * X - 3.0, scaling), 5.0 * test - 3.0)
    assert np.allclose(one, other, atol=1e-6)


def test_a_missing_number_is_the_mean_with_a_flag():
    encoder = fitted(table(300), "standard")
    X = table(4, seed=1)
    X[0, 1] = np.nan
    embeddings = encoder(tensor(X)).numpy()
    assert embeddings.shape == (4, 10)
    assert embeddings[0, 1] == 0.0
    assert np.array_equal(embeddings[:, 5:], np.isnan(X))


def test_categories_stand_at_distance_one_whatever_they_are():
    encoder = build_encoder(RawTable(), Schema((2, 2), (4, 0)), 0)
    assert encoder.width == 5 + 2
    # Four known codes (0 is what training did not see), and a missing cell whose code does not count.
    codes = torch.tensor([0.0, 1.0, 2.0, 3.0, 2.0, 3.0])
    rows = torch.zeros(6, 2, 2, dtype=torch.float64)
    rows[:, 0, 0] = codes
    rows[4:, 0, 1] = 1.0
    embeddings = encoder(rows)
    assert torch.equal(embeddings[4], embeddings[5])
    assert torch.allclose(torch.pdist(embeddings[:5]), torch.ones(10, dtype=torch.float64))
    rows[0, 0, 0] = 99.0
    assert torch.equal(encoder(rows)[0], embeddings[0])


def test_an_unknown_scaling_is_refused():
    with pytest.raises(InvalidParameter, match=r"`scaling` must be one of \['standard', 'signed-log', 'quantile'\]"):
        RawTable(scaling="robust")


def test_data_that_are_no_table_are_refused():
    with pytest.raises(InvalidParameter, match="RawTable must get a table"):
        build_encoder("raw-table", Schema((1, 8, 8)), 0)
