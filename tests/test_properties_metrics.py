"""Properties of the metrics, over drawn codes and covariances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators

from passive_pruner.metrics import (
    active_units,
    effective_rank,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    mean_entropy,
    modularity,
    mutual_information_gap,
    mutual_information_score,
)

SIZES = st.tuples(st.integers(20, 200), st.integers(2, 6))
# Powers of two, by which scaling rounds nothing.
SCALES = st.integers(-400, 400).map(lambda power: 2.0**power)


def codes_of(rng, size):
    return rng.standard_normal(size) @ rng.standard_normal((size[1], size[1]))


@pytest.mark.parametrize("metric", [gaussian_total_correlation, gaussian_wasserstein_correlation])
@given(rng=generators(), size=SIZES, scale=SCALES)
def test_correlations_of_covariances(metric, rng, size, scale):
    cov = np.cov(codes_of(rng, size), rowvar=False)
    value, order = metric(cov), rng.permutation(len(cov))
    assert value >= 0
    assert metric(cov[np.ix_(order, order)]) == pytest.approx(value, rel=1e-8, abs=1e-10)
    assert metric(np.diag(np.diagonal(cov))) == pytest.approx(0, abs=1e-10 * np.trace(cov))
    factor = scale if metric is gaussian_wasserstein_correlation else 1
    assert metric(cov * scale) == pytest.approx(value * factor, rel=1e-9, abs=0)
    if metric is gaussian_total_correlation:
        units = np.exp(rng.uniform(-5, 5, len(cov)))
        assert metric(cov * np.outer(units, units)) == pytest.approx(value, rel=1e-6, abs=1e-9)


@given(rng=generators(), size=SIZES, scale=SCALES)
def test_metrics_of_codes(rng, size, scale):
    codes = codes_of(rng, size)
    rows, columns = rng.permutation(size[0]), rng.permutation(size[1])
    rank = effective_rank(codes)
    assert 1 <= rank <= size[1] * (1 + 1e-12)
    assert effective_rank(codes[rows][:, columns] * scale) == pytest.approx(rank, rel=1e-8)
    h = mean_entropy(codes)
    np.testing.assert_allclose(mean_entropy(codes[rows][:, columns]), h[columns], rtol=1e-12)
    np.testing.assert_allclose(mean_entropy(codes * scale), h + np.log(scale), atol=1e-9)
    assert 0 <= active_units(codes, threshold=1.0) <= active_units(codes, threshold=0.1) <= size[1]


@given(rng=generators(), size=SIZES, scale=SCALES, n_bins=st.integers(2, 20))
def test_information(rng, size, scale, n_bins):
    codes = codes_of(rng, size)
    rows, columns = rng.permutation(size[0]), rng.permutation(size[1])
    factors = np.column_stack([np.arange(size[0]) % 3, rng.integers(-2, 3, size[0])])
    factors[:2, 1] = [7, 8]  # never constant
    score = mutual_information_score(codes, n_bins)
    assert -1e-12 <= score <= np.log(n_bins) + 1e-12
    moved = codes[rows][:, columns] * scale
    assert mutual_information_score(moved, n_bins) == pytest.approx(score, abs=1e-10)
    for metric in (mutual_information_gap, modularity):
        value = metric(codes, factors, n_bins)
        assert -1e-12 <= value <= 1 + 1e-12
        assert metric(moved, factors[rows] * 3 - 5, n_bins) == pytest.approx(value, abs=1e-10)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300, 1.5e308])
def test_covariances_at_the_ends_of_float64(scale):
    cov = np.array([[1.0, 0.6], [0.6, 1.0]]) * scale
    assert gaussian_total_correlation(cov) == pytest.approx(-0.5 * np.log(1 - 0.36))
    expected = gaussian_wasserstein_correlation(cov / scale)
    assert gaussian_wasserstein_correlation(cov) / scale == pytest.approx(expected)
