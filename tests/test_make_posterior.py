"""The generator of truth is tested: its moments, its collapse, its correlations."""

import numpy as np
import pytest

from passive_pruner.datasets import make_posterior

TYPES = ["active", "mixed", "passive", "rare", "active", "passive"]
SHARES = {"active": 1.0, "mixed": 0.5, "rare": 0.02, "passive": 0.0}


@pytest.mark.parametrize("seed", range(3))
def test_shapes_types_and_dtypes(seed):
    posterior, types = make_posterior(TYPES, 50, random_state=seed)
    assert types.tolist() == TYPES
    for array in posterior:
        assert array.shape == (50, 6)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
    assert (posterior.variance > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_stationary_and_the_share_of_active_ones_is_known(seed):
    posterior, types = make_posterior(TYPES, 20_000, random_state=seed)
    # The standard error of the mean of mu^2 is sqrt(2 / 20,000) = 0.01.
    total = (posterior.mean**2).mean(axis=0) + posterior.variance.mean(axis=0)
    np.testing.assert_allclose(total, 1, atol=0.05)
    np.testing.assert_allclose(posterior.mean.mean(axis=0), 0, atol=0.05)
    share = (posterior.variance < 0.5).mean(axis=0)
    np.testing.assert_allclose(share, [SHARES[t] for t in types], atol=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9, 1.0])
def test_passive_means_correlate_as_asked_and_draws_do_not(correlation):
    posterior, _ = make_posterior(
        ["active"] * 3 + ["passive"] * 2, 20_000, correlation=correlation, random_state=0
    )
    mean = posterior.mean.astype(np.float64)
    for j in (3, 4):
        fit = mean[:, :3] @ np.linalg.lstsq(mean[:, :3], mean[:, j], rcond=None)[0]
        assert np.corrcoef(fit, mean[:, j])[0, 1] == pytest.approx(correlation, abs=0.03)
    noise = np.random.default_rng(0).standard_normal(mean.shape)
    draws = np.corrcoef(mean + np.sqrt(posterior.variance) * noise, rowvar=False)
    assert np.abs(draws[3:, :3]).max() < 0.08


def test_active_and_mixed_variables_are_independent():
    mean = make_posterior(["active", "active", "mixed"], 20_000, random_state=0)[0].mean
    assert np.abs(np.corrcoef(mean, rowvar=False) - np.eye(3)).max() < 0.03


def test_without_active_variables_passive_means_are_independent():
    mean = make_posterior(["passive"] * 3, 20_000, random_state=0)[0].mean
    assert np.abs(np.corrcoef(mean, rowvar=False) - np.eye(3)).max() < 0.03


def test_rare_variable_is_active_somewhere_in_few_rows():
    variance = make_posterior(["rare"], 5, random_state=0)[0].variance
    assert (variance < 0.5).sum() == 1


def test_random_state_decides_and_the_global_generator_is_untouched():
    a, b = (make_posterior(TYPES, random_state=3)[0] for _ in range(2))
    np.testing.assert_array_equal(a.mean, b.mean)
    np.testing.assert_array_equal(a.variance, b.variance)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    c, d = (make_posterior(TYPES)[0] for _ in range(2))
    assert not np.array_equal(c.mean, d.mean)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    shared = np.random.RandomState(0)
    e, f = (make_posterior(TYPES, random_state=shared)[0] for _ in range(2))
    assert not np.array_equal(e.mean, f.mean)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"types": ["active", "collapsed"]}, "'active', 'mixed', 'rare', 'passive', got"),
        ({"types": []}, "non-empty"),
        ({"types": "active"}, "non-empty list"),
        ({"types": None}, "non-empty list .* got None"),
        ({"types": [3]}, "non-empty list"),
        ({"types": TYPES, "n_samples": 0}, "n_samples == 0, must be >= 1"),
        ({"types": TYPES, "correlation": 1.5}, "correlation == 1.5, must be <= 1"),
        ({"types": TYPES, "correlation": np.nan}, "correlation must be finite, got nan"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_posterior(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": "9"}, "n_samples must be an instance of int, not str"),
        ({"n_samples": 9.0}, "n_samples must be an instance of int, not float"),
        ({"correlation": "high"}, "correlation must be an instance of float, not str"),
        ({"correlation": None}, "correlation must be an instance of float, not NoneType"),
    ],
)
def test_arguments_of_another_type_are_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        make_posterior(TYPES, **arguments)
