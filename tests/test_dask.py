"""Dask: lazy transforms, moments by tree reduction, streamed fits, a worker that dies."""

import os
import signal

import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder
from distributed import Client, LocalCluster
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder
from passive_pruner._common._codes import code_names
from passive_pruner.datasets import make_posterior
from passive_pruner.vae import Conv, Gaussian


@pytest.fixture(scope="module")
def client():
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def codes():
    """[codes | variances] of known types, float32."""
    types = ["active", "passive", "mixed", "active", "passive"]
    posterior, _ = make_posterior(types, n_samples=1003, random_state=0)
    return np.hstack(posterior)


@pytest.fixture(scope="module")
def names(fitted_encoder):
    return fitted_encoder.get_feature_names_out()


@pytest.fixture(scope="module", params=["array", "frame"])
def lazy(request):
    """Make a dask collection in several blocks, arrays cut along columns too."""

    def make(X, names=None):
        if request.param == "array":
            return da.from_array(X, chunks=(200, 3))
        if names is None:  # as encoders name their codes
            n = 5
            names = code_names("vae", range(n), sampled=False, add_variance=X.shape[1] > n)
        return dd.from_pandas(pd.DataFrame(X, columns=names), npartitions=4)

    return make


def assert_lazy_equal(result, expected, kind, *, atol=0.0):
    """What dask says before computing is what comes out, and that is what memory gives."""
    assert type(result) is type(kind)
    computed = result.compute()
    if isinstance(result, dd.DataFrame):
        assert list(result.columns) == list(computed.columns)
        assert (result.dtypes == computed.dtypes).all()
        assert computed.index.equals(pd.RangeIndex(len(expected)))
    else:
        assert result.shape == computed.shape
        assert result.dtype == computed.dtype
    np.testing.assert_allclose(np.asarray(computed), expected, atol=atol)
    assert np.asarray(computed).dtype == expected.dtype


def halves(X):
    return X[:, :2], -np.abs(X[:, 2:4])


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl"])
def test_the_remover_is_that_of_the_data_in_memory(codes, lazy, criterion):
    X = codes[:, :5] if criterion == "active_units" else codes
    in_memory = PassiveVariableRemover(criterion=criterion).fit(X)
    blocks = lazy(X)
    remover = PassiveVariableRemover(criterion=criterion).fit(blocks)

    assert list(remover.variable_types_) == list(in_memory.variable_types_)
    assert remover.moments_.n_samples == len(X)
    for name in ("code_mean", "mean_covariance", "sampled_covariance", "kl"):
        np.testing.assert_allclose(
            getattr(remover.moments_, name), getattr(in_memory.moments_, name), rtol=0, atol=1e-12
        )
    kept = in_memory.transform(X)
    assert_lazy_equal(remover.transform(blocks), kept, blocks)
    back = remover.inverse_transform(remover.transform(blocks))
    assert_lazy_equal(back, in_memory.inverse_transform(kept), blocks)


@pytest.mark.parametrize("dtype", ["Float64", "Float32", "double[pyarrow]", "Int64", object])
@pytest.mark.parametrize("fitted_on", ["lazy", "memory"])
def test_frames_of_nullable_and_arrow_types(codes, dtype, fitted_on):
    frame = pd.DataFrame((100 * codes[:300, :5]).round().clip(-9, 9), columns=list("abcde"))
    frame = frame.astype(dict.fromkeys("abc", dtype))
    lazy = dd.from_pandas(frame, npartitions=3)
    if dtype is object:  # from_pandas would make text of it
        lazy = dd.from_map(lambda start: frame[start : start + 100], [0, 100, 200])
    for estimator in (PassiveVariableRemover(threshold=0), PretrainedEncoder(halves)):
        estimator.fit(lazy if fitted_on == "lazy" else frame)
        result = estimator.transform(lazy)
        computed = result.compute()
        assert (result.dtypes == computed.dtypes).all()
        np.testing.assert_allclose(computed, np.asarray(estimator.transform(frame), float))


def test_a_single_lazy_column_is_refused(codes):
    frame = dd.from_pandas(pd.DataFrame(codes[:, :5], columns=list("abcde")), npartitions=2)
    remover = PassiveVariableRemover().fit(frame)
    for use in (remover.fit, remover.transform, PretrainedEncoder(halves).fit):
        with pytest.raises(ValueError, match="Expected 2D array"):
            use(frame["a"])


def test_batches_of_dask_and_of_memory_add_up(codes, lazy):
    remover = PassiveVariableRemover(criterion="variance").partial_fit(lazy(codes[:600]))
    if hasattr(remover, "feature_names_in_"):
        remover.partial_fit(pd.DataFrame(codes[600:], columns=remover.feature_names_in_))
    else:
        remover.partial_fit(codes[600:])
    expected = PassiveVariableRemover(criterion="variance").fit(codes).moments_
    assert remover.moments_.n_samples == expected.n_samples
    np.testing.assert_allclose(remover.moments_.kl, expected.kl, atol=1e-12)


def test_the_encoder_encodes_and_decodes_lazily(cancer, fitted_encoder, lazy, names):
    X, _ = cancer
    blocks = da.from_array(X, chunks=(200, 7))
    codes = fitted_encoder.transform(X)
    assert_lazy_equal(fitted_encoder.transform(blocks), codes, blocks, atol=1e-5)
    blocks = lazy(codes, names)
    decoded = fitted_encoder.inverse_transform(codes)
    assert_lazy_equal(fitted_encoder.inverse_transform(blocks), decoded, blocks, atol=1e-5)


def test_names_and_output_settings_do_not_load_the_data(cancer):
    X, _ = cancer
    frame = dd.from_pandas(pd.DataFrame(X, columns=[f"c{j}" for j in range(30)]), npartitions=3)
    pipe = make_pipeline(small_encoder(add_variance=True), PassiveVariableRemover(criterion="kl"))
    out = pipe.set_output(transform="pandas").fit_transform(frame)
    assert isinstance(out, dd.DataFrame)
    assert list(out.columns) == list(pipe.get_feature_names_out())
    assert list(pipe[0].feature_names_in_) == list(frame.columns)
    assert list(pipe[0].inverse_transform(pipe[0].transform(frame)).columns) == list(frame.columns)


@pytest.mark.parametrize("seed", range(3))
def test_a_row_has_one_draw_in_any_blocks_and_in_memory(cancer, seed):
    X, _ = cancer
    encoder = small_encoder(output="sampled", max_steps=5, random_state=seed).fit(X)
    in_memory = encoder.transform(X)
    assert len(np.unique(in_memory, axis=0)) == len(X)
    for size in (100, 200):
        draws = encoder.transform(da.from_array(X, chunks=(size, -1)))
        np.testing.assert_allclose(draws.compute(), in_memory, atol=1e-5)
        np.testing.assert_array_equal(draws.compute(), draws.compute())


def test_a_row_has_the_same_draw_in_every_block_and_computation(cancer):
    """Only the further ones of several equal rows of a block have other draws in other blocks."""
    X, _ = cancer
    encoder = small_encoder(output="sampled", max_steps=50).fit(X)
    one_block = np.vstack([X[:200], X[:50]])
    lazy = encoder.transform(da.from_array(np.vstack([one_block, one_block]), chunks=(250, -1)))
    first, second = np.split(lazy.compute(), 2)
    np.testing.assert_array_equal(lazy.compute(), np.vstack([first, second]))
    np.testing.assert_allclose(first, encoder.transform(one_block), atol=1e-5)
    np.testing.assert_allclose(second[:200], first[:200], atol=1e-5)
    assert not np.isclose(first[200:], second[200:], atol=1e-3).all(axis=1).any()
    assert not np.isclose(first[200:], first[:50], atol=1e-3).all(axis=1).any()


def test_empty_blocks_and_unknown_lengths(cancer, fitted_encoder):
    X, _ = cancer
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=4)
    with_gap = frame.map_partitions(
        lambda part: part[part.index > 200]
    ).to_dask_array()  # the first block has no rows
    codes = fitted_encoder.transform(with_gap)
    np.testing.assert_allclose(codes.compute(), fitted_encoder.transform(X[201:]), atol=1e-5)
    remover = PassiveVariableRemover(criterion="kl").fit(codes)
    assert remover.moments_.n_samples == len(X) - 201
    small_encoder(max_steps=5).fit(with_gap)
    nothing = da.from_array(X[:, :4])[:0]
    for estimator in (remover, small_encoder(), PretrainedEncoder()):
        with pytest.raises(ValueError, match="without rows"):
            estimator.fit(nothing)


def test_images_stay_lazy():
    X = np.random.default_rng(0).random((50, 8, 8, 1), dtype=np.float32)
    blocks = da.from_array(X, chunks=(20, 4, 8, 1))
    encoder = small_encoder(n_components=2, architecture=Conv((8, 8, 1)), max_steps=3).fit(blocks)
    codes = encoder.transform(blocks)
    assert_lazy_equal(codes, encoder.transform(X), blocks, atol=1e-5)
    decoded = encoder.inverse_transform(codes)
    assert decoded.shape == X.shape
    assert decoded.compute().shape == X.shape


def test_a_posterior_from_elsewhere_stays_lazy(codes, lazy):
    blocks = lazy(codes)
    encoder = PretrainedEncoder(second_output="variance", add_variance=True).fit(blocks)
    assert_lazy_equal(encoder.transform(blocks), codes, blocks)


def test_the_streamed_fit_learns_from_all_blocks(cancer):
    """Validation ELBO as from memory, though the rows come sorted into blocks by class."""
    X, y = cancer
    order = np.argsort(y, kind="stable")
    train, test = order[::2], X[order[1::2]]
    params = {"max_steps": 300, "early_stopping": False, "likelihood": Gaussian("shared")}
    in_memory = small_encoder(**params).fit(X[train])
    streamed = small_encoder(**params).fit(da.from_array(X[train], chunks=(100, -1)))
    first_block = small_encoder(**params).fit(X[train][:100])
    assert streamed.n_steps_ == 300
    assert streamed.score(test) > in_memory.score(test) - 3
    assert streamed.score(test) > first_block.score(test) + 3


def test_a_pass_over_blocks_continues_training(cancer):
    X, _ = cancer
    encoder = small_encoder(batch_size=50).partial_fit(da.from_array(X, chunks=(100, -1)))
    assert encoder.n_steps_ == 12  # ceil(100 / 50) for five blocks, ceil(69 / 50) for the last


def test_a_bad_block_leaves_the_estimators_as_they_were(cancer):
    X, _ = cancer
    X = X.copy()
    X[-1, 0] = np.nan
    blocks = da.from_array(X, chunks=(200, -1))
    for estimator in (VAEEncoder(max_steps=20), PassiveVariableRemover()):
        with pytest.raises(ValueError, match="NaN"):
            estimator.fit(blocks)
        assert not hasattr(estimator, "n_features_in_")


def test_columns_are_checked_before_anything_is_computed(codes, fitted_encoder):
    def unread(block):
        raise AssertionError("computed")

    blocks = da.from_array(codes, chunks=(100, -1)).map_blocks(unread, meta=codes[:0])
    remover = PassiveVariableRemover(criterion="variance").fit(codes)
    for estimator in (remover, fitted_encoder):
        with pytest.raises(ValueError, match="features"):
            estimator.transform(blocks[:, :6])
    with pytest.raises(ValueError, match="criterion='entropy' needs all rows"):
        PassiveVariableRemover(criterion="entropy").fit(blocks)


def die_in_the_middle(block, flag, block_id=None):
    """Take the worker down once, as a machine that fails does."""
    if block_id[0] == 4 and not os.path.exists(flag):
        open(flag, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def test_a_worker_that_dies_changes_nothing(client, codes, tmp_path):
    workers = set(client.scheduler_info()["workers"])
    blocks = da.from_array(codes, chunks=(100, -1))
    failing = blocks.map_blocks(die_in_the_middle, str(tmp_path / "died"), meta=codes[:0])
    remover = PassiveVariableRemover(criterion="variance").fit(failing)

    client.wait_for_workers(2)
    assert set(client.scheduler_info()["workers"]) != workers  # one did die
    in_memory = PassiveVariableRemover(criterion="variance").fit(codes)
    assert list(remover.variable_types_) == list(in_memory.variable_types_)
    assert remover.moments_.n_samples == len(codes)
    np.testing.assert_allclose(remover.moments_.kl, in_memory.moments_.kl, atol=1e-12)


def test_a_grid_search_on_the_cluster(client, cancer):
    X, y = cancer
    encoder = small_encoder(add_variance=True)
    pipe = make_pipeline(encoder, PassiveVariableRemover(criterion="kl"), LogisticRegression())
    grid = GridSearchCV(pipe, {"passivevariableremover__threshold": [0, 0.01]}, cv=2)
    in_memory = grid.fit(X, y).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend="dask"):
        grid.fit(X, y)
    np.testing.assert_allclose(grid.cv_results_["mean_test_score"], in_memory, atol=0.01)


def test_the_encoder_works_on_the_cluster(client, cancer, fitted_encoder):
    X, _ = cancer
    blocks = da.from_array(X, chunks=(100, -1))
    codes = fitted_encoder.transform(blocks).compute()
    np.testing.assert_allclose(codes, fitted_encoder.transform(X), atol=1e-5)
    streamed = small_encoder(max_steps=20).fit(blocks)
    assert streamed.n_steps_ == 20
