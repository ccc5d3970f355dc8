"""Truths about alpha: passive is a claim that has to be shown, and what is not shown stays."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import render, small_encoder
from scipy.stats import norm, poisson
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from passive_pruner import PassiveVariableRemover, prune_pipeline
from passive_pruner.datasets import make_posterior
from passive_pruner.explore._values import compute_values
from passive_pruner.regime import CRITERIA, LatentMoments

TYPES = ["active", "passive", "mixed", "active", "passive", "rare"]


def columns_for(criterion, posterior):
    mean, variance = posterior
    if criterion == "explained_variance":
        return mean * (np.arange(mean.shape[1]) % 3 + 1)
    return np.hstack([mean, variance]) if CRITERIA[criterion].reads_variances else mean


@pytest.fixture(scope="module")
def posterior():
    return make_posterior(TYPES, 1000, random_state=0)[0]


@pytest.fixture(scope="module")
def few():
    return make_posterior(TYPES, 30, random_state=0)[0]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_many_rows_show_what_few_rows_do_not(criterion, posterior, few):
    shown = PassiveVariableRemover(criterion=criterion, alpha=0.05)
    rule = PassiveVariableRemover(criterion=criterion)
    X = columns_for(criterion, posterior)
    np.testing.assert_array_equal(shown.fit(X).get_support(), rule.fit(X).get_support())
    np.testing.assert_array_equal(shown.variable_types_, rule.variable_types_)
    X = columns_for(criterion, few)
    shown.fit(X)
    rule.fit(X)
    assert set(shown.variable_types_[[1, 4]]) == {"undecided"}
    assert shown.get_support()[:6].all()
    assert not rule.get_support()[[1, 4]].any()
    assert (shown.variable_types_ == "active").sum() == (rule.variable_types_ == "active").sum()


@pytest.mark.parametrize("criterion", CRITERIA)
def test_q_values_decide(criterion, few):
    """What is removed grows with alpha, from nothing at 0 to what the rule says at 1."""
    X = columns_for(criterion, few)
    rule = PassiveVariableRemover(criterion=criterion).fit(X)
    q_values = PassiveVariableRemover(criterion=criterion, alpha=1).fit(X).report_["q_value"]
    removable = ~rule.get_support()[:6]
    for alpha in (0, 0.01, 0.1, *q_values, 1):
        remover = PassiveVariableRemover(criterion=criterion, alpha=alpha).fit(X)
        removed = ~remover.get_support()[:6]
        np.testing.assert_array_equal(removed, removable & (q_values <= alpha))
        undecided = remover.variable_types_ == "undecided"
        np.testing.assert_array_equal(undecided, removable & ~removed)
        np.testing.assert_array_equal(remover.report_["decided"], ~undecided)


def null_share(p_values, level):
    return (p_values <= level).mean()


@pytest.mark.parametrize("n_samples", [60, 100, 1000])
@pytest.mark.parametrize("kind", ["rare", "rare and passive", "normal", "t5"])
def test_no_p_value_is_too_small_at_the_threshold(n_samples, kind):
    """With Var(mu) at the threshold P(p <= level) <= level, however few rows it comes from."""
    rng = np.random.default_rng(n_samples)
    shape, threshold, n_columns = (n_samples, 200), 0.1, 200
    p_values = []
    for _ in range(8):
        z = rng.standard_normal(shape)
        if kind == "rare":
            z *= rng.uniform(size=shape) < threshold
        elif kind == "rare and passive":
            is_active = rng.uniform(size=shape) < (threshold - 0.002) / 0.998
            z *= np.where(is_active, 1, np.sqrt(0.002))
        elif kind == "t5":
            z = rng.standard_t(5, size=shape) * np.sqrt(threshold * 3 / 5)
        else:
            z *= np.sqrt(threshold)
        moments = LatentMoments.from_batch(z)
        p_values.append(CRITERIA["active_units"].p_values(moments, threshold, ("passive",)))
    p_values = np.concatenate(p_values)
    for level in (0.005, 0.05):
        error = np.sqrt(level / (8 * n_columns))
        assert null_share(p_values, level) <= level + 3 * error


@pytest.mark.parametrize("n_samples", [100, 1000])
def test_posterior_variances_of_rows_that_are_active_or_not(n_samples):
    """With s2 = 0 in some rows and 1 in the others the test is that of a number of rows."""
    rng = np.random.default_rng(0)
    is_active = rng.uniform(size=(n_samples, 1000)) < 0.1
    moments = LatentMoments.from_batch(np.zeros(is_active.shape), 1.0 - is_active)
    # Var(s2) is 0.09 here: at a threshold of 0.1 it is E[s2] that decides.
    p_values = CRITERIA["variance"].p_values(moments, 0.1, ("passive",))
    assert (p_values >= poisson.cdf(is_active.sum(axis=0), 0.1 * n_samples) - 1e-9).all()
    assert null_share(p_values, 0.05) <= 0.05 + 3 * np.sqrt(0.05 / 1000)


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_a_sample_does_not_hold_are_thought_of(seed):
    """A variable of which 100 rows show nothing may be active in 2 % of all rows."""
    codes = np.random.default_rng(seed).standard_normal((100, 3)) * [1, 1, 0.02]
    remover = PassiveVariableRemover(threshold=0.01, alpha=0.05).fit(codes)
    assert remover.variable_types_[2] == "undecided"
    # The standard error of the same statistic puts it hundreds of them below the threshold.
    report = remover.report_
    assert report["variance_of_mean_se"][2] * 100 < 0.01 - report["variance_of_mean"][2]


@pytest.mark.parametrize("seed", range(3))
def test_p_values_of_large_samples_are_those_of_the_worst_normal_limit(seed):
    """Far more rows than the worst case needs: the type III sum is a normal one."""
    rng = np.random.default_rng(seed)
    n_samples, threshold = 100_000, 0.1
    codes = rng.standard_normal((n_samples, 4)) * np.sqrt(0.099)
    moments = LatentMoments.from_batch(codes)
    found = CRITERIA["active_units"].p_values(moments, threshold, ("passive",))
    z = (moments.variance_of_mean - threshold) / np.sqrt(3 * threshold / n_samples)
    np.testing.assert_allclose(found, norm.cdf(z), atol=0.005)


def test_types_that_are_dropped_say_what_is_tested(posterior):
    """Mixed variables are not passive, but they are shown not to be active."""
    X = np.hstack(posterior)
    only = PassiveVariableRemover(criterion="variance", alpha=0.05).fit(X)
    both = clone(only).set_params(drop=("passive", "mixed")).fit(X)
    assert only.variable_types_[2] == both.variable_types_[2] == "mixed"
    assert only.report_["q_value"][2] == 1
    assert both.report_["q_value"][2] < 1e-6
    assert only.get_support()[2] and not both.get_support()[2]
    few = make_posterior(TYPES, 8, random_state=1)[0]
    assert both.fit(np.hstack(few)).report_["q_value"][[0, 3]].tolist() == [1, 1]


@pytest.mark.parametrize("criterion", ["variance", "kl"])
def test_draws_show_less_than_means_and_still_something(criterion):
    mean, variance = make_posterior(TYPES, 4000, random_state=0)[0]
    noise = np.random.default_rng(0).standard_normal(mean.shape)
    names = [f"z{j}_sampled" for j in range(6)] + [f"z{j}_variance" for j in range(6)]
    draws = np.hstack([mean + np.sqrt(variance) * noise, variance])
    X = pd.DataFrame(draws, columns=names)
    of_draws = PassiveVariableRemover(criterion=criterion, alpha=0.05).fit(X)
    of_means = PassiveVariableRemover(criterion=criterion, alpha=0.05).fit(
        np.hstack([mean, variance])
    )
    assert of_draws.variable_types_.tolist() == of_means.variable_types_.tolist()
    assert (of_draws.report_["q_value"] >= of_means.report_["q_value"].to_numpy() - 1e-12).all()


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl", "explained_variance"])
def test_batches_show_what_their_rows_show_together(criterion, posterior):
    X = columns_for(criterion, posterior)
    stream = PassiveVariableRemover(criterion=criterion, alpha=0.05)
    for start in (0, 5, 30, 500):
        stop = {0: 5, 5: 30, 30: 500, 500: 1000}[start]
        stream.partial_fit(X[start:stop])
        if stop == 5:  # nothing is shown below 8 rows
            assert (stream.report_["q_value"] == 1).all()
            assert stream.get_support()[:6].all()
    whole = clone(stream).fit(X)
    assert stream.variable_types_.tolist() == whole.variable_types_.tolist()
    np.testing.assert_allclose(stream.report_["q_value"], whole.report_["q_value"], rtol=1e-6)


def test_alpha_set_after_fit_acts_at_the_next_one(few):
    X = few.mean
    remover = PassiveVariableRemover().fit(X)
    kept = remover.get_support().tolist()
    remover.set_params(alpha=0.05)
    assert remover.alpha_ is None
    assert remover.get_support().tolist() == kept
    assert "q_value" not in remover.report_
    assert remover.fit(X).get_support().all()
    remover.set_params(alpha=None).partial_fit(X)
    assert remover.alpha_ is None
    assert remover.get_support().tolist() == kept


def test_states_without_alpha_are_those_of_no_control(posterior):
    remover = PassiveVariableRemover().fit(posterior.mean)
    state = {k: v for k, v in remover.__getstate__().items() if k not in ("alpha", "alpha_")}
    older = PassiveVariableRemover.__new__(PassiveVariableRemover)
    older.__setstate__(state)
    assert older.get_params() == remover.get_params()
    assert older.alpha_ is None
    assert older.summary() == remover.summary()
    pd.testing.assert_frame_equal(older.report_, remover.report_)
    assert clone(older).fit(posterior.mean).get_support().tolist() == [1, 0, 1, 1, 0, 0]


def test_it_is_saved(few):
    remover = PassiveVariableRemover(alpha=0.05).fit(few.mean)
    for other in (pickle.loads(pickle.dumps(remover)), copy.deepcopy(remover)):
        assert other.alpha_ == 0.05
        assert other.summary() == remover.summary()


def test_summary_says_what_is_not_shown(few, posterior):
    remover = PassiveVariableRemover(alpha=0.05).fit(few.mean)
    summary = remover.summary()
    undecided = (remover.variable_types_ == "undecided").sum()
    assert summary.splitlines()[0].endswith(f"0 passive, {undecided} undecided.")
    last = summary.partition("Undecided")[2].splitlines()
    assert last[0] == (
        " and kept, as a q value above 0.05 does not show the type that the rule gives: "
        f"{undecided}"
    )
    assert len(last) == undecided + 1
    q_values = remover.report_["q_value"]
    for line in last[1:]:
        name, type_, *_, q = line.split()
        assert type_ == "undecided"
        assert q == f"{q_values[int(name)]:.1g}"
    shown = PassiveVariableRemover(alpha=0.05).fit(posterior.mean).summary()
    assert shown.endswith("does not show the type that the rule gives: none")


def test_threshold_0_keeps_all_whatever_alpha_is(posterior):
    remover = PassiveVariableRemover(threshold=0, alpha=0.05).fit(posterior.mean)
    assert remover.get_support().all()
    assert remover.report_["decided"].all()
    assert (remover.report_["q_value"] == 1).all()
    assert remover.summary().endswith("a threshold of 0 drops nothing.")


@pytest.mark.parametrize("threshold", [5e-324, 1e-300, 1e-100, 1e-20, 1e-9])
@pytest.mark.parametrize("criterion", ["active_units", "entropy", "kl", "variance"])
def test_nothing_is_shown_to_be_below_a_tiny_threshold(criterion, threshold, posterior):
    X = columns_for(criterion, posterior)
    remover = PassiveVariableRemover(criterion=criterion, threshold=threshold, alpha=0.05).fit(X)
    assert remover.get_support()[: posterior.mean.shape[1]].all()
    assert (remover.report_["q_value"] > 0.9).all()


def test_what_has_no_standard_error_says_what_to_do(posterior):
    scaled = np.hstack([posterior.mean * 30, posterior.variance * 900])
    remover = PassiveVariableRemover(criterion="kl", alpha=0.05)
    with pytest.raises(ValueError, match=r"standard error of kl.*whiten=True.*alpha=None"):
        remover.fit(scaled)
    assert not hasattr(remover, "variable_types_")
    assert PassiveVariableRemover(criterion="variance", alpha=0.05).fit(scaled).get_support().any()
    with pytest.raises(ValueError, match="'alpha' parameter of PassiveVariableRemover"):
        PassiveVariableRemover(alpha=5).fit(posterior.mean)
    moments = LatentMoments.from_batch(posterior.mean)
    with pytest.raises(ValueError, match="alpha must be from 0 to 1, or None, got 5"):
        CRITERIA["active_units"](moments, 0.1, alpha=5)
    with pytest.raises(TypeError, match="alpha must be a number, got '5'"):
        CRITERIA["active_units"](moments, 0.1, alpha="5")


def test_order_of_the_variables_does_not_matter(few):
    order = np.random.default_rng(0).permutation(6)
    q_values = CRITERIA["active_units"].q_values(LatentMoments.from_batch(few.mean), 0.1)
    permuted = CRITERIA["active_units"].q_values(LatentMoments.from_batch(few.mean[:, order]), 0.1)
    np.testing.assert_allclose(permuted, q_values[order])


def test_pipelines_grids_and_pruned_pipelines(cancer):
    X, y = cancer
    encoder = small_encoder(n_components=8, whiten=False)
    remover = PassiveVariableRemover(criterion="explained_variance", alpha=0.05)
    pipe = make_pipeline(encoder, remover, LogisticRegression(max_iter=500)).fit(X, y)
    assert prune_pipeline(pipe)[0].n_components_ == remover.get_support().sum()
    of_codes = make_pipeline(clone(remover), LogisticRegression(max_iter=500))
    grid = GridSearchCV(of_codes, {"passivevariableremover__alpha": [None, 0.05, 0]}, cv=3)
    grid.fit(encoder.transform(X), y)
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()


@pytest.mark.usefixtures("agg_and_closed_figures")
def test_pictures_show_undecided_variables(few):
    pytest.importorskip("matplotlib")
    from passive_pruner.plots import VariableTypesDisplay

    remover = PassiveVariableRemover(alpha=0.05).fit(few.mean)
    display = render(VariableTypesDisplay.from_estimator(remover, kind="bar"))
    assert display.types.tolist() == remover.variable_types_.tolist()
    assert "undecided (3)" in [text.get_text() for text in display.legend_.get_texts()]


def test_the_explorer_controls_errors_as_the_remover_does(fitted_encoder, cancer):
    X = cancer[0][:40]
    remover = PassiveVariableRemover(criterion="variance", threshold=0.2, alpha=0.01)
    pipe = make_pipeline(fitted_encoder, remover.fit(fitted_encoder.transform(X)))
    values = compute_values(pipe, X)
    at = values["criteria"]["variance"]
    i = values["thresholds"].index(0.2)
    assert at["types"][i] == remover.variable_types_.tolist()
    assert at["kept"][i] == remover.get_support()[:8].tolist()
    assert "undecided" in remover.variable_types_


def test_dask_blocks_show_what_their_rows_show_together(posterior):
    da = pytest.importorskip("dask.array")
    X = columns_for("kl", posterior).astype(np.float64)
    lazy = PassiveVariableRemover(criterion="kl", alpha=0.05).fit(
        da.from_array(X, chunks=(300, -1))
    )
    whole = PassiveVariableRemover(criterion="kl", alpha=0.05).fit(X)
    assert lazy.variable_types_.tolist() == whole.variable_types_.tolist()
    np.testing.assert_allclose(lazy.report_["q_value"], whole.report_["q_value"], rtol=1e-6)


def test_exported_graphs_keep_undecided_variables(few):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("passive_pruner.onnx")

    remover = PassiveVariableRemover(alpha=0.05).fit(few.mean)
    graph = skl2onnx.to_onnx(remover, few.mean[:1])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (codes,) = session.run(None, {"X": few.mean})
    np.testing.assert_array_equal(codes, remover.transform(few.mean))
    assert codes.shape[1] == 6
