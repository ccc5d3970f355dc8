import numpy as np
import pytest
from scipy.linalg import sqrtm

from passive_pruner.metrics import gaussian_total_correlation, gaussian_wasserstein_correlation

METRICS = [gaussian_total_correlation, gaussian_wasserstein_correlation]


def random_covariance(seed, d=6):
    factor = np.random.default_rng(seed).normal(size=(d, 2 * d))
    return factor @ factor.T


@pytest.mark.parametrize("rho", [-0.99, -0.5, 0.0, 0.3, 0.999999])
def test_two_variables(rho):
    cov = np.array([[4.0, 2 * rho], [2 * rho, 1.0]])
    assert gaussian_total_correlation(cov) == pytest.approx(-0.5 * np.log(1 - rho**2), rel=1e-9)
    # Equal variances make the eigenvalues 1 + rho and 1 - rho.
    distance = gaussian_wasserstein_correlation([[1, rho], [rho, 1]])
    assert distance == pytest.approx(4 - 2 * (np.sqrt(1 + rho) + np.sqrt(1 - rho)), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_textbook_formulas(seed):
    cov = random_covariance(seed)
    variance = np.diag(cov)
    total_correlation = 0.5 * (np.log(variance).sum() - np.linalg.slogdet(cov)[1])
    assert gaussian_total_correlation(cov) == pytest.approx(total_correlation, rel=1e-10)
    distance = 2 * np.trace(cov) - 2 * np.trace(sqrtm(cov @ np.diag(variance))).real
    assert gaussian_wasserstein_correlation(cov) == pytest.approx(distance, rel=1e-8)


def test_independent_samples_have_almost_none():
    n, d = 20_000, 8
    cov = np.cov(np.random.default_rng(0).normal(size=(n, d)), rowvar=False)
    # 2n TC is asymptotically chi-squared with d (d - 1) / 2 degrees of freedom; its 0.9999 quantile
    # for 28 is 63.
    assert 0 < gaussian_total_correlation(cov) < 63 / (2 * n)
    assert 0 < gaussian_wasserstein_correlation(cov) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_invariances(seed):
    cov = random_covariance(seed)
    order = np.random.default_rng(seed).permutation(len(cov))
    permuted = cov[np.ix_(order, order)]
    for metric in METRICS:
        assert metric(permuted) == pytest.approx(metric(cov), rel=1e-10)
    scales = 10.0 ** np.linspace(-4, 4, len(cov))
    rescaled = cov * np.outer(scales, scales)
    expected = gaussian_total_correlation(cov)
    assert gaussian_total_correlation(rescaled) == pytest.approx(expected, rel=1e-8)
    # The Wasserstein distance knows units, and the normalised one forgets common ones.
    distance = gaussian_wasserstein_correlation(cov)
    assert gaussian_wasserstein_correlation(100 * cov) == pytest.approx(100 * distance)
    normalized = gaussian_wasserstein_correlation(cov, normalized=True)
    assert normalized == pytest.approx(distance / np.trace(cov))


@pytest.mark.parametrize("d", [1, 2, 30])
def test_uncorrelated_is_exactly_zero(d):
    cov = np.diag(np.linspace(0.1, 3, d))
    assert gaussian_total_correlation(cov) == 0
    assert gaussian_wasserstein_correlation(cov) == pytest.approx(0, abs=1e-12)
    assert gaussian_wasserstein_correlation(cov) >= 0


def test_single_variable_comes_as_a_scalar_from_numpy():
    cov = np.cov(np.arange(10.0))
    assert cov.ndim == 0
    for metric in METRICS:
        assert metric(cov) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 10, 40])
def test_linear_dependence_is_infinite(d, dtype):
    rng = np.random.default_rng(d)
    codes = rng.normal(size=(1000, d)) * 10.0 ** rng.uniform(-2, 2, size=d)
    codes = np.column_stack([codes, codes @ rng.normal(size=d)])
    cov = np.cov(codes, rowvar=False).astype(dtype)
    assert gaussian_total_correlation(cov) == np.inf
    assert np.isfinite(gaussian_wasserstein_correlation(cov))


def test_fewer_examples_than_variables_is_infinite():
    codes = np.random.default_rng(0).normal(size=(10, 10))
    assert gaussian_total_correlation(np.cov(codes, rowvar=False)) == np.inf


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.7])
def test_constant_variables_add_nothing(constant):
    rng = np.random.default_rng(0)
    n = 100_000
    codes = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=n)
    with_constants = np.column_stack(
        [np.full(n, constant), codes, np.full(n, 3 * constant), np.full(n, constant)]
    )
    for metric in METRICS:
        expected = metric(np.cov(codes, rowvar=False))
        assert metric(np.cov(with_constants, rowvar=False)) == pytest.approx(expected, rel=1e-10)


def test_all_constant():
    for metric in METRICS:
        assert metric(np.zeros((3, 3))) == 0
    assert gaussian_wasserstein_correlation(np.zeros((3, 3)), normalized=True) == 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("cov", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\).*np\.cov\(codes, rowvar=False\)"),
        (np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.ones(2), r"shape \(2,\)"),
        (np.ones((0, 0)), r"shape \(0, 0\)"),
        ([[1, np.nan], [np.nan, 1]], r"cov\[0, 1\] is nan.*finite codes"),
        ([[1, 0], [0, np.inf]], r"cov\[1, 1\] is inf"),
        ([[1, 0], [0, -2.5]], r"cov\[1, 1\] = -2.5"),
        ([[1, 0.5], [0.4, 1]], r"cov\[0, 1\] = 0.5 and cov\[1, 0\] = 0.4.*symmetric"),
        ([[1e-8, 5e-9], [4e-9, 1e-8]], "symmetric"),
        ([[1, 2], [2, 1]], r"\|cov\[0, 1\]\| = 2 is larger than .* = 1"),
        ([[0, 1], [1, 1]], r"\|cov\[0, 1\]\| = 1 is larger than .* = 0"),
        ([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]], "positive semidefinite.*same rows"),
    ],
)
def test_bad_covariance(metric, cov, message):
    with pytest.raises(ValueError, match=message):
        metric(cov)


@pytest.mark.parametrize("metric", METRICS)
def test_rounding_error_is_no_asymmetry(metric):
    cov = random_covariance(0)
    rounded = cov + np.triu(np.full_like(cov, 1e-14))
    assert metric(rounded) == pytest.approx(metric(cov), rel=1e-10)
