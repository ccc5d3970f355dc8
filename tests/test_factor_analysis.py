"""The start at factor analysis: its model, its number of factors, and what training makes of it."""

import pickle

import numpy as np
import pytest
import torch
from conftest import small_encoder
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.training._factor_analysis import (
    factor_analysis,
    largest_noise_eigenvalue,
)
from passive_pruner.vae import MLP, BetaVAE, ContinuousBernoulli, Conv, Gaussian, Poisson


def table(n_factors, n_samples, seed, *, n_features=30, equal_noise=False):
    """Standardised columns that are made of factors and noise."""
    rng = np.random.default_rng(seed)
    noise = 1.0 if equal_noise else rng.uniform(0.2, 2, n_features)
    X = rng.standard_normal((n_samples, n_factors)) @ rng.standard_normal((n_factors, n_features))
    X += 1.5 * np.sqrt(noise) * rng.standard_normal(X.shape)
    return StandardScaler().fit_transform(X)


def log_likelihood(factors, covariance):
    """Mean log-likelihood of the rows that a covariance is of."""
    model = factors.loadings @ factors.loadings.T + np.diag(factors.noise)
    _, log_det = np.linalg.slogdet(model)
    trace = np.trace(np.linalg.solve(model, covariance))
    return -0.5 * (len(model) * np.log(2 * np.pi) + log_det + trace)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_factors", [1, 3, 6])
def test_the_likelihood_is_that_of_scikit_learn(n_factors, seed):
    X = table(n_factors, 800, seed)
    covariance = X.T @ X / len(X)
    factors = factor_analysis(covariance, len(X), n_factors)
    expected = FactorAnalysis(n_factors, tol=1e-6, max_iter=5000).fit(X).score(X)
    assert log_likelihood(factors, covariance) == pytest.approx(expected, abs=0.02)


def test_one_noise_for_all_columns_is_probabilistic_pca():
    X = StandardScaler().fit_transform(load_wine().data)
    factors = factor_analysis(X.T @ X / len(X), 10**6, 5, noise_kind="shared")
    expected = PCA(5).fit(X).score(X)
    assert log_likelihood(factors, X.T @ X / len(X)) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("equal_noise", [False, True])
@pytest.mark.parametrize("n_samples", [500, 3000])
def test_the_number_of_factors_is_found(n_samples, equal_noise):
    found = [
        len(factor_analysis(X.T @ X / len(X), len(X), 16).gain) - n_factors
        for n_factors in (0, 2, 4, 6)
        for seed in range(5)
        for X in [table(n_factors, n_samples, 10 * n_factors + seed, equal_noise=equal_noise)]
    ]
    # At the 95 % quantile one of twenty may have a factor too many, none one too few.
    assert min(found) == 0
    assert max(found) <= 1 and np.mean(found) <= 0.15


def test_the_edge_is_the_quantile_of_the_largest_eigenvalue_of_noise():
    rng = np.random.default_rng(0)
    largest = []
    for _ in range(300):
        X = rng.standard_normal((200, 20))
        largest.append(np.linalg.eigvalsh(X.T @ X / 200)[-1])
    assert 0.9 < np.mean(largest < largest_noise_eigenvalue(200, 20)) < 0.99


def test_loadings_are_orthogonal_in_units_of_the_noise_and_have_fixed_signs():
    X = table(4, 1000, 0)
    factors = factor_analysis(X.T @ X / len(X), len(X), 8)
    gram = (factors.loadings / factors.noise[:, None]).T @ factors.loadings
    np.testing.assert_allclose(gram, np.diag(factors.gain), atol=1e-8 * factors.gain[0])
    assert (np.diff(factors.gain) < 0).all()
    scaled = factors.loadings / np.sqrt(factors.noise)[:, None]
    assert (scaled[np.abs(scaled).argmax(axis=0), range(4)] > 0).all()


@pytest.mark.parametrize("likelihood", [None, Gaussian("shared"), Gaussian(0.5)])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_at_the_start_the_elbo_is_the_log_likelihood_of_the_linear_model(likelihood, scale):
    X = scale * (table(3, 600, 1, n_features=12) * np.linspace(1, 2, 12) + 3)
    # No step moves a weight by more than its learning rate.
    encoder = VAEEncoder(
        6,
        init="factor_analysis",
        architecture=MLP((8,), linear_path=True),
        likelihood=likelihood if scale == 1 or likelihood != Gaussian(0.5) else None,
        learning_rate=1e-12,
        max_steps=25,
        early_stopping=False,
        random_state=0,
    ).fit(X)
    network = encoder.to_torch().double()
    z = torch.zeros(1, 6, dtype=torch.float64)
    with torch.no_grad():
        mean = network.mean(z)[0].numpy()
        loadings = network.mean(torch.eye(6, dtype=torch.float64)).numpy().T - mean[:, None]
        noise = np.broadcast_to(network.likelihood.variance().numpy(), 12)
    covariance = loadings @ loadings.T + np.diag(noise)
    centred = X.astype(np.float32) - mean
    distance = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    expected = -0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1])
    scores = encoder.score_samples(X)
    error = (scores - expected).std() / np.sqrt(len(X))
    assert abs(np.mean(scores - expected)) < max(4 * error, 1e-3)
    # The posterior is exact, so no single row has a bound that is loose.
    assert np.abs(scores - expected).max() < 3


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes, load_wine])
@pytest.mark.parametrize("seed", range(2))
def test_the_model_is_no_worse_than_linear_ones(load, seed):
    train, test = train_test_split(load().data, test_size=0.3, random_state=seed)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    encoder = VAEEncoder(
        8,
        init="factor_analysis",
        architecture=MLP((64,), linear_path=True),
        random_state=seed,
    ).fit(train)
    # Wine has 124 rows, where the ELBO of the test rows has an error of a quarter nat.
    linear = [model.fit(train).score(test) for model in (PCA(8), FactorAnalysis(8))]
    assert encoder.score(test) > max(linear) - 0.4
    start = encoder.history_[0]["objective"]
    fitted = {record["epoch"]: record["objective"] for record in encoder.history_}
    assert fitted[encoder.best_epoch_] <= start


@pytest.mark.parametrize("n_factors", [2, 5])
def test_the_variables_that_are_not_passive_are_the_factors(n_factors):
    X = table(n_factors, 1500, n_factors)
    encoder = VAEEncoder(
        16, init="factor_analysis", architecture=MLP((32,), linear_path=True), random_state=0
    ).fit(X)
    for criterion in ("active_units", "variance", "kl"):
        encoder.set_params(add_variance=criterion != "active_units")
        remover = PassiveVariableRemover(criterion=criterion).fit(encoder.transform(X))
        assert np.sum(remover.variable_types_ != "passive") == n_factors


@pytest.mark.parametrize(
    "make",
    [
        lambda X: X[:15],  # fewer rows than columns
        lambda X: np.hstack([X, X[:, :3]]),  # columns that repeat others
        lambda X: np.hstack([X, X[:, :2] @ [[1.0], [1.0]]]),  # a column that others determine
        lambda X: np.hstack([X, np.full((len(X), 2), 3.0)]),  # constants
        lambda X: X[:, :2],  # more variables than columns
        lambda X: X[:, :1],
        lambda X: np.where(np.arange(len(X))[:, None] == 7, 1e3, X),  # one row far off
    ],
)
@pytest.mark.parametrize("early_stopping", [True, False])
# One or two columns show no factor: an encoder that is passive throughout is right there.
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
def test_tables_that_are_hard_for_factor_analysis(make, early_stopping):
    X = make(table(3, 200, 0, n_features=10))
    encoder = small_encoder(n_components=4, init="factor_analysis", architecture=None)
    encoder.set_params(architecture=MLP((16,), linear_path=True), early_stopping=early_stopping)
    encoder.fit(X)
    assert np.isfinite(encoder.score(X)) and np.isfinite(encoder.transform(X)).all()


def test_the_start_is_part_of_the_history(cancer):
    X, _ = cancer
    encoder = small_encoder(
        n_components=8, init="factor_analysis", architecture=MLP((16,), linear_path=True)
    ).fit(X)
    assert [record["epoch"] for record in encoder.history_] == [0, 1, 2, 3, 4]
    assert [record["step"] for record in encoder.history_] == [0, 25, 50, 75, 100]
    assert encoder.n_iter_ == 4
    # Its variables are those of the factor analysis, of falling information.
    variances = encoder.history_[0]["mean_of_variance"]
    assert (np.diff(variances) > 0).all()


def test_the_whole_life_of_an_encoder_with_linear_paths(cancer):
    X, _ = cancer
    encoder = small_encoder(
        n_components=5, init="factor_analysis", architecture=MLP((16,), linear_path=True)
    ).fit(X)
    codes = encoder.transform(X)
    again = small_encoder(
        n_components=5, init="factor_analysis", architecture=MLP((16,), linear_path=True)
    ).fit(X)
    np.testing.assert_array_equal(again.transform(X), codes)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(X), codes)
    pruned = encoder.pruned([3, 1])
    np.testing.assert_allclose(pruned.transform(X), codes[:, [3, 1]], atol=1e-5)
    steps = encoder.n_steps_
    encoder.partial_fit(X).partial_fit(X)
    assert encoder.n_steps_ == steps + 18 and np.isfinite(encoder.score(X))
    auto = small_encoder(
        n_components="auto", init="factor_analysis", architecture=MLP((16,), linear_path=True)
    )
    assert 5 < auto.set_params(max_steps=300).fit(X).n_components_ < 30


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"likelihood": ContinuousBernoulli()}, "likelihood=ContinuousBernoulli"),
        ({"likelihood": Poisson(exposure="row_sum")}, "likelihood=Poisson"),
        ({"architecture": MLP((8,))}, r"architecture=MLP\(hidden_layer_sizes=\(8,\)\)"),
        ({"architecture": Conv((4, 4, 1))}, "architecture=Conv"),
    ],
)
def test_what_has_no_factor_analysis_is_refused_by_name(params, name):
    X = np.random.default_rng(0).integers(0, 2, size=(50, 16))
    defaults = {"architecture": MLP((8,), linear_path=True)}
    with pytest.raises(ValueError, match=f"init='factor_analysis' takes .* got {name}"):
        small_encoder(init="factor_analysis", **{**defaults, **params}).fit(X)


def test_a_larger_beta_starts_with_wider_posteriors(cancer):
    X, _ = cancer
    variances = [
        small_encoder(
            n_components=6,
            init="factor_analysis",
            objective=BetaVAE(beta),
            architecture=MLP((16,), linear_path=True),
            max_steps=25,
        )
        .fit(X)
        .history_[0]["mean_of_variance"]
        for beta in (0.0, 1.0, 4.0)
    ]
    assert (variances[0] < variances[1]).all() and (variances[1] < variances[2]).all()


def test_components_that_were_saved_without_a_linear_path_have_none():
    state = MLP((8,)).__getstate__()
    del state["linear_path"]
    restored = MLP.__new__(MLP)
    restored.__setstate__(state)
    assert restored.equals(MLP((8,)))
