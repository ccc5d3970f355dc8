"""Components in general and the module they make up."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from passive_pruner.vae import MLP, BetaVAE, Gaussian
from passive_pruner.vae._network import LOG_VARIANCE_BOUND, VAE, elbo_points


def table(n_rows=50, n_features=4):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n_rows, n_features)) * [1, 2, 5, 0.1] + 3).astype(np.float32)


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
