"""Truths about the report: one row per variable, nothing that the moments do not know."""

import subprocess
import sys

import numpy as np
import pytest

from passive_pruner.datasets import make_posterior
from passive_pruner.regime import LatentMoments, report, variance

NEEDS_VARIANCE = [
    "mean_of_variance",
    "variance_of_variance",
    "kl",
    "reliability",
    "max_correlation_sampled",
    "active_share",
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
