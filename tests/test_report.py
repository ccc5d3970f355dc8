"""Truths about the report: one row per variable, nothing that the moments do not know."""

import re
import subprocess
import sys
from functools import reduce

import numpy as np
import pandas as pd
import pytest

from passive_pruner import PassiveVariableRemover
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import LatentMoments, report, standard_errors, variance

NEEDS_VARIANCE = [
    "mean_of_variance",
    "variance_of_variance",
    "kl",
    "reliability",
    "max_correlation_sampled",
    "active_share",
    "mean_of_variance_se",
    "variance_of_variance_se",
    "kl_se",
]


@pytest.fixture(scope="module")
def posterior():
    return make_posterior(["active", "rare", "passive", "mixed"], 3000, random_state=0)[0]


def test_report_holds_the_moments(posterior):
    moments = LatentMoments.from_batch(*posterior)
    types = variance(moments, 0.1)
    table = report(moments, types)
    assert table.index.tolist() == [0, 1, 2, 3]
    assert table.index.name == "variable"
    assert table["type"].tolist() == types.tolist()
    for name in ("variance_of_mean", "kl", "reliability", *NEEDS_VARIANCE[:2], "active_share"):
        np.testing.assert_array_equal(table[name], getattr(moments, name))


def test_correlations_are_those_of_the_codes(posterior):
    mean, var = posterior
    table = report(LatentMoments.from_batch(mean, var), ["active"] * 4)
    correlation = np.abs(np.corrcoef(mean.astype(np.float64), rowvar=False)) - np.eye(4)
    np.testing.assert_allclose(table["max_correlation_mean"], correlation.max(axis=0), rtol=1e-9)
    # corr_z(i, j) = corr_mu(i, j) sqrt(r_i r_j)
    root = np.sqrt(table["reliability"].to_numpy())
    sampled = (correlation * np.outer(root, root)).max(axis=0)
    np.testing.assert_allclose(table["max_correlation_sampled"], sampled, rtol=1e-9)


def test_report_shows_the_claim(posterior):
    table = report(LatentMoments.from_batch(*posterior), ["active"] * 4)
    assert table["max_correlation_mean"][2] > 0.8
    assert table["max_correlation_sampled"][2] < 0.1


def test_rare_variable_is_passive_on_average_and_shows_in_active_share(posterior):
    moments = LatentMoments.from_batch(*posterior)
    table = report(moments, variance(moments, 0.1))
    assert table["type"][[1, 2]].tolist() == ["passive", "passive"]
    np.testing.assert_array_equal(table["active_share"], [1, 0.02, 0, 0.5])


def test_columns_that_need_variances_are_nan_without_them(posterior):
    table = report(LatentMoments.from_batch(posterior.mean), ["active"] * 4)
    assert table[NEEDS_VARIANCE].isna().all(axis=None)
    assert table.drop(columns=NEEDS_VARIANCE).notna().all(axis=None)


def test_correlation_of_means_is_unknown_from_draws(posterior):
    table = report(LatentMoments.from_batch(*posterior, sampled=True), ["active"] * 4)
    assert table["max_correlation_mean"].isna().all()
    assert table["max_correlation_sampled"].notna().all()


def test_constant_variable_is_uncorrelated():
    mean = np.array([[1.0, 0.1, 2.0], [-1.0, 0.1, 3.0], [0.5, 0.1, 2.1]])
    table = report(LatentMoments.from_batch(mean, np.zeros((3, 3))), ["active"] * 3)
    assert table["max_correlation_mean"][1] == table["max_correlation_sampled"][1] == 0
    assert table["reliability"][1] == 0
    assert 0 < table["max_correlation_mean"][0] <= 1


def test_single_variable_is_uncorrelated():
    table = report(LatentMoments.from_batch([[1.0], [2.0]], [[0.1], [0.1]]), ["active"])
    assert table["max_correlation_mean"].tolist() == [0]
    assert table["max_correlation_sampled"].tolist() == [0]


def test_names_become_the_index():
    table = report(LatentMoments.from_batch([[1.0, 2.0]]), ["passive"] * 2, names=["a", "b"])
    assert table.index.tolist() == ["a", "b"]
    assert table.index.name == "variable"


@pytest.mark.parametrize("wrong", [{"types": ["active"]}, {"names": ["a", "b", "c"]}])
def test_lengths_must_fit(wrong):
    arguments = {"types": ["active"] * 2, "names": None} | wrong
    with pytest.raises(
        ValueError, match=f"{next(iter(wrong))} must have one entry per variable, 2"
    ):
        report(LatentMoments.from_batch([[1.0, 2.0]]), **arguments)


@pytest.mark.parametrize("sampled", [False, True])
def test_standard_errors_are_the_spread_over_samples(sampled):
    n_samples = 200
    posterior, _ = make_posterior(
        ["active", "mixed", "rare", "passive"], n_samples * 2000, random_state=0
    )
    mean, var = posterior
    if sampled:
        noise = np.random.default_rng(0).standard_normal(mean.shape, dtype=np.float32)
        mean = mean + np.sqrt(var) * noise
    batches = zip(np.split(mean, n_samples), np.split(var, n_samples), strict=True)
    moments = [LatentMoments.from_batch(m, v, sampled=sampled) for m, v in batches]
    for name in standard_errors(moments[0]):
        values = [getattr(m, name) for m in moments]
        if sampled:  # those properties are cut off at 0, which makes passive variables vary less
            of_draws = [m.sampled_covariance.diagonal() for m in moments]
            if name == "variance_of_mean":
                values = [v - m.mean_of_variance for v, m in zip(of_draws, moments, strict=True)]
            elif name == "explained_variance_ratio":
                values = [v - m.mean_of_variance for v, m in zip(of_draws, moments, strict=True)]
                values = [v / v.sum() for v in values]
            elif name == "kl":
                values = [
                    (v + m.code_mean**2 - 1 - m.mean_of_log_variance) / 2
                    for v, m in zip(of_draws, moments, strict=True)
                ]
        squares = [standard_errors(m)[name] ** 2 for m in moments]
        ratio = np.sqrt(np.mean(squares, axis=0)) / np.std(values, axis=0)
        np.testing.assert_allclose(ratio, 1, atol=0.2, err_msg=name)


def test_standard_errors_of_merged_batches_are_those_of_all_rows(posterior):
    whole = standard_errors(LatentMoments.from_batch(*posterior))
    mean, var = posterior
    order = np.argsort(mean[:, 0])  # batches that differ as much as they can
    for cuts in ([1500], [1, 2, 2999], range(1, 3000)):
        batches = zip(np.split(mean[order], cuts), np.split(var[order], cuts), strict=True)
        merged = reduce(LatentMoments.merge, (LatentMoments.from_batch(*b) for b in batches))
        for name, value in standard_errors(merged).items():
            np.testing.assert_allclose(value, whole[name], rtol=1e-9, err_msg=name)


def test_more_rows_than_standard_errors_need():
    posterior, _ = make_posterior(["active", "rare", "passive"], 40_000, random_state=0)
    few = [part[:4000] for part in posterior]
    many, few = (standard_errors(LatentMoments.from_batch(*p)) for p in (posterior, few))
    for name in many:
        np.testing.assert_allclose(many[name], few[name] / np.sqrt(10), rtol=0.2)


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl"])
def test_a_variable_is_undecided_near_the_threshold_and_decided_far_from_it(criterion):
    posterior, _ = make_posterior(["passive"] * 2, random_state=0)
    mean, var = (part.astype(np.float64) for part in posterior)
    statistic = {"active_units": "variance_of_mean", "kl": "kl", "variance": "mean_of_variance"}
    moments = LatentMoments.from_batch(mean, var)
    value = getattr(moments, statistic[criterion])[0]
    error = standard_errors(moments)[statistic[criterion]][0]
    codes = mean if criterion == "active_units" else np.hstack([mean, var])
    for distance, decided in [(-3, True), (-1, False), (1, False), (3, True)]:
        bound = value + distance * error
        threshold = 1 - bound if criterion == "variance" else bound
        remover = PassiveVariableRemover(criterion=criterion, threshold=threshold)
        table = remover.partial_fit(codes).report_
        assert table["decided"][0] == decided
        kept_or_dropped, _, listed = remover.summary().partition("Undecided")
        assert ("\n  0" in listed) != decided
        assert ("\n  0" in kept_or_dropped) == (table["type"][0] == "passive")


def test_summary_says_what_why_and_how_surely(posterior):
    names = [f"code{i}" for i in range(4)] + [f"code{i}_variance" for i in range(4)]
    X = pd.DataFrame(np.hstack(posterior), columns=names)
    remover = PassiveVariableRemover(criterion="variance").fit(X)
    first, rule, outcome, *dropped, last = remover.summary().splitlines()
    assert first == "4 latent variables in 3000 rows: 1 active, 1 mixed, 2 passive."
    assert "|E[s2] - 1| <= 0.1" in rule
    assert outcome == "2 kept, 2 dropped:"
    assert [line.split()[:2] for line in dropped] == [["code1", "passive"], ["code2", "passive"]]
    error = remover.report_["mean_of_variance_se"]["code2"]
    assert f"E[s2] = 0.998 ± {error:.1g}," in dropped[1]
    assert last == "Undecided, as two standard errors (±) could change the type: none"


def test_summary_where_nothing_is_decided(posterior):
    remover = PassiveVariableRemover(threshold=0).fit(posterior.mean)
    assert remover.summary().endswith("All are kept: a threshold of 0 drops nothing.")
    assert remover.report_["decided"].all()
    remover = PassiveVariableRemover(criterion="entropy").fit(posterior.mean)
    assert remover.summary().endswith("How sure: there is no standard error for this criterion.")
    assert not remover.report_["decided"].any()


def test_regime_imports_numpy_alone():
    code = """
import sys
import passive_pruner.regime
assert not {"pandas", "sklearn", "torch"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_the_report_needs_pandas_and_nothing_needs_torch():
    code = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("pandas", "skorch", "torch"):
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
from passive_pruner import PassiveVariableRemover
from passive_pruner.datasets import make_posterior
posterior, _ = make_posterior(["active", "passive"], random_state=0)
remover = PassiveVariableRemover().fit(posterior.mean)
assert remover.transform(posterior.mean).shape[1] == 1
try:
    remover.report_
except ImportError as error:
    assert str(error) == "pandas"
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("seed", range(3))
def test_few_rows_decide_little(seed):
    """A true variance of 0.12 is seldom called passive for sure, however few the rows."""
    rng = np.random.default_rng(seed)
    for n_samples, most in ((2, 0), (7, 0), (8, 0.1), (10, 0.1), (20, 0.07), (50, 0.03)):
        codes = np.sqrt(0.12) * rng.standard_normal((n_samples, 1500))
        table = PassiveVariableRemover(threshold=0.1).partial_fit(codes).report_
        wrong = table["decided"] & (table["type"] == "passive")
        assert wrong.mean() <= most
        if n_samples < 8:
            assert table["variance_of_mean_se"].isna().all()


def test_summary_of_few_rows_says_that_nothing_is_sure():
    codes = np.random.default_rng(3).standard_normal((2, 3)) * [0.45, 0.01, 1]
    summary = PassiveVariableRemover().fit(codes).summary()
    assert summary.endswith("How sure: that cannot be told from fewer than 8 rows.")
    assert "nan" not in summary


@pytest.mark.parametrize("period", [2, 10, 24])
def test_standard_errors_of_periodic_rows_are_those_of_shuffled_ones(period):
    rng = np.random.default_rng(0)
    size = period * 4096
    codes = rng.standard_normal((size, 2)) * np.where(np.arange(size) % period, 0.1, 2)[:, None]
    given, shuffled = (
        standard_errors(LatentMoments.from_batch(x))["variance_of_mean"]
        for x in (codes, rng.permutation(codes))
    )
    np.testing.assert_allclose(given, shuffled, rtol=0.3)


@pytest.mark.parametrize(
    "threshold, value",
    [(0.1, 0.10000004), (0.1, 0.1 - 1e-9), (0.0999999, 0.1), (1, 1.0001), (0.1, 0.0999999)],
)
def test_printed_numbers_do_not_contradict_the_rule(threshold, value):
    # Normal, so that a variable at the threshold is undecided and printed; and one that is passive.
    codes = np.random.default_rng(0).standard_normal((500, 2))
    codes = (codes - codes.mean(axis=0)) / codes.std(axis=0) * np.sqrt([value, 0.001])
    summary = PassiveVariableRemover(threshold=threshold).partial_fit(codes).summary()
    evidence = re.findall(r"(active|passive) +Var\(mu\) = (\S+)", summary)
    stated = float(re.search(r"Var\(mu\) <= ([^,]+),", summary)[1])
    assert len(evidence) >= 2
    for type_, printed in evidence:
        assert (float(printed) <= stated) == (type_ == "passive")


def test_report_of_the_remover_has_no_empty_columns(posterior):
    table = PassiveVariableRemover().fit(posterior.mean).report_
    assert not table.isna().all().any()
    assert {"type", "decided", "variance_of_mean", "max_correlation_mean"} <= {*table}
    full = PassiveVariableRemover(criterion="kl").fit(np.hstack(posterior)).report_
    assert {*full} - {*table} == set(NEEDS_VARIANCE)
    assert not full.isna().all().any()
    nothing_known = report(LatentMoments.from_batch(posterior.mean), ["active"] * 4)
    assert {*nothing_known.columns[nothing_known.isna().all()]} == set(NEEDS_VARIANCE)
