"""find_variables: the number of factors that made the data, within a budget."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import small_encoder
from scipy.sparse import coo_array
from sklearn.base import clone

from passive_pruner import VAEEncoder, _auto_width, _trained
from passive_pruner._common._rows import Rows
from passive_pruner.exceptions import TrainingInterruptedWarning
from passive_pruner.training import _training, _width
from passive_pruner.training._width import find_variables
from passive_pruner.vae import MLP, BetaVAE, FromFactory


def factors(n_factors, n_columns, *, curved, noise=0.3, n_samples=1000):
    """Standard normal factors, seen through a random map with noise."""
    rng = np.random.default_rng(n_factors)
    X = rng.standard_normal((n_samples, n_factors))
    if curved:
        X = np.tanh(X @ rng.standard_normal((n_factors, 64)) / np.sqrt(n_factors))
    X = X @ rng.standard_normal((X.shape[1], n_columns))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return (X + noise * rng.standard_normal(X.shape)).astype("float32")


@pytest.fixture(scope="module")
def linear():
    """Four factors in twelve columns, and an encoder that can represent them exactly."""
    return linear_encoder(), factors(4, 12, curved=False)


def linear_encoder(max_steps=2000):
    return small_encoder(
        architecture=MLP(()), max_steps=max_steps, learning_rate=1e-2, n_iter_no_change=3
    )


class Trainings:
    """What find_variables trains for an encoder: its widths, budgets and steps."""

    def __init__(self, encoder):
        self.encoder = encoder
        self.widths, self.budgets, self.steps = [], [], []

    def find(self, X, n_features, *, max_steps=None, seed=0):
        self.X = X
        max_steps = max_steps or self.encoder.max_steps
        return len(find_variables(self._train, Rows(X), n_features, max_steps=max_steps, seed=seed))

    def _train(self, width, n_steps):
        fitted = clone(self.encoder).set_params(n_components=width, max_steps=n_steps).fit(self.X)
        self.widths.append(width)
        self.budgets.append(n_steps)
        self.steps.append(fitted.n_steps_)
        return fitted.to_torch(), fitted.n_steps_


@pytest.mark.parametrize(("n_factors", "seed"), [(2, 0), (6, 1)])
def test_the_number_of_factors_of_a_linear_model_is_found(n_factors, seed):
    # A linear autoencoder uses one variable per eigenvalue of the covariance above the noise.
    X = factors(n_factors, 12, curved=False)
    trainings = Trainings(linear_encoder().set_params(random_state=seed))
    assert abs(trainings.find(X, 12, seed=seed) - n_factors) <= 1


def test_the_number_of_factors_of_a_curved_model_is_found():
    # A curved surface may be described better by one variable more than it has dimensions.
    X = factors(4, 20, curved=True)
    encoder = small_encoder(architecture=MLP((64, 64)), learning_rate=2e-3, max_steps=1500)
    assert abs(Trainings(encoder).find(X, 20) - 4) <= 1


def test_the_width_is_doubled_until_a_variable_is_passive(linear, monkeypatch):
    _, X = linear
    trainings = Trainings(linear_encoder())
    monkeypatch.setattr(_width, "START_WIDTH", 2)
    assert trainings.find(X, 12, max_steps=10_000) == 4
    assert trainings.widths == [2, 4, 8]


def test_the_width_never_exceeds_the_number_of_columns(linear, monkeypatch):
    encoder, _ = linear
    monkeypatch.setattr(_width, "START_WIDTH", 4)
    trainings = Trainings(encoder)
    X = factors(7, 7, curved=False, noise=0.01)
    assert trainings.find(X, 7, max_steps=10_000) <= 7
    assert trainings.widths == [4, 7]


@pytest.mark.parametrize("max_steps", [250, 1000])
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
def test_the_search_keeps_to_its_budget(linear, max_steps, early_stopping, monkeypatch):
    encoder, X = linear
    monkeypatch.setattr(_width, "START_WIDTH", 1)
    trainings = Trainings(clone(encoder).set_params(early_stopping=early_stopping))
    trainings.find(X, 12, max_steps=max_steps)
    assert sum(trainings.steps) <= max_steps
    # No training is cut much shorter than the one before it, which could not be compared.
    for later, earlier in zip(trainings.budgets[1:], trainings.steps[:-1], strict=True):
        assert later >= earlier


@pytest.mark.parametrize("max_steps", [120, 500])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_fit_takes_no_more_than_its_budget(linear, max_steps, early_stopping, monkeypatch):
    taken = []
    train_step = _training.VAENet.train_step

    def counted(net, x, **params):
        taken.append(net.training.n_components)
        return train_step(net, x, **params)

    monkeypatch.setattr(_training.VAENet, "train_step", counted)
    _, X = linear
    params = {"n_components": "auto", "early_stopping": early_stopping}
    encoder = linear_encoder(max_steps).set_params(**params).fit(X)
    assert encoder.n_steps_ == len(taken) <= max_steps
    assert encoder.n_steps_ == max_steps or early_stopping
    assert taken == sorted(taken, reverse=True)  # wide first, then cut
    assert taken.count(12) + taken.count(encoder.n_components_) == len(taken)
    assert taken.count(12) <= max_steps - max_steps // 6


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("k", range(2, 7))
def test_the_width_is_the_number_of_factors(k, seed):
    X = factors(k, 20, curved=False)
    encoder = small_encoder(n_components="auto", max_steps=1000, random_state=seed).fit(X)
    assert encoder.init_ == "random"
    assert encoder.n_components_ == k


def from_factors(**params):
    """An encoder that starts at factor analysis, and whose width is found before it trains."""
    defaults = {
        "n_components": "auto",
        "architecture": MLP((32,), linear_path=True),
        "learning_rate": 1e-3,
        "max_steps": 20,
    }
    return small_encoder(**{**defaults, **params})


@pytest.mark.parametrize("k", range(2, 7))
@pytest.mark.parametrize("curved", [False, True])
def test_the_width_after_a_start_at_factor_analysis_is_the_number_of_factors(k, curved):
    X = factors(k, 20, curved=curved)
    encoder = from_factors().fit(X)
    assert encoder.init_ == "factor_analysis"
    # From 1000 rows a regression learns less of what is curved than there is to learn.
    assert encoder.n_components_ in ((k, k + 1) if curved else (k,))


@pytest.mark.parametrize("seed", range(3))
def test_the_width_hardly_depends_on_the_rows_that_were_seen(seed):
    X = factors(5, 30, curved=True, n_samples=2000)
    rows = np.random.default_rng(seed).permutation(2000)[:1000]
    assert from_factors(random_state=seed).fit(X[rows]).n_components_ in (5, 6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "p", "k"), [(50, 10, 2), (60, 100, 3), (5000, 8, 3)])
def test_no_factor_of_a_linear_model_is_taken_for_a_function_of_others(seed, n, p, k):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k)) @ rng.standard_normal((k, p)) * 2
    X = (X + rng.standard_normal((n, p))).astype("float32")
    encoder = from_factors(random_state=seed, early_stopping=False, max_steps=1).fit(X)
    wide = clone(encoder).set_params(n_components=min(n, p)).fit(X)
    # Before training the variables in use are the factors.
    assert encoder.n_components_ == (wide.history_[0]["mean_of_variance"] < 1 - 1e-6).sum()


@pytest.mark.parametrize("seed", range(2))
def test_on_a_curved_surface_surplus_factors_at_the_prior_make_the_better_model(seed, monkeypatch):
    X = factors(3, 20, curved=True, n_samples=1500)
    encoder = VAEEncoder(12, random_state=seed).fit(X[:1000])
    assert (encoder.history_[0]["mean_of_variance"] < 1 - 1e-6).sum() == 3
    monkeypatch.setattr(_trained, "necessary_factors", lambda *args: 12)
    with_all = clone(encoder).fit(X[:1000])
    assert encoder.score(X[1000:]) > with_all.score(X[1000:]) + 0.3


def test_a_start_of_nothing_but_factors_is_made_wider(monkeypatch):
    monkeypatch.setattr(_auto_width, "START_WIDTH", 2)
    assert from_factors().fit(factors(5, 12, curved=False)).n_components_ == 5


@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
@pytest.mark.parametrize("init", ["auto", "factor_analysis"])
def test_where_there_is_no_factor_variables_are_cut_out(init):
    X = np.random.default_rng(0).standard_normal((500, 6)).astype("float32")
    assert from_factors(init=init, max_steps=600).fit(X).n_components_ < 6


def test_the_width_of_a_table_with_missing_cells():
    X = factors(3, 20, curved=False)
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    assert from_factors(allow_missing=True).fit(X).n_components_ == 3


def test_the_width_of_counts_is_at_most_the_number_of_factors():
    X = np.random.default_rng(0).poisson(np.exp(0.5 * factors(3, 20, curved=False) + 1))
    auto = from_factors(likelihood="poisson", init="factor_analysis").fit(X)
    wide = clone(auto).set_params(n_components=20).fit(X)
    assert 3 <= auto.n_components_ <= (wide.history_[0]["mean_of_variance"] < 1 - 1e-6).sum()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("init", ["auto", "random"])
def test_one_training_is_no_worse_than_a_wide_one_and_costs_little_more(seed, init, cancer):
    X, _ = cancer
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    params = {
        "architecture": MLP((32,), linear_path=True),
        "max_steps": 3000,
        "random_state": seed,
        "init": init,
    }
    auto, wide = (small_encoder(n_components=n, **params).fit(X) for n in ("auto", 30))
    new = small_encoder(n_components=auto.n_components_, **params).fit(X)
    assert auto.n_components_ < 30
    if init == "random":  # otherwise a training that lowers its rate may go on for longer
        assert auto.n_steps_ <= 1.2 * wide.n_steps_
    assert auto.score(X) > min(wide.score(X), new.score(X)) - 0.5


@pytest.mark.parametrize("early_stopping", [True, False])
def test_the_history_is_that_of_the_variables_that_stayed(early_stopping, linear):
    _, X = linear
    encoder = linear_encoder(600).set_params(n_components="auto", early_stopping=early_stopping)
    history = encoder.fit(X).history_
    epochs = [record["epoch"] for record in history]
    assert epochs == list(range(epochs[0], epochs[0] + len(epochs)))
    assert (np.diff([record["step"] for record in history]) >= 0).all()
    assert encoder.n_iter_ == epochs[-1]
    assert encoder.n_steps_ == history[-1]["step"]
    for record in history:
        shapes = {v.shape for v in record.values() if isinstance(v, np.ndarray)}
        assert shapes == {(encoder.n_components_,)}
        assert record["n_active"] == (record["variance_of_mean"] > 0.1).sum()
    cut = next(i for i in range(1, len(history)) if history[i]["step"] == history[i - 1]["step"])
    assert encoder.best_epoch_ >= epochs[cut]
    more = encoder.set_params(warm_start=True, max_steps=20).fit(X)
    assert more.n_steps_ == history[-1]["step"] + 20


def test_data_without_information_needs_one_variable():
    X = np.random.default_rng(0).standard_normal((300, 5)).astype("float32")
    encoder = small_encoder(n_components="auto", objective=BetaVAE(beta=20), max_steps=500)
    with pytest.warns(UserWarning, match="carry no information"):
        assert encoder.fit(X).n_components_ == 1


@pytest.mark.parametrize("random_state", [3, None], ids=["int", "None"])
def test_the_parameters_and_the_global_generators_are_left_alone(linear, random_state):
    encoder, X = linear
    encoder = clone(encoder).set_params(
        random_state=random_state, max_steps=200, n_components="auto"
    )
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    widths = {encoder.fit(X).n_components_ for _ in range(2)}
    assert len(widths) == 1 or random_state is None
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert encoder.n_components == "auto"


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["sorted", "periodic"])
def test_rows_on_which_variables_are_counted_stand_for_the_table(seed, kind, monkeypatch):
    # Among the first rows a factor that grows with the row number would be constant, and so
    # would a factor with a period among every so many rows.
    n = 4800
    factor = {
        "sorted": np.linspace(-1, 1, n),
        "periodic": np.sin(2 * np.pi * np.arange(n) / 24),
    }[kind]
    X = np.stack([factor, np.random.default_rng(1).normal(size=n)], axis=1).astype(np.float32)
    monkeypatch.setattr(_width, "MAX_ROWS", 200)

    class Reads(torch.nn.Module):
        weight = torch.nn.Parameter(torch.zeros(1))

        def parameters(self):
            return iter([self.weight])

        def encode(self, x):
            self.read = x
            return x, torch.zeros_like(x)

    network = Reads()
    find_variables(lambda width, n_steps: (network, 1), Rows(X), 2, max_steps=1, seed=seed)
    assert network.read.shape == (200, 2)
    # Four standard errors of the standard deviation of 200 rows.
    np.testing.assert_allclose(network.read.numpy().std(axis=0), X.std(axis=0), rtol=0.2)


@pytest.mark.parametrize(("at", "kept"), [(1, None), (150, "wide"), (-5, "cut"), (-60, "cut")])
def test_an_interrupt_keeps_what_was_learned(at, kept, linear, monkeypatch):
    _, X = linear
    encoder = linear_encoder(500).set_params(n_components="auto", early_stopping=False)
    calls = iter(range(1, 10_000))
    train_step = _training.VAENet.train_step
    at %= 500

    def interrupted(*args, **params):
        if next(calls) == at:
            raise KeyboardInterrupt
        return train_step(*args, **params)

    monkeypatch.setattr(_training.VAENet, "train_step", interrupted)
    if kept is None:
        with pytest.raises(KeyboardInterrupt):
            encoder.fit(X)
        assert not [name for name in vars(encoder) if name.endswith("_")]
        return
    with pytest.warns(TrainingInterruptedWarning):
        encoder.fit(X)
    assert next(calls) == at + 1  # nothing is trained after an interrupt
    assert encoder.n_steps_ < at
    assert (encoder.n_steps_ < 417) == (kept == "wide")
    assert encoder.transform(X).shape == (1000, encoder.n_components_)
    assert encoder.history_[-1]["variance_of_mean"].shape == (encoder.n_components_,)


@pytest.mark.parametrize("container", [np.ndarray.tolist, pd.DataFrame, pl.DataFrame, coo_array])
def test_containers(container, linear):
    encoder, X = linear
    encoder = clone(encoder).set_params(max_steps=100, n_components="auto")
    table = container(X)
    if container is pd.DataFrame:
        table.columns = [f"x{j}" for j in range(12)]
    assert encoder.fit(table).n_components_ == encoder.fit(X).n_components_


class OfAllCodes(torch.nn.Module):
    """Outputs that change with the number of variables: no variable can be cut out."""

    def __init__(self, *sizes):
        super().__init__()
        self.layer = torch.nn.Linear(*sizes)

    def forward(self, z):
        return self.layer(z / (1 + z.abs().mean(dim=1, keepdim=True)))


def uncuttable(n_inputs, n_components, n_outputs):
    return torch.nn.Linear(n_inputs, 2 * n_components), OfAllCodes(n_components, n_outputs)


def test_a_network_that_cannot_be_cut_is_trained_anew(linear):
    _, X = linear
    encoder = linear_encoder(300).set_params(architecture=FromFactory(uncuttable))
    auto = clone(encoder).set_params(n_components="auto").fit(X)
    given = clone(encoder).set_params(n_components=auto.n_components_).fit(X)
    assert auto.n_components_ < 12
    np.testing.assert_array_equal(auto.transform(X), given.transform(X))
    assert auto.n_steps_ == given.n_steps_
