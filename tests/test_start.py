"""The start at factor analysis of tables with missing cells, and of other likelihoods."""

import numpy as np
import pytest
import torch
from conftest import small_encoder
from scipy.special import expit
from sklearn.datasets import load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler

from passive_pruner._common._rows import BlockedRows, Rows
from passive_pruner.training import _start
from passive_pruner.training._covariance import MAX_ROWS, moments, moments_with_missing, sample
from passive_pruner.training._factor_analysis import factor_analysis
from passive_pruner.training._start import obstacle_to_factor_analysis
from passive_pruner.vae import (
    MLP,
    Bernoulli,
    Categorical,
    Conv,
    FromFactory,
    Gaussian,
    Mixed,
    NegativeBinomial,
    Poisson,
)


def table(n_factors, n_samples, seed, n_features=30):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_factors)) @ rng.standard_normal((n_factors, n_features))
    X += 1.5 * np.sqrt(rng.uniform(0.2, 2, n_features)) * rng.standard_normal(X.shape)
    return StandardScaler().fit_transform(X)


def with_missing(X, share, seed):
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def fit(of_rows):
    return factor_analysis(of_rows.covariance, of_rows.n_samples, 10)


def observed_log_likelihood(X, mean, covariance):
    """Mean log-likelihood of the cells that are present, row by row."""
    total = 0.0
    for row in X:
        seen = ~np.isnan(row)
        model, left = covariance[np.ix_(seen, seen)], row[seen] - mean[seen]
        _, log_det = np.linalg.slogdet(2 * np.pi * model)
        total -= 0.5 * (log_det + left @ np.linalg.solve(model, left))
    return total / len(X)


def started(X, n_components=8, **params):
    """Encoder that has taken no step of any length from its start."""
    params = {"architecture": MLP((8,), linear_path=True), **params}
    encoder = small_encoder(n_components=n_components, init="factor_analysis", **params)
    return encoder.set_params(learning_rate=1e-12, max_steps=1, early_stopping=False).fit(X)


def seen_by_row_numbers(X):
    return Rows(np.asarray(X, dtype=np.float64)), np.arange(len(X)), lambda rows: rows.astype(float)


# Moments


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_are_those_of_numpy_far_from_zero(offset):
    X = (table(3, 3000, 0) + offset).astype(np.float32)
    found = moments(*seen_by_row_numbers(X))
    np.testing.assert_allclose(found.mean, X.mean(axis=0, dtype=float), rtol=1e-12, atol=1e-12)
    expected = np.cov(X.T.astype(float), bias=True)
    np.testing.assert_allclose(found.covariance, expected, atol=1e-10)


def test_all_blocks_take_part():
    X = table(3, 2500, 0, n_features=5) + np.arange(2500)[:, None]
    X = X.astype(np.float32)
    parts = [Rows(X[:900]), Rows(X[900:1000]), None, Rows(X[1000:])]
    blocks = BlockedRows(parts[0], [lambda part=part: part for part in parts[1:]])
    found = moments(blocks, np.arange(900), lambda rows: rows.astype(float))
    expected = np.cov(X.T.astype(float), bias=True)
    assert found.n_samples == 2500
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9)


def test_a_sample_is_of_all_blocks_alike():
    X = np.arange(20_000, dtype=np.float32)[:, None]
    parts = [Rows(X[:9000]), Rows(X[9000:])]
    drawn = sample(BlockedRows(parts[0], [lambda: parts[1]]), np.arange(9000))[:, 0]
    assert len(np.unique(drawn)) == MAX_ROWS
    assert abs(np.mean(drawn < 9000) - 0.45) < 4 * np.sqrt(0.45 * 0.55 / MAX_ROWS)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_missing_cells_cost_neither_factors_nor_likelihood(share, seed):
    X = table(3, 1300, seed)
    train, test = X[:800], with_missing(X[800:], share, seed + 100)
    of_complete = moments(*seen_by_row_numbers(train))
    of_missing = moments_with_missing(with_missing(train, share, seed), fit)
    scores = []
    for of_rows in (of_complete, of_missing):
        factors = fit(of_rows)
        assert len(factors.gain) == 3
        model = factors.loadings @ factors.loadings.T + np.diag(factors.noise)
        scores.append(observed_log_likelihood(test, of_rows.mean, model))
    # A fifth of a nat, for up to two thirds fewer pairs of cells.
    assert scores[1] > scores[0] - 0.2


def test_columns_that_nearly_determine_each_other_do_not_derail_em():
    X = StandardScaler().fit_transform(load_diabetes().data)
    of_rows = moments_with_missing(with_missing(X, 0.2, 0), fit)
    assert np.linalg.eigvalsh(of_rows.covariance)[0] > 0
    factors = fit(of_rows)
    model = factors.loadings @ factors.loadings.T + np.diag(factors.noise)
    complete = observed_log_likelihood(X, X.mean(axis=0), np.cov(X.T, bias=True))
    assert observed_log_likelihood(X, of_rows.mean, model) > complete - 1.5


def test_without_missing_cells_the_moments_are_exact():
    X = table(3, 500, 0)
    of_rows = moments_with_missing(X, fit)
    np.testing.assert_allclose(of_rows.covariance, np.cov(X.T, bias=True), atol=1e-12)
    assert of_rows.n_samples == 500


# Missing cells in the network


@pytest.mark.parametrize(("share", "cost"), [(0.0, 0.02), (0.05, 0.4), (0.4, 1.5)])
def test_with_missing_cells_the_elbo_is_close_to_the_log_likelihood(share, cost):
    X = with_missing(table(3, 1000, 1) + 3, share, 1)
    encoder = started(X, likelihood=Gaussian("per_feature"), allow_missing=True)
    network = encoder.to_torch().double()
    with torch.no_grad():
        mean = network.mean(torch.zeros(1, 8, dtype=torch.float64))[0].numpy()
        loadings = network.mean(torch.eye(8, dtype=torch.float64)).numpy().T - mean[:, None]
        noise = network.likelihood.variance().numpy()
    expected = observed_log_likelihood(X, mean, loadings @ loadings.T + np.diag(noise))
    score = encoder.score(X)
    # No linear map is the posterior of every pattern of missing cells: what that costs, in nats.
    assert expected - cost < score < expected + 0.1
    # Most of what the factors explain is left.
    prior = observed_log_likelihood(X, mean, np.diag(np.nanvar(X, axis=0)))
    assert score > prior + 0.5 * (expected - prior)


@pytest.mark.parametrize(
    "make",
    [
        lambda X: np.where(np.arange(30) == 4, np.nan, X),  # a column without values
        lambda X: np.where(np.arange(len(X))[:, None] < 9, np.nan, X),  # rows without values
        lambda X: with_missing(X, 0.97, 0),
        lambda X: with_missing(X[:12], 0.3, 0),
        lambda X: np.hstack([X, X[:, :2], np.ones((len(X), 1))]),
    ],
)
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
def test_hard_tables_with_missing_cells(make):
    X = make(with_missing(table(3, 300, 0), 0.1, 0))
    encoder = started(X, allow_missing=True)
    assert np.isfinite(encoder.score(X)) and np.isfinite(encoder.transform(X)).all()


# Other likelihoods


def binary(rng):
    return (load_digits().data[:700] > 8).astype(np.float32), Bernoulli()


def rare(rng):
    """Pairs of columns that are 1 in the same two rows and nowhere else."""
    X = (rng.random((700, 24)) < 0.5).astype(np.float32)
    X[:, 4:] = 0
    for j in range(4, 24, 2):
        X[rng.choice(700, 2), j : j + 2] = 1
    return X, Bernoulli()


def counts(rng):
    rate = np.exp(rng.standard_normal((700, 3)) @ rng.standard_normal((3, 20)) / 2 + 1)
    return rng.poisson(rate).astype(np.float32), Poisson()


def topics(rng):
    """Counts of words, most of which are rare outside of one of five topics."""
    rate = 100 * rng.dirichlet(np.full(30, 0.05), size=5)[rng.integers(0, 5, 700)]
    return rng.poisson(rate).astype(np.float32), NegativeBinomial()


def categories(rng):
    hidden = rng.standard_normal((700, 2)) @ rng.standard_normal((2, 24)) * 1.5
    chosen = (hidden + rng.gumbel(size=hidden.shape)).reshape(-1, 6, 4).argmax(axis=2)
    X = np.eye(4, dtype=np.float32)[chosen].reshape(-1, 24)
    return X, Mixed([(Categorical(), list(range(i, i + 4))) for i in range(0, 24, 4)])


def mixed(rng):
    hidden = rng.standard_normal((700, 3)) @ rng.standard_normal((3, 24))
    X = hidden + rng.standard_normal(hidden.shape)
    X[:, 1::3] = rng.random((700, 8)) < expit(hidden[:, 1::3])
    X[:, 2::3] = rng.poisson(np.exp(hidden[:, 2::3] / 2))
    kinds = [Gaussian("per_feature"), Bernoulli(), Poisson()]
    parts = [(kind, list(range(i, 24, 3))) for i, kind in enumerate(kinds)]
    return X.astype(np.float32), Mixed(parts)


@pytest.mark.parametrize("make", [binary, rare, counts, topics, categories, mixed])
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
def test_at_the_start_the_model_is_no_worse_than_without_codes(make, monkeypatch):
    X, likelihood = make(np.random.default_rng(0))
    encoder = started(X, likelihood=likelihood)
    monkeypatch.setattr(
        _start, "factor_analysis", lambda c, n, d, **kw: factor_analysis(c, n, 0, **kw)
    )
    without = started(X, likelihood=likelihood)
    assert without.score(X) <= encoder.score(X) + 0.05
    if make is not rare:
        assert encoder.score(X) > without.score(X) + 0.5


@pytest.mark.parametrize("make", [counts, categories, mixed])
def test_step_0_with_missing_cells_and_other_likelihoods(make):
    X, likelihood = make(np.random.default_rng(0))
    missing = with_missing(X, 0.1, 0)
    encoder = started(missing, likelihood=likelihood, allow_missing=True)
    assert np.isfinite(encoder.score(missing))
    assert (encoder.history_[-1]["mean_of_variance"] < 0.9).sum() >= 2


def test_the_offset_keeps_the_means_of_the_columns():
    X, likelihood = mixed(np.random.default_rng(0))
    network = started(X, likelihood=likelihood).to_torch()
    z = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        decoded = network.mean(z).numpy()
    error = 4 * decoded.std(axis=0) / np.sqrt(len(z))
    assert (np.abs(decoded.mean(axis=0) - X.mean(axis=0)) < error + 0.03 * X.std(axis=0)).all()


def test_shared_and_fixed_noise_within_mixed_is_that_of_the_parts_alone():
    X = table(3, 600, 0, n_features=12)
    halves = [list(range(0, 12, 2)), list(range(1, 12, 2))]
    one = started(X, likelihood=Mixed([(Gaussian("per_feature"), half) for half in halves]))
    whole = started(X, likelihood=Gaussian("per_feature"))
    assert one.score(X) == pytest.approx(whole.score(X), abs=1e-3)
    shared = started(
        X, likelihood=Mixed([(Gaussian("shared"), halves[0]), (Gaussian(0.5), halves[1])])
    )
    noise = [part.variance().tolist() for part in shared.to_torch().likelihood.parts]
    assert len(noise[0]) == 1 and noise[1] == pytest.approx([0.5])


@pytest.mark.parametrize("allow_missing", [False, True])
def test_neither_the_order_of_rows_nor_the_units_of_columns_matter(allow_missing):
    X = table(3, 600, 0, n_features=12)
    X = with_missing(X, 0.1, 0) if allow_missing else X
    params = {"likelihood": Gaussian("per_feature"), "allow_missing": allow_missing}
    codes = started(X, **params).transform(X)
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_allclose(started(X[order], **params).transform(X), codes, atol=1e-3)
    units = 10.0 ** np.arange(-6, 6)
    np.testing.assert_allclose(started(X * units, **params).transform(X * units), codes, atol=1e-3)


@pytest.mark.parametrize(
    ("likelihood", "architecture", "expected"),
    [
        (Gaussian(), MLP((8,), linear_path=True), None),
        (
            Mixed([("poisson", [0]), ("continuous_bernoulli", [1, 2, 3])]),
            MLP(linear_path=True),
            None,
        ),
        (Mixed([("continuous_bernoulli", [0, 1, 2, 3])]), MLP(linear_path=True), "likelihood"),
        (NegativeBinomial("row_sum"), MLP(linear_path=True), "likelihood"),
        (Gaussian(), MLP((8,)), "architecture"),
        (Gaussian(), Conv((2, 2, 1)), "architecture"),
        (Gaussian(), FromFactory(lambda *sizes: None), "architecture"),
    ],
)
def test_what_stands_in_the_way_is_told(likelihood, architecture, expected):
    likelihood = likelihood.validated().resolve(4)
    assert obstacle_to_factor_analysis(likelihood, architecture, 4) == expected


def test_columns_without_a_counterpart_start_without_loadings():
    rng = np.random.default_rng(0)
    X = np.hstack([table(2, 400, 0, n_features=6), rng.random((400, 2))])
    likelihood = Mixed([(Gaussian(), list(range(6))), ("continuous_bernoulli", [6, 7])])
    network = started(X, likelihood=likelihood).to_torch()
    weight = network.decoder.linear.weight.detach().numpy()
    assert np.abs(weight[6:]).max() < 1e-9 and (np.abs(weight[:6]).max(axis=1) > 0.1).all()
