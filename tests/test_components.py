"""Components in general and the module they make up."""

import re
from inspect import isclass

import numpy as np
import pytest
import torch
from conftest import small_encoder
from sklearn.base import clone

from passive_pruner import VAEEncoder, vae
from passive_pruner._common._draws import elbo_noise, row_keys
from passive_pruner.vae import MLP, BetaVAE, Codes, FactorVAE, Gaussian, Mixed
from passive_pruner.vae._component import Component
from passive_pruner.vae._hints import COMPONENTS
from passive_pruner.vae._network import LOG_VARIANCE_BOUND, VAE


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
    BetaVAE().regularizer(Codes(mean, log_variance, mean)).backward()
    gradient = module.encoder.bias.grad[1]
    assert gradient.isfinite()
    # The KL divergence is smallest at a log-variance of 0: the gradient points away from there.
    assert torch.sign(gradient) == np.sign(value)


@pytest.mark.parametrize("n_components", [1, 10, 200])
def test_elbo_noise_is_standard_normal_over_rows(n_components):
    keys = row_keys(np.random.default_rng(0).standard_normal((3000, 2)).astype(np.float32))
    noise = elbo_noise(keys, n_components)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=1e-12)  # mirror images
    error = 4 / np.sqrt(noise[:, :, 0].size)
    np.testing.assert_allclose((noise**2).mean(axis=(0, 1)), 1, atol=2 * error)
    # What all rows have in common would not average out.
    mixed = np.einsum("pij,pik->ijk", noise[:, :, :5], noise[:, :, :5]).mean(axis=0) / len(noise)
    np.testing.assert_allclose(mixed, np.eye(len(mixed)), atol=0.03)


@pytest.mark.parametrize("n_components", [4, 16, 48])
def test_the_score_is_the_elbo_up_to_an_error_that_falls_with_rows(n_components, cancer):
    X, _ = cancer
    encoder = small_encoder(n_components=n_components, max_steps=400).fit(X[:300])
    rows = X[300:]
    scores = encoder.score_samples(rows)
    network, x = encoder.to_torch(), torch.from_numpy(rows)
    noise = torch.randn(300, len(x), n_components, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        simulated = network.elbo(x, noise).numpy()
    errors = scores - simulated
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(len(errors))
    assert abs(errors.mean()) < 0.15


@pytest.mark.parametrize(
    ("parameters", "meant"),
    [
        ({"objective": "beta"}, "BetaVAE()"),
        ({"objective": "tcvae"}, "BetaTCVAE()"),
        ({"objective": 4.0}, "BetaVAE(beta=4.0)"),
        ({"objective": FactorVAE}, "FactorVAE()"),
        ({"objective": Gaussian()}, "likelihood=Gaussian()"),
        ({"likelihood": "normal"}, "'gaussian'"),
        ({"likelihood": "Gaussian"}, "'gaussian'"),
        ({"likelihood": "gausian"}, "'gaussian'"),
        ({"likelihood": Mixed}, "Mixed(...)"),
        ({"architecture": (64,)}, "MLP((64,))"),
        ({"architecture": [64, 32]}, "MLP((64, 32))"),
        ({"architecture": 64}, "MLP((64,))"),
        ({"architecture": "cnn"}, "Conv()"),
    ],
)
def test_what_is_no_component_is_answered_with_what_may_have_been_meant(parameters, meant):
    ((name, value),) = parameters.items()
    with pytest.raises(ValueError, match=re.escape(f"Did you mean {meant}?")) as error:
        VAEEncoder(**parameters).fit(np.eye(4))
    assert repr(value) in str(error.value)
    assert f"{name!r} parameter of VAEEncoder" in str(error.value)
    assert "passive_pruner.vae._" not in str(error.value).replace(repr(value), "")


@pytest.mark.parametrize("value", ["zzz", b"beta", [], True, object()])
def test_where_nothing_can_have_been_meant_components_are_listed(value):
    with pytest.raises(ValueError, match="BetaVAE, AnnealedVAE") as error:
        VAEEncoder(objective=value).fit(np.eye(4))
    assert "Did you mean" not in str(error.value)


def test_errors_list_every_public_component():
    listed = {cls for base, classes in COMPONENTS.values() for cls in (base, *classes)}
    public = {getattr(vae, name) for name in vae.__all__}
    assert listed == {cls for cls in public if isclass(cls) and issubclass(cls, Component)}
