"""The hand-derived gradient step equals automatic differentiation."""

import copy
import gc

import numpy as np
import pytest
import torch
from torch import nn

from passive_pruner.training._discriminator import Discriminator
from passive_pruner.training._fast import FastStep, is_known
from passive_pruner.training._loss import Loss
from passive_pruner.vae import (
    DIPVAE,
    MLP,
    AnnealedVAE,
    Bernoulli,
    BetaTCVAE,
    BetaVAE,
    FactorVAE,
    Gaussian,
    Poisson,
)
from passive_pruner.vae._network import VAE

CPU = torch.device("cpu")
D = 3


def table(likelihood):
    rng = np.random.default_rng(0)
    X = 3 * rng.standard_normal((40, 6)) * np.linspace(0.1, 2, 6) + 1
    if isinstance(likelihood, Bernoulli):
        X = X > 0
    elif isinstance(likelihood, Poisson):
        X = np.rint(np.abs(X))
    return X.astype(np.float32)


def network(architecture, likelihood, X, *, allow_missing=False):
    n_inputs = X.shape[1] * (2 if allow_missing else 1)
    halves = architecture.build(n_inputs, D, likelihood.n_outputs(X.shape[1]))
    return VAE(*halves, likelihood.build(X, allow_missing=allow_missing), allow_missing)


def gradients(module):
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.requires_grad}


def assert_same_step(plain, criterion, X, *, step=3, is_mlp=True):
    """One step by autograd and one by hand, with the same noise."""
    by_hand = copy.deepcopy(plain)
    generator = torch.Generator()
    fast = FastStep(by_hand, criterion, D, generator, is_mlp=is_mlp)
    criterion.train()
    for rows in (X, X[:17], X[:1], X):  # whole and partial batches
        x = torch.from_numpy(rows)
        noise = torch.randn(len(x), D, generator=generator.manual_seed(7))
        plain.zero_grad()
        reconstruction, regularizer, codes = criterion(plain, x, step=step, noise=noise)
        (reconstruction + regularizer).backward()
        generator.manual_seed(7)
        sample = fast(x, step=step)
        torch.testing.assert_close(sample, codes.sample.detach(), rtol=1e-6, atol=1e-6)
        expected = gradients(plain)
        for name, value in gradients(by_hand).items():
            scale = expected[name].abs().max().item()
            torch.testing.assert_close(
                value, expected[name], rtol=1e-5, atol=1e-5 * max(scale, 1e-3), msg=name
            )


OBJECTIVES = [
    BetaVAE(1.0),
    BetaVAE(4.0),
    AnnealedVAE(gamma=10.0, c_max=2.0, iteration_threshold=10),
    DIPVAE("i", lambda_od=2.0),
    DIPVAE("ii", lambda_od=2.0),
    BetaTCVAE(3.0),
    FactorVAE(gamma=5.0, discriminator_layer_sizes=(8,)),
]
LIKELIHOODS = [Gaussian("shared"), Gaussian("per_feature"), Gaussian(0.3), Bernoulli(), Poisson()]


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_every_gradient_is_that_of_autograd(objective, likelihood):
    X = table(likelihood)
    discriminator = objective.build_discriminator(D)
    criterion = Loss(
        objective,
        kl_warmup_steps=8,
        discriminator=None
        if discriminator is None
        else Discriminator(discriminator, CPU, torch.Generator()),
    )
    assert_same_step(network(MLP((5, 4)), likelihood, X), criterion, X)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("sizes", [(), (5,), (5, 4, 3)])
def test_every_depth_and_activation(activation, sizes):
    X = table(Gaussian())
    assert_same_step(network(MLP(sizes, activation), Gaussian(), X), Loss(BetaVAE()), X)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_linear_paths(likelihood, activation):
    X = table(likelihood)
    architecture = MLP((5, 4), activation, linear_path=True)
    assert_same_step(network(architecture, likelihood, X), Loss(BetaVAE()), X)


def test_missing_cells():
    X = table(Gaussian())
    module = network(MLP((5,)), Gaussian(), X, allow_missing=True)
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    assert_same_step(module, Loss(BetaVAE()), X)


def test_log_variances_outside_their_bounds():
    X = table(Gaussian())
    module = network(MLP((5,)), Gaussian(), X)
    module.encoder[-1].bias.data[D:] = torch.tensor([-30.0, 0.0, 30.0])
    # exp(20 / 2) times noise is decoded: only the largest gradients can be compared.
    assert_same_step(module, Loss(BetaVAE()), X)


@pytest.mark.parametrize("variance", ["shared", "per_feature"])
def test_the_variance_stays_where_it_is_below_its_floor(variance):
    X = table(Gaussian(variance))
    module = network(MLP((5,)), Gaussian(variance), X)
    module.likelihood.log_ratio.data.fill_(-100.0)
    fast = FastStep(module, Loss(BetaVAE()), D, torch.Generator(), is_mlp=True)
    fast(torch.from_numpy(X), step=0)
    assert (module.likelihood.log_ratio.grad == 0).all()


class Opaque(nn.Module):
    """A network of the user's own, with a layer that is used twice and an activation at its end."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.first = nn.Linear(n_in, 5)
        self.twice = nn.Linear(5, 5)
        self.last = nn.Sequential(nn.Linear(5, n_out), nn.Softsign())

    def forward(self, x):
        return self.last(torch.sigmoid(self.twice(self.twice(self.first(x)))))


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
@pytest.mark.parametrize("objective", [BetaVAE(2.0), BetaTCVAE(3.0)], ids=repr)
def test_networks_of_other_layers(objective, likelihood):
    X = table(likelihood)
    plain = network(MLP(()), likelihood, X)
    plain.encoder, plain.decoder = Opaque(6, 2 * D), Opaque(D, likelihood.n_outputs(6))
    assert_same_step(plain, Loss(objective), X, is_mlp=False)


def test_a_layer_that_both_halves_share():
    X = table(Gaussian())
    plain = network(MLP(()), Gaussian(), X)
    shared = nn.Linear(D, D)
    plain.encoder = nn.Sequential(nn.Linear(6, D), shared, nn.ReLU(), nn.Linear(D, 2 * D))
    plain.decoder = nn.Sequential(shared, nn.ReLU(), nn.Linear(D, 6))
    assert_same_step(plain, Loss(BetaVAE()), X, is_mlp=False)


def test_half_of_a_network_may_be_frozen():
    X = table(Gaussian())
    plain = network(MLP((5,)), Gaussian(), X)
    plain.encoder.requires_grad_(False)
    assert_same_step(plain, Loss(BetaVAE()), X, is_mlp=False)


def test_activations_without_a_derivative_in_their_value_are_left_to_autograd():
    assert is_known(MLP((5,)).build(6, D, 6)[0])
    assert is_known(MLP(()).build(6, D, 6)[0])
    assert not is_known(MLP((5,), "gelu").build(6, D, 6)[0])


def test_buffers_do_not_grow_with_the_sizes_of_batches():
    X = table(Gaussian())
    fast = FastStep(
        network(MLP((5,)), Gaussian(), X), Loss(BetaVAE()), D, torch.Generator(), is_mlp=True
    )
    tensors = []
    for n_rows in range(1, 31):
        fast(torch.from_numpy(X[:n_rows]), step=0)
        tensors.append(sum(type(o) is torch.Tensor for o in gc.get_objects()))
    assert max(tensors[10:]) <= max(tensors[:10])


def test_parameters_are_updated_through_the_flat_one():
    X = table(Gaussian())
    module = network(MLP((5,)), Gaussian(), X)
    before = module.weights()
    fast = FastStep(module, Loss(BetaVAE()), D, torch.Generator(), is_mlp=True)
    for name, value in module.weights().items():
        np.testing.assert_array_equal(value, before[name])
    with torch.no_grad():
        fast.flat.zero_()
    assert not module.encoder[0].weight.any()
    module.load_weights(before)
    assert fast.flat.any()
