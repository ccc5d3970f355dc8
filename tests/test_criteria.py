"""Truths about the rules: they agree with the paper's release and with known posteriors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passive_pruner import PassiveVariableRemover, regime
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import (
    CRITERIA,
    Criterion,
    LatentMoments,
    active_units,
    compare,
    entropy,
    kl,
    report,
    standard_errors,
    variance,
)

DATA = Path(__file__).parent / "data"
ARRAYS = np.load(DATA / "reference.npz")
FIGURES = json.loads((DATA / "reference.json").read_text())
REGIMES = [f"regime{i}" for i in range(5)]


def reference_moments(regime):
    return LatentMoments.from_batch(ARRAYS[f"{regime}_mean"], ARRAYS[f"{regime}_variance"])


@pytest.mark.parametrize("tolerance", ["0.05", "0.1", "0.3"])
@pytest.mark.parametrize("regime", REGIMES)
def test_variance_rule_is_the_released_one(regime, tolerance):
    types = variance(reference_moments(regime), float(tolerance))
    assert types.tolist() == FIGURES[regime]["types"][tolerance]


@pytest.mark.parametrize("regime", REGIMES)
def test_statistics_are_the_released_ones(regime):
    moments, figures = reference_moments(regime), FIGURES[regime]
    for name, value in {
        "mean_of_variance": figures["mean_of_variance"],
        "variance_of_variance": figures["variance_of_variance"],
        "variance_of_mean": figures["active_units_var_of_mean"],
    }.items():
        np.testing.assert_allclose(getattr(moments, name), value, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("seed", range(5))
def test_rules_recover_known_types(seed):
    posterior, types = make_posterior(
        ["active", "mixed", "passive", "rare", "passive", "active"], 2000, random_state=seed
    )
    moments = LatentMoments.from_batch(*posterior)
    # On average over rows a rare variable looks passive; its divergence from the prior,
    # 0.02 * 1.5 nats, is below the threshold as well.
    expected = np.where(types == "rare", "passive", types)
    np.testing.assert_array_equal(variance(moments, 0.1), expected)
    expected = np.where(expected == "mixed", "active", expected)
    np.testing.assert_array_equal(active_units(moments, 0.1), expected)
    np.testing.assert_array_equal(kl(moments, 0.1), expected)
    of_all_rows = LatentMoments.from_batch(posterior.mean, entropy=True)
    np.testing.assert_array_equal(entropy(of_all_rows, 0.1), expected)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_types_follow_a_permutation_of_columns(criterion):
    mean, var = make_posterior(["active", "mixed", "passive", "rare"] * 3, random_state=0)[0]
    mean = mean * (np.arange(12) + 1) if criterion == "explained_variance" else mean
    order = np.random.default_rng(0).permutation(12)
    rule = CRITERIA[criterion]
    types = rule(LatentMoments.from_batch(mean, var, entropy=True), 0.1)
    permuted = rule(LatentMoments.from_batch(mean[:, order], var[:, order], entropy=True), 0.1)
    np.testing.assert_array_equal(permuted, types[order])


@pytest.mark.parametrize("criterion", ["active_units", "kl"])
def test_larger_threshold_never_brings_a_variable_back(criterion):
    moments = reference_moments("regime2")
    passive = [CRITERIA[criterion](moments, t) == "passive" for t in np.linspace(0, 2, 50)]
    assert (np.diff(np.array(passive, dtype=int), axis=0) >= 0).all()
    assert passive[-1].all()


def test_passive_is_tested_before_active():
    # With a tolerance of one half, E[s2] = 1/2 satisfies both rules.
    moments = LatentMoments.from_batch(np.zeros((2, 1)), np.full((2, 1), 0.5))
    assert variance(moments, 0.5) == "passive"


def test_thresholds_are_inclusive_where_the_rules_say_so():
    moments = LatentMoments.from_batch([[0.5], [-0.5]], [[0.5], [1.5]])
    assert active_units(moments, 0.25) == "passive"
    assert variance(moments, 0.25) == "mixed"
    assert variance(moments, 0.26) == "passive"
    assert kl(moments, moments.kl[0]) == "passive"


def test_draws_with_variances_are_typed_as_their_means():
    posterior, _ = make_posterior(["active", "mixed", "passive"], 20_000, random_state=0)
    noise = np.random.default_rng(0).standard_normal(posterior.mean.shape)
    draws = posterior.mean + np.sqrt(posterior.variance) * noise
    of_means = LatentMoments.from_batch(*posterior)
    of_draws = LatentMoments.from_batch(draws, posterior.variance, sampled=True)
    for rule in (active_units, variance, kl):
        np.testing.assert_array_equal(rule(of_draws, 0.1), rule(of_means, 0.1))
    with pytest.raises(ValueError, match="nor draws"):
        entropy(LatentMoments.from_batch(draws, sampled=True, entropy=True), 0.1)


def test_entropy_power_is_the_variance_of_normal_means_and_less_of_others():
    rng = np.random.default_rng(0)
    means = np.column_stack([rng.normal(0, 0.3, 100_000), rng.choice([-1, 1], 100_000)])
    moments = LatentMoments.from_batch(means, entropy=True)
    np.testing.assert_allclose(moments.entropy_power, [0.09, 0], rtol=0.01)
    assert active_units(moments, 0.1).tolist() == ["passive", "active"]
    assert entropy(moments, 0.1).tolist() == ["passive", "passive"]


def test_entropies_of_batches_cannot_be_added_up():
    batch = LatentMoments.from_batch(np.random.default_rng(0).normal(size=(50, 2)), entropy=True)
    for moments in (batch.merge(batch), LatentMoments.from_batch([[1.0]])):
        with pytest.raises(ValueError, match="call fit instead of partial_fit"):
            entropy(moments, 0.1)


@pytest.mark.parametrize("criterion", ["variance", "kl"])
def test_missing_variances_are_an_error(criterion):
    with pytest.raises(ValueError, match=rf"{criterion} needs .*from_batch\(mean, variance\)"):
        CRITERIA[criterion](LatentMoments.from_batch([[1.0]]), 0.1)


def test_draws_without_variances_are_an_error():
    with pytest.raises(ValueError, match="sampled codes needs posterior variances"):
        active_units(LatentMoments.from_batch([[1.0], [2.0]], sampled=True), 0.1)


@pytest.mark.parametrize("name", CRITERIA)
def test_the_rule_in_words_is_the_rule(name):
    """Python that is read out of the words gives the types that the rule gives."""
    criterion = CRITERIA[name]
    posterior, _ = make_posterior(["active", "mixed", "passive", "rare"] * 5, random_state=1)
    moments = LatentMoments.from_batch(*posterior, entropy=True)
    moments = replace(moments, code_scale=np.linspace(0.1, 2, 20))
    clauses = criterion.words.replace("the entropy power of the means is", "entropy power")
    for threshold in (0.01, 0.1, 0.5, 0.95):
        rest = np.full(moments.n_components, True)
        for clause in clauses.replace(" nats", "").split(", "):
            type_, _, condition = clause.removeprefix("else ").partition(" if ")
            condition = condition.replace("{threshold}", "t").replace(" and ", ") & (")
            condition = condition.replace("|E[s2] - 1|", "abs(E[s2] - 1)")
            values = {"t": threshold, "abs": np.abs}
            for i, (statistic, symbol) in enumerate(criterion.statistics.items()):
                condition = condition.replace(symbol, f"v{i}")
                values[f"v{i}"] = getattr(moments, statistic)
            holds = eval(f"({condition})", values) if condition else True
            expected = rest & holds
            np.testing.assert_array_equal(criterion(moments, threshold)[expected], type_)
            rest = rest & ~expected
        assert not rest.any()


@pytest.mark.parametrize("name", CRITERIA)
def test_distance_of_a_collapsed_variable_is_nothing(name):
    rng = np.random.default_rng(0)
    mean = np.column_stack([1e-6 * rng.standard_normal(500), rng.standard_normal(500)])
    moments = LatentMoments.from_batch(mean, np.tile([1.0, 0.05], (500, 1)), entropy=True)
    collapsed, active = CRITERIA[name].distance(moments)
    assert collapsed < 1e-6
    assert active > 0.5


def test_a_criterion_of_ones_own_serves_everywhere(monkeypatch):
    """One entry is all it takes: remover, report, summary, comparison, errors."""
    largest = Criterion(
        name="share",
        title="active share",
        statistics={"active_share": "share"},
        rule=lambda share, threshold: np.where(share <= threshold, "passive", "active"),
        words="passive if at most {threshold} of the rows have s2 < 0.5, else active",
        reads_variances=True,
    )
    monkeypatch.setitem(CRITERIA, "share", largest)
    posterior, _ = make_posterior(["active", "mixed", "passive", "rare"], random_state=0)
    codes = np.hstack(posterior)
    remover = PassiveVariableRemover(criterion="share", threshold=0.01).fit(codes)
    assert remover.get_support(indices=True).tolist() == [0, 1, 3]
    assert remover.report_["type"].tolist() == remover.variable_types_.tolist()
    assert "passive if at most 0.01 of the rows" in remover.summary()
    table = compare(remover.moments_, remover.moments_, criterion="share")
    assert table["active_share_now"].tolist() == remover.moments_.active_share.tolist()
    with pytest.raises(ValueError, match="active_share is between"):
        PassiveVariableRemover(criterion="share", threshold=1).fit(codes)
    with pytest.raises(ValueError, match="even number of columns"):
        PassiveVariableRemover(criterion="share").fit(codes[:, :3])


@pytest.mark.parametrize(
    "threshold, error",
    [(-1, ValueError), (np.nan, ValueError), (np.inf, ValueError)]
    + [(t, TypeError) for t in ([0.1, 0.2], "0.1", None, True, np.array([0.1]))],
)
@pytest.mark.parametrize("name", CRITERIA)
def test_what_is_no_threshold_is_refused(name, threshold, error):
    posterior, _ = make_posterior(["active", "passive"], random_state=0)
    moments = LatentMoments.from_batch(*posterior, entropy=True)
    for call in (
        lambda: CRITERIA[name](moments, threshold),
        lambda: getattr(regime, name)(moments, threshold),
        lambda: compare(moments, moments, criterion=name, threshold=threshold),
    ):
        with pytest.raises(error, match="threshold must be"):
            call()


def test_what_is_no_moments_is_refused_by_name():
    codes = np.random.default_rng(0).normal(size=(9, 2))
    moments = LatentMoments.from_batch(codes)
    for call in (
        lambda: active_units(codes, 0.1),
        lambda: standard_errors(codes),
        lambda: report(codes, ["active"] * 2),
        lambda: compare(codes, moments),
        lambda: compare(moments, codes),
        lambda: moments.merge(codes),
    ):
        with pytest.raises(TypeError, match="must be LatentMoments, got ndarray"):
            call()
