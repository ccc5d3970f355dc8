"""Truths about the moments: exact, whatever the batches, without loss for large means."""

import copy
import pickle
import tracemalloc
from functools import reduce

import joblib
import numpy as np
import pytest

from passive_pruner.datasets import make_posterior
from passive_pruner.regime import LatentMoments

TYPES = ["active", "mixed", "passive", "rare", "active"]
ARRAYS = (
    "code_mean",
    "code_scatter",
    "mean_of_variance",
    "variance_scatter",
    "mean_of_log_variance",
    "active_share",
)


@pytest.fixture(scope="module")
def posterior():
    return make_posterior(TYPES, n_samples=700, random_state=0)[0]


def assert_same(a, b, rtol=1e-12):
    assert a.n_samples == b.n_samples
    assert a.sampled == b.sampled
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-12)


def from_batches(mean, variance, cuts):
    batches = zip(np.split(mean, cuts), np.split(variance, cuts), strict=True)
    return reduce(LatentMoments.merge, (LatentMoments.from_batch(*batch) for batch in batches))


def test_moments_equal_their_definition(posterior):
    mean, variance = (a.astype(np.float64) for a in posterior)
    moments = LatentMoments.from_batch(*posterior)
    kl = (mean**2 + variance - 1 - np.log(variance)) / 2
    expected = {
        "mean_covariance": np.cov(mean, rowvar=False, ddof=0),
        "sampled_covariance": np.cov(mean, rowvar=False, ddof=0) + np.diag(variance.mean(axis=0)),
        "variance_of_mean": mean.var(axis=0),
        "mean_of_variance": variance.mean(axis=0),
        "variance_of_variance": variance.var(axis=0),
        "kl": kl.mean(axis=0),
        "reliability": mean.var(axis=0) / (mean.var(axis=0) + variance.mean(axis=0)),
        "active_share": (variance < 0.5).mean(axis=0),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(moments, name), value, rtol=1e-10, err_msg=name)
        assert getattr(moments, name).dtype == np.float64


@pytest.mark.parametrize("cuts", [[350], [1, 2, 699], list(range(1, 700)), [100, 100, 300]])
def test_batch_split_does_not_matter(posterior, cuts):
    cuts = sorted(set(cuts))
    assert_same(from_batches(*posterior, cuts), LatentMoments.from_batch(*posterior))


def test_merge_is_associative_and_commutative(posterior):
    a, b, c = (
        LatentMoments.from_batch(posterior.mean[rows], posterior.variance[rows])
        for rows in (slice(0, 10), slice(10, 400), slice(400, None))
    )
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert_same(a.merge(b), b.merge(a))


@pytest.mark.parametrize("n_batches", [1, 2, 7, 500, 5000])
def test_nothing_is_lost_when_the_mean_is_a_million_times_the_spread(n_batches):
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 4))
    x = 1e6 * np.sqrt((mixing**2).sum(axis=0)) + rng.standard_normal((5000, 4)) @ mixing
    batches = np.array_split(x, n_batches)
    moments = reduce(LatentMoments.merge, map(LatentMoments.from_batch, batches))
    two_pass = np.cov(x, rowvar=False, ddof=0)
    scale = np.sqrt(np.outer(two_pass.diagonal(), two_pass.diagonal()))
    assert np.abs((moments.mean_covariance - two_pass) / scale).max() < 1e-10
    np.testing.assert_allclose(moments.code_mean, x.mean(axis=0), rtol=1e-14)


def test_nothing_is_lost_row_by_row_when_there_are_few_rows():
    for seed in range(20):
        x = 1e6 + np.random.default_rng(seed).standard_normal((5, 3))
        rows = (LatentMoments.from_batch(row[np.newaxis]) for row in x)
        moments = reduce(LatentMoments.merge, rows)
        np.testing.assert_allclose(moments.variance_of_mean, np.var(x - 1e6, axis=0), rtol=1e-12)


def test_drifting_data_over_many_row_blocks_lose_nothing():
    # 20,000 rows of 40 columns are four blocks; each lies far from the one before.
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20_000, 40)) + np.linspace(0, 1e4, 20_000)[:, np.newaxis]
    moments = LatentMoments.from_batch(x)
    np.testing.assert_allclose(moments.mean_covariance, np.cov(x, rowvar=False, ddof=0), rtol=1e-10)


def test_constant_column_has_exactly_no_variance():
    x = np.full((10_001, 30), 0.1)
    moments = reduce(LatentMoments.merge, map(LatentMoments.from_batch, np.array_split(x, 3)))
    assert (moments.mean_covariance == 0).all()


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64])
def test_layout_and_dtype_of_the_input_do_not_matter(layout, dtype):
    x = (10 * np.random.default_rng(0).standard_normal((50, 3))).astype(dtype)
    expected = np.cov(x.astype(np.float64), rowvar=False, ddof=0)
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout == "strided":
        x = np.repeat(x, 2, axis=1)[:, ::2]
    np.testing.assert_allclose(LatentMoments.from_batch(x).mean_covariance, expected, rtol=1e-12)


def test_extra_memory_does_not_grow_with_rows():
    x = np.random.default_rng(0).standard_normal((300_000, 16), dtype=np.float32)
    variance = np.abs(x)
    tracemalloc.start()
    LatentMoments.from_batch(x, variance)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_sampled_covariance_is_that_of_a_large_draw(posterior):
    rng = np.random.default_rng(0)
    mean, variance = (np.repeat(a.astype(np.float64), 400, axis=0) for a in posterior)
    draw = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
    moments = LatentMoments.from_batch(*posterior)
    # The standard error of a covariance of unit variables over 280,000 rows is 0.002.
    np.testing.assert_allclose(
        moments.sampled_covariance, np.cov(draw, rowvar=False, ddof=0), atol=0.01
    )
    from_draw = LatentMoments.from_batch(draw, variance, sampled=True)
    np.testing.assert_allclose(from_draw.mean_covariance, moments.mean_covariance, atol=0.01)
    np.testing.assert_allclose(from_draw.kl, moments.kl, atol=0.01)
    np.testing.assert_allclose(from_draw.reliability, moments.reliability, atol=0.01)
    np.testing.assert_allclose(
        from_draw.sampled_covariance, np.cov(draw, rowvar=False, ddof=0), rtol=1e-10
    )


def test_variance_of_mean_from_few_draws_is_never_negative():
    z = np.array([[0.1], [-0.1]])
    moments = LatentMoments.from_batch(z, np.ones((2, 1)), sampled=True)
    assert moments.variance_of_mean == moments.kl == moments.reliability == 0


def test_posterior_equal_to_prior_diverges_by_exactly_nothing():
    moments = LatentMoments.from_batch(np.zeros((3, 2)), np.ones((3, 2)))
    assert (moments.kl == 0).all()


def test_underflowed_variance_has_a_finite_divergence():
    kl = LatentMoments.from_batch(np.zeros((2, 1)), np.zeros((2, 1), np.float32)).kl
    assert 40 < kl[0] < 45


def test_constant_codes_without_posterior_variance_have_no_reliability():
    assert LatentMoments.from_batch(np.ones((2, 1)), np.zeros((2, 1))).reliability == 0


def test_what_needs_variances_is_nan_without_them(posterior):
    moments = LatentMoments.from_batch(posterior.mean)
    assert not moments.has_variance
    assert np.isfinite(moments.mean_covariance).all()
    for name in ("kl", "reliability", "variance_of_variance", "active_share", "mean_of_variance"):
        assert np.isnan(getattr(moments, name)).all(), name
    assert np.isnan(moments.sampled_covariance.diagonal()).all()
    draws = LatentMoments.from_batch(posterior.mean, sampled=True)
    assert np.isnan(draws.variance_of_mean).all()
    assert np.isfinite(draws.sampled_covariance).all()


def test_moments_are_read_only(posterior):
    moments = LatentMoments.from_batch(*posterior)
    with pytest.raises(AttributeError):
        moments.n_samples = 3
    with pytest.raises(ValueError, match="read-only"):
        moments.code_scatter[0] = 3
    moments.mean_covariance[0, 0] = 3
    assert moments.mean_covariance[0, 0] != 3


def test_copies_hash_alike(posterior):
    moments = LatentMoments.from_batch(*posterior)
    copies = [pickle.loads(pickle.dumps(moments)), copy.deepcopy(moments)]
    assert {joblib.hash(m) for m in copies} == {joblib.hash(moments)}
    assert_same(copies[0].merge(moments), moments.merge(copies[1]))


def test_merging_different_moments_is_refused(posterior):
    mean, variance = posterior
    whole = LatentMoments.from_batch(mean, variance)
    others = {
        "2 mean codes with variances": LatentMoments.from_batch(mean[:, :2], variance[:, :2]),
        "5 sampled codes with variances": LatentMoments.from_batch(mean, variance, sampled=True),
        "5 mean codes without variances": LatentMoments.from_batch(mean),
    }
    for kind, other in others.items():
        with pytest.raises(ValueError, match=f"5 mean codes with variances with .* {kind}"):
            whole.merge(other)


@pytest.mark.parametrize(
    ("mean", "variance", "message"),
    [
        ([1.0, 2.0], None, r"got shape \(2,\)"),
        (np.empty((0, 2)), None, "at least one row"),
        ([["a"]], None, "real numbers"),
        ([[1j]], None, "dtype complex128"),
        ([[np.nan]], None, "drop or impute"),
        ([[1e200], [-1e200]], None, "overflow"),
        ([[1.0]], [[1.0, 2.0]], "own posterior variance"),
        ([[1.0]], [[-0.5]], "from -0.5 to"),
        ([[1.0]], [[np.nan]], "finite"),
        ([[1.0]], [[np.inf]], "finite"),
        ([[1.0], [2.0]], [[1e200], [2e200]], "squares overflow float64"),
        (np.ma.masked_greater([[1.0], [9.0]], 5), None, "mean has 1 masked entries"),
        ([[1.0], [9.0]], np.ma.masked_greater([[1.0], [9.0]], 5), "variance has 1 masked"),
    ],
)
def test_bad_batches_are_refused(mean, variance, message):
    with pytest.raises(ValueError, match=message):
        LatentMoments.from_batch(mean, variance)


def test_a_masked_array_without_masked_entries_is_an_array():
    x = np.arange(6.0).reshape(3, 2)
    assert_same(LatentMoments.from_batch(np.ma.array(x)), LatentMoments.from_batch(x))
