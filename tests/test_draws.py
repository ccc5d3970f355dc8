"""Sampled codes: a draw belongs to its row, whatever is encoded beside it."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import shuffle

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder
from passive_pruner._common._draws import normal_numbers, row_keys, tell_apart
from passive_pruner.vae import MLP, BetaVAE, Conv

SEEDS = [0, 1, 2]


@pytest.fixture(scope="module")
def data():
    """Rows of float32 values, so that every container holds the same numbers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 6)) + 0.5 * rng.normal(size=(600, 6))
    X[rng.random(X.shape) < 0.1] = 0
    return X.astype(np.float32)


@pytest.fixture(scope="module")
def encoder(data):
    """A fitted encoder of sampled codes."""
    return small_encoder(output="sampled", max_steps=200).fit(data)


def prior(n_components=3, **params):
    """A fitted encoder whose codes are pure noise: every posterior is the prior."""
    return PretrainedEncoder(
        lambda X: (np.zeros((len(X), n_components), np.float32),) * 2,
        output="sampled",
        **{"random_state": 0, **params},
    )


def close(found, expected):
    """Equal but for the rounding of sums of float32."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def equal(found, expected):
    np.testing.assert_array_equal(np.asarray(found), expected)


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


# One row, one draw


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_row_has_its_draw_in_batches_of_any_size(encoder, data, size):
    whole, data = encoder.transform(data)[:200], data[:200]
    batches = [encoder.transform(data[i : i + size]) for i in range(0, len(data), size)]
    close(np.concatenate(batches), whole)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_row_has_its_draw_in_any_order_and_company(encoder, data, seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data))[:250]
    others = rng.normal(size=(2000, data.shape[1])).astype(np.float32)
    found = encoder.transform(np.concatenate([others, data[rows]]))
    close(found[-len(rows) :], encoder.transform(data)[rows])


def test_a_row_has_its_draw_in_any_container(encoder, data, tmp_path):
    np.save(tmp_path / "data.npy", data)
    containers = {
        "float64": data.astype(float),
        "column order": np.asfortranarray(data),
        "frame": pd.DataFrame(data, columns=range(6)),
        "mixed frame": pd.DataFrame(data, columns=range(6)).astype({0: float}),
        "sparse": csr_array(data),
        "sparse float64": csr_array(data.astype(float)),
        "memory map": np.load(tmp_path / "data.npy", mmap_mode="r"),
        "list": data.tolist(),
        "negative zero": np.where(data == 0, np.float32(-0.0), data),
        "strided": np.repeat(data, 2, axis=1)[:, ::2],
    }
    expected = encoder.transform(data)
    for name, X in containers.items():
        np.testing.assert_allclose(encoder.transform(X), expected, rtol=0, atol=2e-5, err_msg=name)


def test_whole_numbers_have_the_draw_of_equal_floats(data):
    X = np.round(10 * data).astype(np.int64)
    encoder = small_encoder(output="sampled", max_steps=50).fit(X)
    for dtype in (np.int8, np.int16, np.int32, np.float32, np.float64):
        close(encoder.transform(X.astype(dtype)), encoder.transform(X))


def test_images_of_bytes_have_the_draw_of_their_floats():
    rng = np.random.default_rng(0)
    U = (rng.random((100, 1, 1)) * rng.uniform(150, 255, (100, 4, 4))).astype(np.uint8)
    conv = Conv((4, 4, 1), channels=(4,), hidden_size=8)
    objective = BetaVAE(0.1)
    encoder = small_encoder(architecture=conv, objective=objective, output="sampled").fit(U)
    for X in (U / 255, (U / 255).astype(np.float32), U.reshape(100, 16) / 255, U[..., None]):
        close(encoder.transform(X), encoder.transform(U))


def test_missing_cells_are_part_of_the_row(data):
    X = np.where(np.random.default_rng(0).random(data.shape) < 0.2, np.nan, data)
    encoder = small_encoder(allow_missing=True, output="sampled", max_steps=50).fit(X)
    codes = encoder.transform(X)
    close(encoder.transform(X[17:18]), codes[17:18])
    close(encoder.transform(pd.DataFrame(X, columns=range(6)).convert_dtypes()), codes)


@pytest.mark.parametrize("size", [1, 7, 250, 600])
def test_a_row_has_its_draw_in_blocks_of_any_size(encoder, data, size):
    data = data[:250]
    lazy = encoder.transform(da.from_array(data, chunks=(size, 2)))
    close(lazy, encoder.transform(data))
    frame = dd.from_pandas(pd.DataFrame(data), chunksize=size)
    close(np.asarray(prior().fit(frame).transform(frame)), prior().fit(data).transform(data))


# Another seed, another row, another draw


@pytest.mark.parametrize("seed", SEEDS)
def test_another_seed_gives_another_draw(data, seed):
    a, b = (prior(random_state=s).fit(data).transform(data) for s in (seed, seed + 1))
    assert abs(correlation(a, b)) < 5 / np.sqrt(a.size)
    assert not np.isclose(a, b, atol=1e-6).any(axis=1).any()


def test_generators_and_none_give_new_draws_in_every_call(data):
    for random_state in (None, np.random.RandomState(0)):
        encoder = prior(random_state=random_state).fit(data)
        assert abs(correlation(encoder.transform(data), encoder.transform(data))) < 0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_the_noise_of_different_rows_is_independent_standard_normal(seed):
    # Rows that differ in the last bit of one value.
    X = np.ones((5000, 4), np.float32)
    X[:, 2] = np.nextafter(X[:, 2], 2, dtype=np.float32) + np.arange(5000, dtype=np.float32) / 2**20
    noise = prior(4, random_state=seed).fit(X).transform(X).astype(float)
    bound = 5 / np.sqrt(len(X))
    assert np.abs(noise.mean(axis=0)).max() < bound
    assert np.abs(noise.var(axis=0) - 1).max() < np.sqrt(2) * bound
    between = np.corrcoef(np.hstack([noise[:-1], noise[1:]]).T) - np.eye(8)
    assert np.abs(between).max() < bound
    assert len(np.unique(noise)) > 0.999 * noise.size


@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
@pytest.mark.parametrize("seed", SEEDS)
def test_folds_of_an_encoder_without_information_score_at_chance(seed):
    X, y = load_digits(return_X_y=True)
    X, y = shuffle(X[:800], y[:800], random_state=seed)
    encoder = VAEEncoder(
        10,
        architecture=MLP((16,)),
        objective=BetaVAE(1e5),
        max_steps=300,
        output="sampled",
        random_state=seed,
    )
    accuracy = cross_val_score(make_pipeline(encoder, KNeighborsClassifier(1)), X, y, cv=2).mean()
    assert accuracy < 0.1 + 5 * np.sqrt(0.09 / len(X))


def test_passive_variables_stay_passive_in_batches_of_ten(data):
    encoder = prior(4, add_variance=True).fit(data)
    encoder.set_output(transform="pandas")
    remover = PassiveVariableRemover(criterion="kl")
    for i in range(0, len(data), 10):
        remover.partial_fit(encoder.transform(data[i : i + 10]))
    assert list(remover.variable_types_) == ["passive"] * 4


# Equal rows


def test_equal_rows_in_one_call_have_different_draws_and_the_first_is_the_draw_alone(data):
    encoder = prior().fit(data)
    alone = encoder.transform(data[:5])
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 200))
    codes = encoder.transform(data[rows])
    assert len(np.unique(codes)) == codes.size
    for row in range(5):
        equal(codes[rows == row][0], alone[row])
        # By its place among equal rows, whatever lies between.
        equal(codes[rows == row], encoder.transform(data[[row] * 200]))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_table_of_few_distinct_rows_has_uncorrelated_noise(seed):
    X = np.random.default_rng(seed).integers(0, 2, (6000, 2)).astype(np.float32)
    noise = prior(4, random_state=seed).fit(X).transform(X).astype(float)
    bound = 5 / np.sqrt(len(X))
    assert np.abs(np.cov(noise.T) - np.eye(4)).max() < np.sqrt(2) * bound
    assert np.abs(np.corrcoef(np.hstack([noise, X]).T)[:4, 4:]).max() < bound
    assert abs(correlation(noise[:-1], noise[1:])) < bound


def test_equal_rows_in_blocks(data):
    """The first of a block has the draw alone; further ones another in every block."""
    encoder = prior().fit(data)
    X = np.concatenate([data[:2], data[:2], data[:2]])  # of each row three
    twice = da.from_array(np.concatenate([X, X]), chunks=(6, -1))
    first, second = np.split(np.asarray(encoder.transform(twice)), 2)
    alone = encoder.transform(data[:2])
    equal(first[:2], alone)
    equal(second[:2], alone)
    assert len(np.unique(np.concatenate([alone, first[2:], second[2:]]))) == 30
    equal(first, encoder.transform(X))  # the first block is what it is in memory
    equal(np.asarray(encoder.transform(twice)), np.concatenate([first, second]))


# The functions beneath


@pytest.mark.parametrize("dtype_bits", [np.float32(np.nan), -np.float32(np.nan)])
def test_equal_numbers_have_equal_keys(dtype_bits):
    a = np.array([[0.0, 1.0, np.nan]], np.float32)
    b = np.array([[-0.0, 1.0, dtype_bits]], np.float32)
    equal(row_keys(a), row_keys(b))
    assert (row_keys(a) != row_keys(np.array([[0.0, np.nan, 1.0]], np.float32))).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_keys_are_told_apart(seed):
    rng = np.random.default_rng(seed)
    keys = row_keys(rng.integers(0, 3, (500, 2)).astype(np.float32))
    before = keys.copy()
    parts = [tell_apart(keys, number) for number in range(3)]
    equal(keys, before)
    first = np.unique(keys, axis=0, return_index=True)[1]
    is_first = np.isin(np.arange(500), first)
    for part in parts:
        equal(part[is_first], keys[is_first])
        assert len(np.unique(part, axis=0)) == 500
    further = np.concatenate([part[~is_first] for part in parts])
    assert len(np.unique(further, axis=0)) == len(further)


def test_any_seed_and_many_numbers():
    keys = row_keys(np.arange(3000, dtype=np.float32)[:, None])
    draws = [normal_numbers(keys, 2, seed) for seed in (0, 1, 2**31 - 1, 2**63, 2**64 - 1)]
    assert np.abs(np.corrcoef([d.ravel() for d in draws]) - np.eye(5)).max() < 5 / np.sqrt(6000)
    wide = normal_numbers(keys[:3], 40_000)
    assert np.isfinite(wide).all()
    assert np.abs(wide.var(axis=1) - 1).max() < 5 * np.sqrt(2 / 40_000)
    equal(normal_numbers(keys, 30)[:, :2], draws[0])  # the first numbers stay the same
