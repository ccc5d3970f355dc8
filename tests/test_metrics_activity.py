import numpy as np
import pytest

from passive_pruner.metrics import active_units, effective_rank, mean_entropy

METRICS = [active_units, effective_rank, mean_entropy]


def whitened(n, d, seed=0):
    """Return codes whose sample covariance is the identity up to rounding."""
    codes = np.random.default_rng(seed).normal(size=(n, d))
    codes -= codes.mean(axis=0)
    return np.linalg.qr(codes)[0] * np.sqrt(n - 1)


@pytest.mark.parametrize("d", [1, 2, 17])
def test_effective_rank_of_identity_covariance(d):
    assert effective_rank(whitened(100, d)) == pytest.approx(d, rel=1e-10)


def test_effective_rank_of_known_spectrum():
    p = np.array([0.7, 0.2, 0.1])
    codes = whitened(100, 3) * np.sqrt(5 * p)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    expected = np.exp(-(p * np.log(p)).sum())
    assert effective_rank(codes) == pytest.approx(expected, rel=1e-10)
    assert effective_rank(codes @ rotation + 100) == pytest.approx(expected, rel=1e-10)


def test_effective_rank_counts_directions_not_columns():
    code = np.random.default_rng(0).normal(size=(100, 1))
    assert effective_rank(code @ np.ones((1, 5))) == pytest.approx(1)
    # Fewer rows than columns: the rank of the covariance is n - 1.
    few = np.random.default_rng(0).normal(size=(4, 50))
    assert 1 < effective_rank(few) < 3 + 1e-9


def test_effective_rank_of_constant_codes_is_zero():
    # The mean of 0.1 over 1000 rows is not 0.1 in floating point.
    assert effective_rank(np.full((1000, 3), 0.1)) == 0


def test_active_units_threshold_is_exclusive():
    codes = np.array([[0.0, 1.0, 3.0], [0.0, -1.0, -3.0]])  # variances 0, 1 and 9 with ddof=0
    assert active_units(codes, threshold=0) == 2
    assert active_units(codes, threshold=0.999) == 2
    assert active_units(codes, threshold=1) == 1
    assert active_units(codes, threshold=9) == 0


def test_active_units_never_counts_a_constant():
    assert active_units(np.full((1000, 3), 0.1), threshold=0) == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [500, 20_000])
def test_mean_entropy_of_known_distributions(seed, n):
    rng = np.random.default_rng(seed)
    codes = np.column_stack(
        [rng.normal(scale=0.01, size=n), rng.uniform(0, 5, size=n), rng.laplace(scale=2, size=n)]
    )
    expected = [0.5 * np.log(2 * np.pi * np.e * 1e-4), np.log(5), 1 + np.log(4)]
    np.testing.assert_allclose(mean_entropy(codes), expected, atol=0.2 if n == 500 else 0.05)


def test_mean_entropy_shifts_by_the_logarithm_of_the_scale():
    codes = np.random.default_rng(0).normal(size=(1000, 3))
    scales = np.array([1e-6, 1.0, 8.0])
    expected = mean_entropy(codes) + np.log(scales)
    np.testing.assert_allclose(mean_entropy(codes * scales + 1), expected, rtol=1e-6)


def test_mean_entropy_of_atoms():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=1000)
    half = np.where(rng.random(1000) < 0.5, 0.0, normal)
    entropy = mean_entropy(np.column_stack([np.full(1000, 0.1), half, normal]))
    assert entropy[:2].tolist() == [-np.inf, -np.inf]
    assert np.isfinite(entropy[2])


def test_mean_entropy_needs_five_rows():
    codes = np.random.default_rng(0).normal(size=(5, 2))
    assert np.isfinite(mean_entropy(codes)).all()
    with pytest.raises(ValueError, match=r"4 sample.*minimum of 5"):
        mean_entropy(codes[:4])


@pytest.mark.parametrize("metric", METRICS)
def test_order_does_not_matter(metric):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(200, 4)) * [2.0, 1.0, 0.1, 0.01]
    rows, columns = rng.permutation(200), rng.permutation(4)
    expected = metric(codes)
    if np.ndim(expected):
        expected = expected[columns]
    np.testing.assert_allclose(metric(codes[rows][:, columns]), expected, rtol=1e-10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros(10), "(?s)1D array.*Reshape"),
        (np.zeros((10, 0)), "0 feature"),
        (np.zeros((1, 3)), "1 sample"),
        (np.where(np.eye(10) > 0, np.nan, 0.0), r"codes\[0, 0\] is nan.*finite"),
        (np.where(np.eye(10, k=3) > 0, -np.inf, 0.0), r"codes\[0, 3\] is -inf.*finite"),
    ],
)
def test_bad_codes(metric, codes, message):
    with pytest.raises(ValueError, match=message):
        metric(codes)


def test_negative_threshold():
    with pytest.raises(ValueError, match="threshold == -1, must be >= 0"):
        active_units(np.eye(3), threshold=-1)
