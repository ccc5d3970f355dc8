"""find_width: the number of factors that made the data, within a budget."""

from unittest.mock import patch

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import small_encoder
from scipy.sparse import coo_array
from sklearn.base import clone

from passive_pruner import VAEEncoder
from passive_pruner.exceptions import TrainingInterruptedWarning
from passive_pruner.training import _width
from passive_pruner.training._width import find_width
from passive_pruner.vae import MLP, BetaVAE


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


class CountedFits:
    """Fits of VAEEncoder inside the block, as fitted encoders."""

    def __enter__(self):
        self.fitted = []
        original = VAEEncoder.fit

        def fit(encoder, X, y=None):
            self.fitted.append(encoder)
            return original(encoder, X, y)

        self._patch = patch.object(VAEEncoder, "fit", fit)
        self._patch.__enter__()
        return self

    def __exit__(self, *error):
        self._patch.__exit__(*error)

    @property
    def widths(self):
        return [encoder.n_components for encoder in self.fitted]


@pytest.mark.parametrize("n_factors", [2, 6])
def test_the_number_of_factors_of_a_linear_model_is_found(n_factors):
    # A linear autoencoder uses one variable per eigenvalue of the covariance above the noise.
    X = factors(n_factors, 12, curved=False)
    assert abs(find_width(linear_encoder(), X, 12) - n_factors) <= 1


def test_the_number_of_factors_of_a_curved_model_is_found():
    # A curved surface may be described better by one variable more than it has dimensions.
    X = factors(4, 20, curved=True)
    encoder = small_encoder(architecture=MLP((64, 64)), learning_rate=2e-3, max_steps=1500)
    assert abs(find_width(encoder, X, 20) - 4) <= 1


def test_the_width_is_doubled_until_a_variable_is_passive(linear, monkeypatch):
    _, X = linear
    encoder = linear_encoder(max_steps=10_000)
    monkeypatch.setattr(_width, "START_WIDTH", 2)
    with CountedFits() as fits:
        assert find_width(encoder, X, 12) == 4
    assert fits.widths == [2, 4, 8]


def test_the_width_never_exceeds_the_number_of_columns(linear, monkeypatch):
    encoder, _ = linear
    monkeypatch.setattr(_width, "START_WIDTH", 4)
    X = factors(7, 7, curved=False, noise=0.01)
    with CountedFits() as fits:
        assert find_width(encoder, X, 7) <= 7
    assert fits.widths == [4, 7]


@pytest.mark.parametrize("max_steps", [250, 1000])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_the_search_keeps_to_its_budget(linear, max_steps, early_stopping, monkeypatch):
    encoder, X = linear
    monkeypatch.setattr(_width, "START_WIDTH", 1)
    encoder = clone(encoder).set_params(max_steps=max_steps, early_stopping=early_stopping)
    with CountedFits() as fits:
        find_width(encoder, X, 12)
    assert sum(fit.n_steps_ for fit in fits.fitted) <= max_steps
    # No training is cut much shorter than the one before it, which could not be compared.
    for earlier, later in zip(fits.fitted, fits.fitted[1:], strict=False):
        assert later.max_steps >= earlier.n_steps_


def test_data_without_information_needs_one_variable():
    X = np.random.default_rng(0).standard_normal((300, 5)).astype("float32")
    encoder = small_encoder(objective=BetaVAE(beta=20), max_steps=500)
    assert find_width(encoder, X, 5) == 1


@pytest.mark.parametrize("seed", [3, np.random.RandomState(3)], ids=["int", "RandomState"])
def test_the_encoder_and_the_generators_are_left_alone(linear, seed):
    encoder, X = linear
    encoder = clone(encoder).set_params(random_state=seed, max_steps=100)
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    widths = {find_width(encoder, X, 12) for _ in range(2)}
    assert len(widths) == 1
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert not hasattr(encoder, "weights_")
    assert encoder.n_components == 4


def test_rows_of_sorted_data_are_all_looked_at(linear, monkeypatch):
    # Among the first rows only, a factor that grows with the row number would be constant.
    encoder, X = linear
    order = X[:, 0].argsort()
    monkeypatch.setattr(_width, "MAX_ROWS", 100)
    with patch.object(VAEEncoder, "posterior", autospec=True, side_effect=RuntimeError) as read:
        with pytest.raises(RuntimeError):
            find_width(clone(encoder).set_params(max_steps=10), X[order], 12)
        rows = read.call_args.args[1]
    assert len(rows) <= 100
    np.testing.assert_allclose(rows.std(axis=0), X.std(axis=0), rtol=0.3)


def test_an_interrupted_search_stops_the_fit(linear):
    encoder, X = linear
    interrupted = TrainingInterruptedWarning("Training was interrupted")
    with (
        patch.object(VAEEncoder, "fit", side_effect=interrupted),
        pytest.raises(KeyboardInterrupt),
    ):
        find_width(encoder, X, 12)


@pytest.mark.parametrize("container", [np.ndarray.tolist, pd.DataFrame, pl.DataFrame, coo_array])
def test_containers(container, linear):
    encoder, X = linear
    encoder = clone(encoder).set_params(max_steps=20)
    table = container(X)
    assert find_width(encoder, table, 12) == find_width(encoder, X, 12)


def test_the_encoder_searches_when_it_is_told_to(linear):
    encoder, X = linear
    auto = clone(encoder).set_params(n_components="auto").fit(X)
    given = clone(encoder).set_params(n_components=4).fit(X)
    assert auto.n_components == "auto"
    np.testing.assert_array_equal(auto.transform(X), given.transform(X))
    assert auto.n_steps_ == given.n_steps_
    assert auto.pruned([1, 0]).n_components_ == 2
