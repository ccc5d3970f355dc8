"""Kinds of data that VAEEncoder reads: sparse, images, memory maps, missing cells."""

import datetime
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from conftest import small_encoder
from sklearn.base import clone
from sklearn.datasets import load_digits

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder
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
    with pytest.raises(ValueError, match=r"images of shape \(8, 6\), but image_shape"):
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


def column(value, dtype=object):
    return pd.Series([value] * 20, dtype=dtype)


ESTIMATORS = [VAEEncoder(2), PretrainedEncoder(), PassiveVariableRemover()]
CELLS = {
    "text": column("red"),
    "category": pd.Series(pd.Categorical(["red", "blue"] * 10)),
    "interval": pd.cut(pd.Series(np.arange(20.0)), 3),
    "date": column(datetime.date(2020, 1, 1)),
    "time stamp": column(pd.Timestamp("2020"), None),
    "date of numpy": column(np.datetime64("2020")),
    "dict": column({"k": 1}),
    "list": column([1, 2]),
    "array": column(np.ones(1)),
    "complex": column(1j, complex),
    "complex of numpy": column(np.complex64(1j)),
    "integer beyond floats": column(10**400),
    "bytes": column(b"red"),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", CELLS)
def test_cells_that_are_no_numbers_are_refused_by_column(kind, estimator):
    X = pd.DataFrame({"a": np.arange(20.0), "b": True, "culprit": CELLS[kind]})
    if isinstance(estimator, VAEEncoder) and kind in ("text", "category"):
        estimator = clone(estimator).set_params(categorical_features=None)
    with pytest.raises(ValueError, match=r"'culprit'.*Encode such columns first"):
        estimator.fit(X)
    if kind not in ("time stamp", "category"):
        for rows in (X.to_numpy(dtype=object), X.to_numpy(dtype=object).tolist()):
            with pytest.raises(ValueError, match=r"column 2 of X.*Encode such columns first"):
                estimator.fit(rows)


@pytest.mark.parametrize(
    ("dtype", "value"), [(pl.List(int), [1]), (pl.Struct({"k": int}), {"k": 1})]
)
def test_nested_columns_of_polars_are_refused_by_name(dtype, value):
    X = pl.DataFrame({"a": [1.0, 2.0], "culprit": pl.Series([value] * 2, dtype=dtype)})
    with pytest.raises(ValueError, match=r"(?s)'culprit'.*Encode such columns first"):
        small_encoder().fit(X)


@pytest.mark.parametrize("missing", [None, pd.NA, np.nan])
def test_objects_that_are_numbers_or_missing_are_taken_as_such(missing, low_rank):
    hidden = np.random.default_rng(1).random(low_rank.shape) < 0.1
    frame = pd.DataFrame(low_rank).add_prefix("x")
    expected = small_encoder(allow_missing=True, max_steps=30).fit_transform(frame.mask(hidden))
    objects = frame.astype(object).mask(hidden, missing)
    for X in (objects, objects.to_numpy(), frame.astype("Float64").mask(hidden)):
        codes = small_encoder(allow_missing=True, max_steps=30).fit_transform(X)
        np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("library", [pd, pl])
def test_a_single_column_is_refused_with_the_way_to_a_table(library, estimator):
    with pytest.raises(ValueError, match=r"(?s)Expected 2D array.*to_frame"):
        estimator.fit(library.DataFrame({"a": [1.0, 2.0]})["a"])


@pytest.mark.parametrize("dtype", [float, int])
def test_masked_cells_are_missing(dtype):
    rng = np.random.default_rng(0)
    values = (100 * rng.standard_normal((60, 3))).astype(dtype)
    mask = rng.random(values.shape) < 0.2
    X = np.ma.masked_array(np.where(mask, 10_000, values), mask)
    with pytest.raises(ValueError, match=r"contains NaN.*allow_missing=True"):
        small_encoder().fit(X)
    codes = small_encoder(allow_missing=True, max_steps=30).fit_transform(X)
    other = small_encoder(allow_missing=True, max_steps=30)
    np.testing.assert_array_equal(codes, other.fit_transform(np.where(mask, np.nan, values)))
    nothing_masked = np.ma.masked_array(values, False)
    np.testing.assert_array_equal(
        small_encoder(max_steps=30).fit_transform(nothing_masked),
        small_encoder(max_steps=30).fit_transform(values),
    )


def test_what_is_not_finite_is_named_with_its_cell(low_rank):
    frame = pd.DataFrame(low_rank.copy()).add_prefix("x")
    frame.iloc[3, 4] = np.nan
    sparse = sp.csr_array(frame.to_numpy())
    for X, name in ((frame, "'x4'"), (frame.to_numpy(), "4"), (sparse, "4")):
        with pytest.raises(ValueError, match=f"NaN, first in row 3 of column {name}.*allow_miss"):
            small_encoder().fit(X)
    with pytest.raises(ValueError, match=r"row 3 of column 'x4'.*fill missing cells first"):
        PassiveVariableRemover().fit(frame)
    frame.iloc[3, 4] = np.inf
    with pytest.raises(ValueError, match=r"infinity.*row 3 of column 'x4'"):
        small_encoder(allow_missing=True).fit(frame)


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
