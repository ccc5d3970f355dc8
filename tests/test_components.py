"""Objectives, likelihoods, architectures and the module they make up."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone

from passive_pruner.vae import MLP, Bernoulli, BetaVAE, Gaussian
from passive_pruner.vae._batches import permuted_batches
from passive_pruner.vae._module import LOG_VARIANCE_BOUND, VAE, elbo_points

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def batch():
    """Posterior and draws that the reference implementation was given, and its figures."""
    with np.load(DATA / "reference.npz") as arrays:
        tensors = {
            name: torch.from_numpy(arrays[f"objective_{name}"])
            for name in ("mean", "log_variance", "sample")
        }
    return tensors, json.loads((DATA / "reference.json").read_text())["objectives"]


@pytest.mark.parametrize("beta", [1, 4, 8])
def test_beta_vae_equals_the_reference(batch, beta):
    tensors, figures = batch
    value = BetaVAE(beta=beta).regularizer(**tensors).item()
    np.testing.assert_allclose(value, figures["regularizer"][f"beta_vae beta={beta}"], rtol=1e-4)


def table(n_rows=50, n_features=4):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n_rows, n_features)) * [1, 2, 5, 0.1] + 3).astype(np.float32)


@pytest.mark.parametrize("variance", ["shared", "per_feature", 0.5])
def test_gaussian_is_the_density_of_scipy_in_the_units_of_the_data(variance):
    X = table()
    module = Gaussian(variance).build(X)
    outputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    mean = X.mean(axis=0) + X.std(axis=0) * outputs.numpy()
    start = {
        "shared": 0.1 * X.var(axis=0).mean(),
        "per_feature": 0.1 * X.var(axis=0),
        0.5: 0.5,
    }[variance]
    expected = stats.norm.logpdf(X, mean, np.sqrt(start)).sum(axis=1)
    actual = module.log_likelihood(outputs, torch.from_numpy(X)).detach()
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


@pytest.mark.parametrize(("variance", "n_learned"), [("shared", 1), ("per_feature", 4), (0.5, 0)])
def test_the_variance_is_learned_as_asked(variance, n_learned):
    parameters = Gaussian(variance).build(table()).parameters()
    assert sum(p.numel() for p in parameters if p.requires_grad) == n_learned


def test_the_shared_variance_converges_to_the_squared_error():
    # With constant outputs the maximum-likelihood variance is the mean squared error.
    X = torch.from_numpy(table(2000))
    module = Gaussian().build(X.numpy())
    outputs = torch.zeros_like(X)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(500):
        optimizer.zero_grad()
        (-module.log_likelihood(outputs, X).mean()).backward()
        optimizer.step()
    learned = module.distribution(outputs).variance[0, 0].item()
    np.testing.assert_allclose(learned, X.numpy().var(axis=0).mean(), rtol=1e-3)


def test_bernoulli_is_the_mass_function_of_scipy():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (20, 3)).astype(np.float32)
    logits = rng.standard_normal((20, 3)).astype(np.float32)
    expected = stats.bernoulli.logpmf(X, 1 / (1 + np.exp(-logits))).sum(axis=1)
    actual = Bernoulli().build(X).log_likelihood(torch.from_numpy(logits), torch.from_numpy(X))
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_mlp_has_the_sizes_it_was_given():
    encoder, decoder = MLP((7, 5), activation="tanh").build(10, 2, 12)
    shapes = [tuple(p.shape) for p in encoder.parameters() if p.ndim == 2]
    assert shapes == [(7, 10), (5, 7), (4, 5)]
    shapes = [tuple(p.shape) for p in decoder.parameters() if p.ndim == 2]
    assert shapes == [(5, 2), (7, 5), (12, 7)]
    assert not isinstance(encoder[-1], torch.nn.Tanh)


@pytest.mark.parametrize("component", [MLP((8,)), BetaVAE(2.0), Gaussian("per_feature")])
def test_components_are_cloned_by_their_parameters(component):
    assert clone(component).get_params() == component.get_params()
    assert type(component)(**component.get_params()).get_params() == component.get_params()


def module_with_log_variance(value):
    encoder = torch.nn.Linear(4, 2)
    torch.nn.init.zeros_(encoder.weight)
    encoder.bias.data = torch.tensor([0.0, value])
    return VAE(encoder, torch.nn.Linear(1, 4), Gaussian(1.0).build(table()))


@pytest.mark.parametrize("value", [-1e4, -50.0, 0.3, 50.0, 1e4])
def test_log_variance_is_bounded_and_still_pulled_back(value):
    module = module_with_log_variance(value)
    x = torch.from_numpy(table())
    mean, log_variance = module.encode(x)
    assert log_variance.abs().max() <= LOG_VARIANCE_BOUND
    BetaVAE().regularizer(mean, log_variance, mean).backward()
    gradient = module.encoder.bias.grad[1]
    assert gradient.isfinite()
    # The KL divergence is smallest at a log-variance of 0: the gradient points away from there.
    assert torch.sign(gradient) == np.sign(value)


@pytest.mark.parametrize(("n_rows", "batch_size"), [(10, 4), (9, 4), (3, 8), (65, 64), (1, 1)])
def test_every_pass_visits_every_row_once_in_even_batches(n_rows, batch_size):
    X = np.arange(n_rows, dtype=np.float32)[:, None]
    batches = permuted_batches(X, np.arange(n_rows), batch_size, np.random.RandomState(0))
    n_batches = -(-n_rows // batch_size)
    passes = [torch.cat(list(islice(batches, n_batches))).flatten() for _ in range(2)]
    for one_pass in passes:
        np.testing.assert_array_equal(np.sort(one_pass), X[:, 0])
    sizes = {len(b) for b in islice(batches, n_batches)}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("n_components", [1, 10, 200])
def test_elbo_points_have_the_moments_of_the_standard_normal(n_components):
    points = elbo_points(n_components).numpy()
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(points.var(axis=0), 1)


def test_elbo_equals_a_long_simulation(fitted_encoder, cancer):
    X, _ = cancer
    module = fitted_encoder._module()
    x = torch.from_numpy(X[:50])
    noise = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        simulated = module.elbo(x, noise).mean().item()
    # 16 points stand for 4000 draws to within one nat of the some 30 that the ELBO is made of.
    assert abs(fitted_encoder.score(X[:50]) - simulated) < 1
