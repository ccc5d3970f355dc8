"""Codes in the units of what they explain, judged by every rule, or refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_wine, make_low_rank_matrix
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, plots, prune_pipeline
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import CRITERIA, LatentMoments, report
from passive_pruner.regime._units import in_prior_units

TYPES = ["active", "mixed", "passive", "active", "rare", "passive", "active"]


def scaled_posterior(seed):
    """Posterior in the units of the prior, and one number per variable."""
    posterior, _ = make_posterior(TYPES, 2000, random_state=seed)
    scale = np.exp(np.random.default_rng(seed).uniform(-6, 2, len(TYPES)))
    scale[0] = 3
    return posterior, scale


@pytest.fixture
def unwhitened(fitted_encoder):
    encoder = pickle.loads(pickle.dumps(fitted_encoder))
    return encoder.set_params(whiten=False, add_variance=False)


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl"])
@pytest.mark.parametrize("seed", range(5))
def test_variances_tell_the_units_of_codes(criterion, seed):
    (mean, variance), scale = scaled_posterior(seed)
    whitened = LatentMoments.from_batch(mean, variance)
    unwhitened = LatentMoments.from_batch(mean * scale, variance * scale**2)
    rule = CRITERIA[criterion]
    assert_array_equal(rule(unwhitened, 0.1), rule(whitened, 0.1))
    assert_allclose(in_prior_units(unwhitened).code_scale, scale, rtol=0.1)
    assert in_prior_units(whitened) is whitened
    if rule.reads_variances:
        X = np.hstack([mean * scale, variance * scale**2])
        remover = PassiveVariableRemover(criterion=criterion).fit(X)
        assert_array_equal(remover.variable_types_, rule(whitened, 0.1))
        assert "share of the explained variance" in remover.summary()
        table = remover.report_
        assert_allclose(table["mean_of_variance"], whitened.mean_of_variance, atol=0.1)
        assert_allclose(table["kl"], whitened.kl, atol=0.1)
        expected = (mean * scale).var(axis=0)
        assert_allclose(table["explained_variance_ratio"], expected / expected.sum(), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_units_is_exact_where_sums_are_one(seed):
    (mean, variance), scale = scaled_posterior(seed)
    root = np.sqrt((mean**2 + variance).mean(axis=0))
    mean, variance = mean / root, variance / root**2
    moments = in_prior_units(LatentMoments.from_batch(mean * scale, variance * scale**2))
    expected = LatentMoments.from_batch(mean, variance)
    for name in ("variance_of_mean", "mean_of_variance", "variance_of_variance", "kl"):
        assert_allclose(getattr(moments, name), getattr(expected, name), rtol=1e-4, atol=1e-6)
    assert_allclose(moments.mean_covariance, expected.mean_covariance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("criterion", ["variance", "kl"])
@pytest.mark.parametrize("seed", range(5))
def test_an_active_variable_is_active_in_rows_that_are_alike_in_it(criterion, seed):
    (mean, variance), _ = make_posterior(["active", "active", "passive"], 3000, random_state=seed)
    alike = np.argsort(np.abs(mean[:, 0] - mean[:, 0].mean()))[:100]
    codes = np.hstack([mean, variance])[alike]
    remover = PassiveVariableRemover(criterion=criterion).fit(codes)
    rule = CRITERIA["variance"](LatentMoments.from_batch(mean, variance), 0.1)
    assert remover.variable_types_[0] != "passive" and rule[0] == "active"
    assert_allclose(remover.report_["mean_of_variance"], variance[alike].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("criterion", ["active_units", "entropy"])
@pytest.mark.parametrize("seed", range(5))
def test_means_beyond_the_prior_are_refused_where_nothing_tells_their_units(criterion, seed):
    (mean, _), scale = scaled_posterior(seed)
    remover = PassiveVariableRemover(criterion=criterion)
    with pytest.raises(ValueError, match=r"of code 0 is .*use whiten=True"):
        remover.fit(mean * scale)
    remover.set_params(threshold=0).fit(mean * scale)  # which judges nothing
    remover.set_params(threshold=0.1).fit(mean)


@pytest.mark.parametrize("seed", range(20))
def test_chance_in_few_rows_is_no_other_unit(seed):
    rng = np.random.default_rng(seed)
    for n in (2, 5, 10, 30):
        PassiveVariableRemover(threshold=1e-9).fit(rng.normal(size=(n, 10)) + 1)


@pytest.mark.parametrize("seed", range(5))
def test_whitened_codes_explain_no_variance(seed):
    (mean, variance), scale = scaled_posterior(seed)
    remover = PassiveVariableRemover(criterion="explained_variance")
    for codes in (mean, StandardScaler().fit_transform(mean * scale), mean[:50]):
        with pytest.raises(ValueError, match=r"Use VAEEncoder\(whiten=False\)"):
            remover.fit(codes)
    with pytest.raises(ValueError, match="as if the prior had scaled them"):
        CRITERIA["explained_variance"](LatentMoments.from_batch(mean, variance), 0.01)
    assert "explained_variance_ratio" not in report(LatentMoments.from_batch(mean), TYPES)
    remover.set_params(threshold=0).fit(mean)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [None, 0.05])
def test_principal_components_are_dropped_by_their_share(seed, threshold):
    X = 9 * make_low_rank_matrix(500, 12, effective_rank=3, random_state=seed)
    pca = PCA().fit(StandardScaler().fit_transform(X))
    codes = pca.transform(StandardScaler().fit_transform(X))
    remover = PassiveVariableRemover(criterion="explained_variance", threshold=threshold)
    remover.fit(codes)
    expected = pca.explained_variance_ratio_ > (threshold or 0.01)
    assert_array_equal(remover.get_support(), expected)
    assert_array_equal(remover.variable_types_, np.where(expected, "active", "negligible"))
    assert_allclose(remover.report_["explained_variance_ratio"], pca.explained_variance_ratio_)
    assert f"{expected.sum()} active, {(~expected).sum()} negligible" in remover.summary()


def test_batches_and_blocks_give_what_all_rows_give(unwhitened, cancer):
    da = pytest.importorskip("dask.array")
    codes = unwhitened.transform(cancer[0])
    whole = PassiveVariableRemover(criterion="explained_variance").fit(codes)
    stream = PassiveVariableRemover(criterion="explained_variance")
    for batch in np.array_split(codes, 5):
        stream.partial_fit(batch)
    lazy = PassiveVariableRemover(criterion="explained_variance")
    lazy.fit(da.from_array(codes, chunks=(100, -1)))
    for other in (stream, lazy):
        assert_array_equal(other.variable_types_, whole.variable_types_)
        assert_allclose(
            other.moments_.explained_variance_ratio, whole.moments_.explained_variance_ratio
        )


def test_names_of_other_columns_are_refused(unwhitened, cancer):
    unwhitened.set_output(transform="pandas")
    remover = PassiveVariableRemover(criterion="explained_variance")
    for params in ({"add_variance": True}, {"output": "sampled"}):
        codes = pickle.loads(pickle.dumps(unwhitened)).set_params(**params).transform(cancer[0])
        with pytest.raises(ValueError, match=r"explained_variance.* reads mean codes alone"):
            remover.fit(codes)
    remover.fit(unwhitened.transform(cancer[0]))


@pytest.mark.parametrize("seed", range(3))
def test_a_pipeline_without_its_negligible_variables(seed):
    X, y = load_wine(return_X_y=True)
    encoder = small_encoder(n_components=8, max_steps=600, whiten=False, random_state=seed)
    remover = PassiveVariableRemover(criterion="explained_variance")
    pipe = make_pipeline(StandardScaler(), encoder, remover, LogisticRegression(max_iter=1000))
    pipe.fit(X, y)
    negligible = remover.variable_types_ == "negligible"
    share = encoder.explained_variance_ / encoder.explained_variance_.sum()
    assert np.all(share[negligible] < 0.011)
    assert np.all(share[~negligible] > 0.009)
    pruned = prune_pipeline(pipe)
    assert_array_equal(pruned.predict(X), pipe.predict(X))
    assert pruned[1].n_components_ == (~negligible).sum()


def test_moments_of_an_encoder_know_what_it_explains(unwhitened, cancer):
    X, _ = cancer
    moments = unwhitened.moments(X)
    assert_array_equal(moments.code_scale, unwhitened.code_scale_)
    of_codes = LatentMoments.from_batch(unwhitened.transform(X)).explained_variance_ratio
    assert_allclose(moments.explained_variance_ratio, of_codes, rtol=1e-4)
    for name in ("active_units", "variance", "kl"):
        whitened = LatentMoments.from_batch(*unwhitened.posterior(X))
        assert_array_equal(CRITERIA[name](moments, 0.1), CRITERIA[name](whitened, 0.1))
    merged = unwhitened.moments(X[:200]).merge(unwhitened.moments(X[200:]))
    assert_allclose(merged.explained_variance_ratio, of_codes, rtol=1e-4)
    with pytest.raises(ValueError, match="different code_scale"):
        moments.merge(LatentMoments.from_batch(*unwhitened.posterior(X)))
    assert isinstance(report(moments, [""] * 8)["explained_variance_ratio"], pd.Series)


@pytest.mark.usefixtures("agg_and_closed_figures")
def test_pictures_do_not_depend_on_the_units_of_codes(fitted_encoder, unwhitened, cancer):
    X = cancer[0]
    decoded = [
        plots.TraversalDisplay.from_estimator(encoder, X, row=3).decoded
        for encoder in (fitted_encoder, unwhitened)
    ]
    assert_allclose(*decoded, rtol=1e-3, atol=1e-4)
    errors = [
        plots.ReconstructionDisplay.from_estimator(encoder, X).feature_error
        for encoder in (fitted_encoder, unwhitened)
    ]
    assert_allclose(*errors, rtol=1e-3)
