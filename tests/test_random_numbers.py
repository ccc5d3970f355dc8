"""Random numbers and modes of torch: a model is a function of its seed, whatever goes on around."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache

import numpy as np
import pytest
import torch
from conftest import small_encoder
from joblib import Parallel, delayed
from torch import distributions as D
from torch import nn

from passive_pruner.vae import MLP, BetaVAE, Conv, FactorVAE, FromFactory, NegativeBinomial
from passive_pruner.vae._random import LocalDraws, plain_torch


def with_dropout(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.3), nn.Linear(8, 2 * n_components))
    return encoder, nn.Linear(n_components, n_outputs)


class DrawsWhenItEncodes(nn.Linear):
    """Draws in evaluation mode too, as Monte Carlo dropout does."""

    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.1, training=True)


def with_draws_after_training(n_inputs, n_components, n_outputs):
    return DrawsWhenItEncodes(n_inputs, 2 * n_components), nn.Linear(n_components, n_outputs)


def rows(seed=0, n=80):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, 16)) + 0.1 * rng.normal(size=(n, 16))


def counts():
    return np.random.default_rng(0).poisson(np.exp(rows() / 2).clip(0, 50)).astype(float)


COMMON = {
    "n_components": 2,
    "architecture": MLP((8,)),
    "objective": BetaVAE(0.01),
    "max_steps": 20,
    "learning_rate": 0.03,
}
FACTOR = FactorVAE(discriminator_layer_sizes=(8,))
KINDS = {
    "mlp": ({}, rows()),
    "conv": ({"architecture": Conv((4, 4, 1), channels=(4,), hidden_size=8)}, rows()),
    "dropout": ({"architecture": FromFactory(with_dropout)}, rows()),
    "always drawing": ({"architecture": FromFactory(with_draws_after_training)}, rows()),
    "factor_vae": ({"objective": FACTOR}, rows()),
    "counts": ({"likelihood": NegativeBinomial()}, counts()),
    "auto": ({"n_components": "auto"}, rows()),
}


def encoder_of(kind, **params):
    given, X = KINDS[kind]
    return small_encoder(**{**COMMON, **given, **params}), X


def everything(kind, seed=0):
    """All that an encoder draws or computes."""
    encoder, X = encoder_of(kind, random_state=seed, output="sampled")
    encoder.fit(X)
    sampled = encoder.transform(X)
    encoder.partial_fit(X)
    results = {f"weights {name}": value for name, value in encoder.weights_.items()}
    results |= {"sampled": sampled, "rows": encoder.sample(5), "scores": encoder.score_samples(X)}
    results["decoded"] = encoder.inverse_transform(encoder.transform(X))
    results["unpickled"] = pickle.loads(pickle.dumps(encoder)).transform(X)
    if kind != "always drawing":
        results["pruned"] = encoder.pruned([0]).sample(3)
    return results


@cache
def expected_of(kind, seed=0):
    return everything(kind, seed)


def assert_same(results, expected):
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(results[name], value, err_msg=name)


@contextmanager
def others_draw_from_the_global_generators():
    """A thread that goes on drawing; its numbers have to be those of an undisturbed process."""
    stop, drawn = threading.Event(), []

    def draw():
        while not stop.wait(0.001) and len(drawn) < 3000:
            drawn.append((torch.rand(()).item(), np.random.rand()))  # noqa: NPY002

    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    assert drawn == [(torch.rand(()).item(), np.random.rand()) for _ in drawn]  # noqa: NPY002


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "always drawing"])
def test_threads_give_the_models_that_are_fitted_one_by_one(kind):
    expected = [expected_of(kind, seed) for seed in (0, 1)]
    assert any((expected[0][name] != expected[1][name]).any() for name in ("sampled", "rows"))
    with others_draw_from_the_global_generators():
        found = Parallel(4, backend="threading")(
            delayed(everything)(kind, seed) for seed in (0, 1, 0, 1)
        )
    for results, of_seed in zip(found, expected * 2, strict=True):
        assert_same(results, of_seed)


def test_processes_give_the_models_that_are_fitted_one_by_one():
    kinds = ["mlp", "dropout"]
    found = Parallel(2, backend="loky")(delayed(everything)(kind) for kind in kinds)
    for kind, results in zip(kinds, found, strict=True):
        assert_same(results, expected_of(kind))


def test_an_unpickled_encoder_is_used_while_another_is_fitted():
    # Rebuilding a network initialises layers, which draws random numbers.
    pickled = pickle.dumps(encoder_of("mlp")[0].fit(rows()))
    expected = encoder_of("mlp", max_steps=200)[0].fit(rows())
    stop = threading.Event()

    def use():
        while not stop.is_set():
            pickle.loads(pickled).transform(rows())

    with ThreadPoolExecutor(1) as pool:
        user = pool.submit(use)
        found = encoder_of("mlp", max_steps=200)[0].fit(rows())
        stop.set()
        user.result()
    np.testing.assert_array_equal(found.transform(rows()), expected.transform(rows()))


def test_a_network_that_always_draws_gives_the_same_codes_every_time():
    before = torch.get_rng_state()
    assert_same(everything("always drawing"), everything("always drawing"))
    encoder, X = encoder_of("always drawing", n_components="auto", max_steps=100)
    codes = encoder.fit(X).transform(X)
    np.testing.assert_array_equal(encoder.transform(X), codes)
    assert torch.equal(torch.get_rng_state(), before)


# Modes of torch


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def all_at_once():
    with ExitStack() as stack:
        for mode in (default_dtype, default_device, torch.inference_mode, deterministic):
            stack.enter_context(mode())
        yield stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))


AMBIENT = {
    "float64": default_dtype,
    "meta": default_device,
    "with meta": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": deterministic,
}


@pytest.mark.parametrize(
    ("kind", "ambient"),
    [("mlp", ambient) for ambient in AMBIENT]
    + [(kind, all_at_once) for kind in KINDS if kind != "mlp"],
)
def test_modes_of_torch_change_nothing(kind, ambient):
    with AMBIENT.get(ambient, ambient)():
        found = everything(kind)
    assert_same(found, expected_of(kind))


@pytest.mark.parametrize("fitted_in", AMBIENT)
def test_a_model_of_one_mode_is_used_in_the_others(fitted_in):
    encoder, X = encoder_of("mlp")
    expected = encoder.fit(X).transform(X), encoder.score_samples(X)
    with AMBIENT[fitted_in]():
        encoder = encoder_of("mlp")[0].fit(X)
        encoder.transform(X)  # builds the network
    for other in AMBIENT.values():
        with other():
            np.testing.assert_array_equal(encoder.transform(X), expected[0])
            np.testing.assert_array_equal(encoder.score_samples(X), expected[1])
            pickle.loads(pickle.dumps(encoder)).partial_fit(X)


# Operators


def filled(name, *args):
    return lambda: getattr(torch.empty(4), name)(*args)


def layers():
    made = [nn.Linear(3, 4), nn.Conv2d(1, 2, 3), nn.Embedding(3, 4), nn.LSTM(3, 4)]
    nn.init.orthogonal_(made[0].weight)
    nn.init.trunc_normal_(made[1].weight)
    return torch.cat([p.detach().flatten() for layer in made for p in layer.parameters()])


DRAWS = {
    "layers": layers,
    "rand": lambda: torch.rand(2, 2),
    "randn": lambda: torch.randn(4),
    "randint": lambda: torch.randint(0, 1000, (4,)),
    "randint of one bound": lambda: torch.randint(1000, (4,)),
    "randperm": lambda: torch.randperm(50),
    "rand_like": lambda: torch.rand_like(torch.ones(4)),
    "randn_like": lambda: torch.randn_like(torch.ones(4)),
    "randint_like": lambda: torch.randint_like(torch.ones(4), 1, 1000),
    "randint_like of one bound": lambda: torch.randint_like(torch.ones(4), 1000),
    "normal of numbers": lambda: torch.normal(0.0, 1.0, (4,)),
    "normal of a tensor": lambda: torch.normal(torch.zeros(4), 1.0),
    "bernoulli": lambda: torch.bernoulli(torch.full((64,), 0.5)),
    "lstm": lambda: nn.LSTM(3, 4, 2, dropout=0.5)(torch.ones(5, 2, 3))[0].detach(),
    "multinomial": lambda: torch.multinomial(torch.ones(100), 4),
    "uniform_": filled("uniform_"),
    "normal_": filled("normal_"),
    "exponential_": filled("exponential_"),
    "cauchy_": filled("cauchy_"),
    "log_normal_": filled("log_normal_"),
    "geometric_": filled("geometric_", 0.01),
    "random_": filled("random_"),
    "dropout": lambda: nn.Dropout()(torch.ones(64, requires_grad=True)).detach(),
    "alpha_dropout": lambda: nn.AlphaDropout()(torch.ones(64)),
    "dropout of features": lambda: nn.functional.feature_alpha_dropout(
        torch.ones(2, 64, 4), 0.5, True
    ),
    "attention": lambda: nn.functional.scaled_dot_product_attention(
        *torch.ones(3, 1, 2, 8, 4).unbind(), dropout_p=0.5
    ),
    "gumbel_softmax": lambda: nn.functional.gumbel_softmax(torch.ones(2, 3)),
    "rrelu": lambda: nn.RReLU()(-torch.ones(4)),
    "fractional pooling": lambda: nn.FractionalMaxPool2d(2, output_size=9)(
        torch.arange(400, dtype=torch.float32).reshape(1, 1, 20, 20)
    ),
    "Normal": lambda: D.Normal(torch.zeros(4), 1.0).rsample(),
    "Poisson": lambda: D.Poisson(torch.full((4,), 1e4)).sample(),
    "NegativeBinomial": lambda: D.NegativeBinomial(
        torch.full((4,), 1e4), logits=torch.zeros(4)
    ).sample(),
    "Categorical": lambda: D.Categorical(logits=torch.zeros(9, 99)).sample(),
    "Laplace": lambda: D.Laplace(torch.zeros(4), 1.0).sample(),
    "Beta": lambda: D.Beta(torch.ones(2), torch.ones(2)).sample(),
    "StudentT": lambda: D.StudentT(torch.full((4,), 3.0)).sample(),
    "Binomial": lambda: D.Binomial(5000, torch.full((4,), 0.3)).sample(),
    "VonMises": lambda: D.VonMises(torch.zeros(4), 1.0).sample(),
    "Dirichlet": lambda: D.Dirichlet(torch.ones(4)).sample(),
    "Gamma": lambda: D.Gamma(torch.ones(4), 1.0).sample(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_local_draws(name):
    draw, before = DRAWS[name], torch.get_rng_state()
    torch.manual_seed(1)
    first, drawn = torch.get_rng_state(), {}
    for ambient in (nullcontext, torch.no_grad, torch.inference_mode, default_dtype):
        if name == "lstm" and ambient is torch.inference_mode:
            continue  # a layer in training mode has no business there
        for seed in (3, 4):
            with ambient(), LocalDraws(seed) as draws:
                value = draw()
                assert not torch.equal(draw().clone(), value)  # the generator goes on
            assert draws.n_draws >= 2
            drawn.setdefault(seed, []).append(value)
    assert torch.equal(torch.get_rng_state(), first)
    torch.set_rng_state(before)
    assert not torch.equal(drawn[3][0], drawn[4][0])
    for values in drawn.values():
        # Deterministic functions of the draws may be computed in another precision.
        for value in values:
            torch.testing.assert_close(value.float(), values[0].float(), rtol=1e-5, atol=1e-5)


def test_a_generator_that_is_given_is_used():
    with LocalDraws(3) as draws:
        given = torch.randn(4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(given, torch.randn(4, generator=torch.Generator().manual_seed(0)))
    assert draws.n_draws == 0


def test_what_is_computed_in_evaluation_needs_no_gradient():
    weight = torch.ones(3, requires_grad=True)
    for outside in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with outside():
            with plain_torch(grad=True):
                assert (2 * weight).requires_grad
            with plain_torch(grad=False):
                assert not (2 * weight).requires_grad
