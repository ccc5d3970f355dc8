import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from passive_pruner.metrics import modularity, mutual_information_gap, mutual_information_score

SUPERVISED = [mutual_information_gap, modularity]


@pytest.fixture
def factors():
    """Return every combination of three factors with 3, 4 and 5 levels, ten times."""
    return np.tile(np.indices((3, 4, 5)).reshape(3, -1).T, (10, 1))


@pytest.mark.parametrize("n_bins", [2, 20])
@pytest.mark.parametrize("seed", range(3))
def test_pairwise_information_agrees_with_scikit_learn(seed, n_bins):
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4))
    codes[:, 3] = codes[:, 0] ** 2
    binned = [np.digitize(code, np.histogram(code, n_bins)[1][:-1]) for code in codes.T]
    pairs = [mutual_info_score(binned[i], binned[j]) for i in range(4) for j in range(4) if i != j]
    assert mutual_information_score(codes, n_bins) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_information_of_uniform_codes():
    x = np.arange(1000)
    # Both digits of a two-digit number: independent, exactly.
    assert mutual_information_score(np.column_stack([x % 10, x // 10 % 10])) == pytest.approx(0)
    # A code determines a copy of itself, whatever its units.
    copies = np.column_stack([x, -x, 1e-6 * x])
    assert mutual_information_score(copies) == pytest.approx(np.log(20))
    assert mutual_information_score(copies, n_bins=4) == pytest.approx(np.log(4))


def test_constant_codes_share_no_information():
    x = np.arange(1000.0)
    codes = np.column_stack([x, x, np.full(1000, 0.1), np.zeros(1000)])
    # One pair of six has log(20) nats.
    assert mutual_information_score(codes) == pytest.approx(np.log(20) / 6)


def test_codes_of_almost_no_range_are_binned():
    # Fewer floating-point numbers than bins: np.histogram refuses these.
    tiny = 1 + np.finfo(float).eps * (np.arange(1000) % 2)
    score = mutual_information_score(np.column_stack([tiny, np.arange(1000) % 2]))
    assert score == pytest.approx(np.log(2))


@pytest.mark.parametrize("metric", SUPERVISED)
def test_perfectly_disentangled(metric, factors):
    assert metric(factors, factors) == pytest.approx(1)
    assert metric(-0.5 * factors, factors) == pytest.approx(1)


@pytest.mark.parametrize("metric", SUPERVISED)
@pytest.mark.parametrize("angle", np.deg2rad([10, 45]))
def test_entangled_codes_score_lower(metric, factors, angle):
    rotation = np.eye(3)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert metric(factors @ rotation, factors) < 0.9


def test_gap_falls_and_modularity_stays_when_codes_are_repeated(factors):
    repeated = np.tile(factors, (1, 2))
    assert mutual_information_gap(repeated, factors) == pytest.approx(0)
    assert modularity(repeated, factors) == pytest.approx(1)


def test_gap_of_known_information():
    bits = np.indices((2, 2, 2)).reshape(3, -1).T
    # The code reveals factor 0 exactly; half of the other code's values reveal it.
    factor = bits[:, [0]]
    half = np.where(bits[:, 1], bits[:, 0] + 1, 0)
    # H(v) = ln 2, I(code 0) = ln 2, I(half; v) = ln 2 / 2.
    score = mutual_information_gap(np.column_stack([bits[:, 0], half]), factor)
    assert score == pytest.approx(0.5)


def test_uninformative_codes(factors):
    with_constant = np.column_stack([factors, np.full(len(factors), 0.1)])
    assert mutual_information_gap(with_constant, factors) == pytest.approx(1)
    assert modularity(with_constant, factors) == pytest.approx(3 / 4)
    constant = np.full((len(factors), 2), 0.1)
    assert mutual_information_gap(constant, factors) == 0
    assert modularity(constant, factors) == 0


@pytest.mark.parametrize("metric", SUPERVISED)
def test_order_and_labels_do_not_matter(metric, factors):
    rng = np.random.default_rng(0)
    codes = factors @ rng.normal(size=(3, 4)) + rng.normal(size=(len(factors), 4))
    expected = metric(codes, factors)
    rows = rng.permutation(len(factors))
    assert metric(codes[rows], factors[rows]) == pytest.approx(expected)
    assert metric(codes[:, [2, 0, 3, 1]], factors[:, [1, 2, 0]]) == pytest.approx(expected)
    relabelled = np.array([7, -2, 100, 0, 3])[factors]
    assert metric(codes, relabelled) == pytest.approx(expected)
    assert 0 < expected < 1


@pytest.mark.parametrize("metric", SUPERVISED)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[:-1], "factors has 599 rows and the codes have 600"),
        (lambda f: f[:, 0], "(?s)1D array.*Reshape"),
        (lambda f: f + 0.5, r"factors\[0, 0\] = 0.5.*integers.*np.digitize"),
        (lambda f: np.where(f == 2, np.nan, f), r"factors\[2, 2\] is nan.*finite"),
        (lambda f: f * [1, 0, 1], "Column 1 of factors takes the single value 0.*Leave"),
    ],
)
def test_bad_factors(metric, factors, change, message):
    with pytest.raises(ValueError, match=message):
        metric(factors, change(factors))


def test_nothing_to_compare_with(factors):
    with pytest.raises(ValueError, match=r"codes has 1 column.*at least 2"):
        mutual_information_score(factors[:, :1])
    with pytest.raises(ValueError, match=r"codes has 1 column.*at least 2"):
        mutual_information_gap(factors[:, :1], factors)
    with pytest.raises(ValueError, match=r"factors has 1 column.*at least 2"):
        modularity(factors, factors[:, :1])


@pytest.mark.parametrize("metric", SUPERVISED)
def test_bad_codes(metric, factors):
    codes = factors.astype(float)
    codes[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"codes\[7, 1\] is nan.*finite"):
        metric(codes, factors)


def test_bad_number_of_bins(factors):
    for n_bins, error in ((1, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="n_bins"):
            mutual_information_score(factors, n_bins=n_bins)
        for metric in SUPERVISED:
            with pytest.raises(error, match="n_bins"):
                metric(factors, factors, n_bins=n_bins)
