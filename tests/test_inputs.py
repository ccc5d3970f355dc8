"""Kinds of data that VAEEncoder reads: sparse, images, memory maps, missing cells."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from conftest import small_encoder
from sklearn.datasets import load_digits

from passive_pruner.vae import MLP, BetaVAE, Conv

TINY_MLP = MLP((64,), activation="tanh")
TINY_CONV = Conv((8, 8, 1), channels=(8, 8), hidden_size=32)


@pytest.fixture(scope="module")
def digits():
    """300 digits as 8 x 8 bytes, from 0 to 255."""
    return (load_digits().images[:300] * 15.9375).astype(np.uint8)


@pytest.fixture(scope="module")
def low_rank():
    """Rows of 12 columns that three factors explain up to some noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((800, 3)) @ rng.standard_normal((3, 12))
    return (X + 0.1 * rng.standard_normal(X.shape)).astype(np.float32)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.coo_array])
def test_sparse_data_gives_the_codes_of_dense_data(cancer, container):
    X, _ = cancer
    X = np.where(np.abs(X) > 0.8, X, 0)
    dense, sparse = small_encoder().fit(X), small_encoder().fit(container(X))
    np.testing.assert_array_equal(sparse.transform(container(X)), dense.transform(X))
    np.testing.assert_array_equal(sparse.score_samples(container(X)), dense.score_samples(X))


def test_a_read_only_memory_map_is_trained_on(cancer, tmp_path):
    X, _ = cancer
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    codes = small_encoder().fit_transform(mapped)
    np.testing.assert_array_equal(codes, small_encoder().fit_transform(X))


def test_images_and_their_rows_are_the_same_data(digits):
    encoder = small_encoder(architecture=TINY_CONV, likelihood="bernoulli", max_steps=600)
    rows = digits.reshape(len(digits), -1)
    expected = encoder.fit(digits).transform(digits)
    for same in (rows, rows / np.float32(255), digits[:, :, :, None]):
        np.testing.assert_allclose(encoder.transform(same), expected, atol=1e-6)
    restored = encoder.inverse_transform(expected)
    assert restored.shape == digits.shape
    assert encoder.sample(3).shape == (3, 8, 8)
    assert 0 <= restored.min() <= restored.max() <= 1
    error = np.mean((restored - digits / 255) ** 2)
    assert error < 0.8 * (digits / 255).var(axis=0).mean()
    assert encoder.fit(rows).inverse_transform(expected).shape == rows.shape


def test_floats_that_look_like_bytes_are_refused_after_bytes(digits):
    encoder = small_encoder(architecture=TINY_CONV, objective=BetaVAE(0.01)).fit(digits)
    with pytest.raises(ValueError, match=r"floats up to 255, but .* divide X by 255"):
        encoder.transform(digits.astype(float))


def test_images_of_another_size_are_refused(digits):
    encoder = small_encoder(architecture=TINY_CONV, likelihood="bernoulli")
    with pytest.raises(ValueError, match="dim 3"):
        encoder.fit(digits[:, :, :6])


def test_bytes_of_a_table_are_not_scaled(digits):
    rows = digits.reshape(len(digits), -1)
    as_bytes, as_floats = (small_encoder().fit(X).transform(X) for X in (rows, rows * 1.0))
    np.testing.assert_array_equal(as_bytes, as_floats)


def test_missing_cells_are_filled_from_the_others(low_rank):
    rng = np.random.default_rng(1)
    hidden = rng.random(low_rank.shape) < 0.2
    X = np.where(hidden, np.nan, low_rank)
    encoder = small_encoder(
        allow_missing=True, architecture=TINY_MLP, max_steps=3000, early_stopping=False
    ).fit(X)
    filled = encoder.inverse_transform(encoder.transform(X))
    by_mean = np.broadcast_to(np.nanmean(X, axis=0), X.shape)
    error, error_of_mean = (np.mean((guess - low_rank)[hidden] ** 2) for guess in (filled, by_mean))
    assert error < 0.3 * error_of_mean
    assert np.isfinite(encoder.score(X))


def test_missing_cells_are_an_error_unless_allowed(low_rank):
    X = low_rank.copy()
    X[3, 4] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        small_encoder().fit(X)
    encoder = small_encoder(allow_missing=True).fit(pd.DataFrame(X))
    assert np.isfinite(encoder.transform(X)).all()
    X[3, 4] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        encoder.fit(X)


def test_rebuilding_the_network_leaves_the_global_generator_alone(low_rank):
    encoder = pickle.loads(pickle.dumps(small_encoder().fit(low_rank)))
    before = torch.get_rng_state()
    encoder.transform(low_rank)
    assert torch.equal(torch.get_rng_state(), before)


def test_memory_for_sparse_data_grows_with_the_entries_only():
    # Written out densely, 19,000 more rows of 2000 columns would take 152 MB.
    def peak_and_size(n_rows):
        X = sp.random_array(
            (n_rows, 2000), density=0.01, format="csr", rng=np.random.default_rng(0)
        )
        tracemalloc.start()
        small_encoder(max_steps=20, objective=BetaVAE(0.01)).fit(X).transform(X)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak, X.data.nbytes + X.indices.nbytes

    (few, size_of_few), (many, size_of_many) = peak_and_size(6000), peak_and_size(25_000)
    assert many - few < 2 * (size_of_many - size_of_few)
    assert many < size_of_many + 50e6
