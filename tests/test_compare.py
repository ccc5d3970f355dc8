"""regime.compare: types and drift between two data sets."""

import numpy as np
import pandas as pd
import pytest

from passive_pruner import PassiveVariableRemover
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import LatentMoments, compare

# Every variable is one more independent repetition of the same experiment.
N_REPETITIONS = 500


def normal_moments(rng, n_samples, mean=0.0, variance=1.0):
    codes = rng.standard_normal((n_samples, N_REPETITIONS))
    return LatentMoments.from_batch(mean + np.sqrt(variance) * codes)


@pytest.mark.parametrize(
    "mean, variance, n_then, n_now",
    [(0, 1, 200, 100), (0, 1, 20, 10), (0.5, 1, 200, 100), (0, 3, 100, 200), (1, 0.5, 100, 100)],
)
def test_drift_is_an_unbiased_symmetric_divergence(mean, variance, n_then, n_now):
    rng = np.random.default_rng(0)
    table = compare(
        normal_moments(rng, n_then), normal_moments(rng, n_now, mean, variance), threshold=0
    )
    # KL(N(0, 1) || N(m, v)) + KL(N(m, v) || N(0, 1))
    forth = (np.log(variance) + (1 + mean**2) / variance - 1) / 2
    back = (-np.log(variance) + variance + mean**2 - 1) / 2
    error_of_average = table.drift.std() / np.sqrt(N_REPETITIONS)
    assert abs(table.drift.mean() - (forth + back)) < 4 * error_of_average


@pytest.mark.parametrize("mean, variance", [(0, 1), (0.5, 1), (0, 2), (1, 0.5)])
def test_the_standard_error_is_the_spread_of_drift(mean, variance):
    rng = np.random.default_rng(1)
    table = compare(normal_moments(rng, 400), normal_moments(rng, 200, mean, variance))
    ratio = np.sqrt((table.standard_error**2).mean()) / table.drift.std()
    # Where nothing drifts it is a cautious one.
    assert 0.85 < ratio < (1.5 if (mean, variance) == (0, 1) else 1.15)
    true = (variance + 1 / variance - 2 + mean**2 * (1 + 1 / variance)) / 2
    assert (abs(table.drift - true) < 3 * table.standard_error).mean() > 0.95


def test_drift_is_symmetric_and_blind_to_units():
    (mean, variance), _ = make_posterior(["active", "passive", "mixed"], random_state=0)
    then = LatentMoments.from_batch(mean[:400], variance[:400])
    now = LatentMoments.from_batch(mean[400:] + 0.1, variance[400:])
    table = compare(then, now)
    np.testing.assert_allclose(compare(now, then).drift, table.drift)
    scaled = compare(
        LatentMoments.from_batch(10 * mean[:400]), LatentMoments.from_batch(10 * mean[400:] + 1)
    )
    np.testing.assert_allclose(scaled.drift, table.drift, rtol=1e-4)
    np.testing.assert_allclose(scaled.standard_error, table.standard_error, rtol=1e-4)


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl"])
def test_a_passive_variable_that_becomes_active_is_flagged(criterion):
    types = ["active", "passive", "passive"]
    codes = np.hstack(make_posterior(types, n_samples=2000, random_state=0)[0])
    types[2] = "active"
    later = np.hstack(make_posterior(types, n_samples=500, random_state=1)[0])
    if criterion == "active_units":
        codes, later = codes[:, :3], later[:, :3]
    remover = PassiveVariableRemover(criterion=criterion).fit(codes)
    now = PassiveVariableRemover(criterion=criterion).fit(later).moments_

    table = compare(remover.moments_, now, criterion=criterion, names=["a", "b", "c"])
    assert list(table.index) == ["a", "b", "c"]
    assert list(table.type_then) == ["active", "passive", "passive"]
    assert list(table.type_now) == types
    assert list(table.changed) == [False, False, True]
    assert (abs(table.drift) < 3 * table.standard_error).tolist() == [True, True, False]


def test_constant_codes_drift_by_nothing_or_without_bound():
    rng = np.random.default_rng(0)
    then, now = rng.standard_normal((2, 50, 3))
    then[:, :2], now[:, 0], now[:, 1] = 1, 1, 2
    table = compare(LatentMoments.from_batch(then), LatentMoments.from_batch(now))
    assert table.drift[0] == 0
    assert table.drift[1] == np.inf
    assert np.isfinite(table.drift[2])
    assert not table.standard_error[:2].any()


@pytest.mark.parametrize(
    "now, params, message",
    [
        (np.ones((9, 3)), {}, "must come from the same encoder"),
        (np.ones((3, 2)), {}, "at least 4 rows"),
        (np.eye(9, 2), {"criterion": "mse"}, "criterion must be one of"),
        (np.eye(9, 2), {"criterion": "kl"}, "needs posterior variances"),
        (np.eye(9, 2), {"names": ["a"]}, r"one entry per variable, 2, got \['a'\]"),
    ],
)
def test_errors_say_what_does_not_fit(now, params, message):
    then = LatentMoments.from_batch(np.eye(9, 2))
    with pytest.raises(ValueError, match=message):
        compare(then, LatentMoments.from_batch(now), **params)


CODES = {
    "rare": lambda n, d, seed: make_posterior(["active"] + ["rare"] * d, n, random_state=seed)[
        0
    ].mean[:, 1:],
    "mixed": lambda n, d, seed: make_posterior(["mixed"] * d, n, random_state=seed)[0].mean,
    "exponential": lambda n, d, seed: np.random.default_rng(seed).exponential(size=(n, d)),
    "uniform": lambda n, d, seed: np.random.default_rng(seed).uniform(size=(n, d)),
}


@pytest.mark.parametrize("n_then, n_now", [(2000, 300), (300, 2000), (1000, 200)])
@pytest.mark.parametrize("kind", CODES)
def test_no_drift_is_no_alarm_whatever_the_distribution(kind, n_then, n_now):
    tables = []
    for seed in range(10):
        codes = CODES[kind](n_then + n_now, 30, seed)
        then, now = map(LatentMoments.from_batch, np.split(codes, [n_then]))
        tables.append(compare(then, now))
    table = pd.concat(tables)
    assert (table.drift > 3 * table.standard_error).mean() < 0.01
    assert abs(table.drift.mean()) < 0.4 * table.drift.std()
    assert np.sqrt((table.standard_error**2).mean()) < 2 * table.drift.std()


def test_drift_of_rare_variables_is_seen():
    then = LatentMoments.from_batch(CODES["rare"](2000, 5, 0))
    now = LatentMoments.from_batch(make_posterior(["active"] * 5, 300, random_state=0)[0].mean)
    table = compare(then, now)
    assert (table.drift > 3 * table.standard_error).all()
