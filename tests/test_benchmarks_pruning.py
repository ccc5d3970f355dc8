"""The parts of ``python -m benchmarks.pruning`` measure what they say."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from benchmarks._pruning_data import Codes
from benchmarks._pruning_report import Cell, cell_of, text_of
from benchmarks._pruning_uses import Task, linear_model, measure, novelty, stability
from benchmarks.pruning import subsets_of


def task(X, y, seed=0):
    half = len(X) // 2
    train, test = X[:half], X[half:]
    return Task(train, test, y[:half], y[half:], np.arange(half), seed)


@pytest.mark.parametrize("seed", range(5))
def test_stability_is_1_for_the_same_selection_and_0_for_chance(seed):
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(12) < 5
    assert stability(np.tile(chosen, (10, 1))) == 1
    by_chance = [stability(rng.permuted(np.tile(chosen, (10, 1)), axis=1)) for _ in range(200)]
    assert np.mean(by_chance) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_linear_model_is_that_of_statsmodels(seed):
    sm = pytest.importorskip("statsmodels.api")
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    rng = np.random.default_rng(seed)
    X = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 4))
    y = (X[:, 0] + rng.standard_normal(200) > 0).astype(int)
    given = task(np.hstack([X, np.ones((200, 1))]), y)
    inflation, errors = linear_model(given)
    standard = (given.train[:, :4] - given.train[:, :4].mean(0)) / given.train[:, :4].std(0)
    design = sm.add_constant(standard)
    wanted = sm.OLS(given.is_main_class, design).fit().bse[1:]
    np.testing.assert_allclose(errors[:4], wanted)
    wanted = [variance_inflation_factor(design, j) for j in range(1, 5)]
    np.testing.assert_allclose(inflation[:4], wanted)
    assert np.isnan([inflation[4], errors[4]]).all()


@pytest.mark.parametrize("seed", range(3))
def test_novelty_is_half_without_and_one_with_a_distance(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((2000, 3)), rng.integers(2, size=2000)
    assert novelty(task(X, y)) == pytest.approx(0.5, abs=0.05)
    X[:, 2] += 100 * y
    assert novelty(task(X, y)) > 0.99


def test_a_noisy_copy_of_a_variable_inflates_and_a_subset_is_measured_like_all():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    X[:, 2] = X[:, 0] + 0.1 * rng.standard_normal(400)
    given = task(X, (X[:, 0] > 0).astype(int))
    subsets = {"kept": (0, 1), "the same": (0, 1, 2)}
    values = measure("OLS, largest variance inflation", given, subsets, {})
    pruned, full = values["kept"]
    assert pruned == pytest.approx(0, abs=0.05)
    assert full == pytest.approx(np.log10(101), abs=0.2)
    for use in ("5 nearest neighbours", "k-means", "exact neighbours, recall"):
        pruned, full = measure(use, given, subsets, {})["the same"]
        assert pruned == full


def test_subsets_are_measured_once_and_compared_with_as_many_random_ones():
    kept = {"active_units": (0, 1), "explained_variance": (1,), "kl": (0, 1), "entropy": ()}
    subsets, names, sizes = subsets_of(kept, 3, np.random.default_rng(0))
    assert names == {
        "active_units": "active_units",
        "explained_variance": "explained_variance",
        "kl": "active_units",
        "entropy": None,
    }
    assert sizes == [2, 1]
    assert {name: len(of) for name, of in subsets.items()} == {
        "active_units": 2, "explained_variance": 1, "random 2": 2, "random 1": 1,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_draws_have_the_variance_of_mean_plus_posterior(seed):
    rng = np.random.default_rng([seed, 1])
    mean, variance = rng.standard_normal((2, 1000, 2)), np.full((2, 1000, 2), 0.5)
    codes = Codes(tuple(mean), tuple(variance), np.array([2.0, 0.1]), {}, 0)
    for drawn in codes.scaled("sampled", seed):
        np.testing.assert_allclose(drawn.var(axis=0), 1.5, rtol=0.2)
    for explained, of in zip(codes.scaled("explained", seed), mean, strict=True):
        np.testing.assert_allclose(explained, of * [2, 0.1])


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([2, 3, 2, 3], "helps"),
        ([-2, -3, -2, -3], "hurts"),
        ([0.4, 0.3, 0.4, 0.3], "does nothing"),
        ([0, 0, 0, 0], "does nothing"),
        ([9, -9, 9, -9], "undecided"),
        ([2, 3, 2], "undecided"),
    ],
)
def test_verdict_is_that_of_the_rule(means, verdict):
    cell = Cell({str(i): [mean - 1, mean + 1] for i, mean in enumerate(means)})
    assert cell.verdict == verdict
    if np.std(means) > 0:
        test = ttest_1samp(means, 0).confidence_interval(0.95)
        np.testing.assert_allclose(cell.interval, test)


def test_difference_is_in_points_and_less_inflation_is_a_gain():
    line = {
        "table": "wine",
        "subsets": {"active_units": "active_units", "kl": "all"},
        "n_kept": {"active_units": 4},
        "values": {
            "standardised": {
                "k-means": {"active_units": [0.9, 0.5], "PCA 4": [0.8, 0.5]},
                "OLS, largest variance inflation": {"active_units": [1.0, 3.0]},
            }
        },
    }
    of = cell_of([line], "active_units", "k-means", "standardised").by_table
    assert of["wine"] == pytest.approx([40])
    of = cell_of([line], "active_units", "k-means", "standardised", "PCA").by_table
    assert of["wine"] == pytest.approx([10])
    use = "OLS, largest variance inflation"
    # The scale does not matter to it.
    of = cell_of([line], "active_units", use, "raw").by_table
    assert text_of(use, of["wine"][0]) == "÷ 100"
    assert not cell_of([line], "kl", "k-means", "standardised").by_table
