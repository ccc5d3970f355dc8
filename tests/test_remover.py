"""Truths about PassiveVariableRemover: what it keeps, what it refuses, what it leaves behind."""

import copy
import pickle
import re
import warnings
from itertools import pairwise

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner._common._codes import code_names
from passive_pruner.datasets import make_posterior
from passive_pruner.exceptions import PassiveUndeterminedWarning
from passive_pruner.regime import LatentMoments

TYPES = ["active", "passive", "mixed", "active", "passive", "rare"]
KEPT = [0, 2, 3]


@pytest.fixture(scope="module")
def posterior():
    return make_posterior(TYPES, 1000, random_state=0)[0]


@pytest.fixture(scope="module")
def draws(posterior):
    noise = np.random.default_rng(0).standard_normal(posterior.mean.shape, dtype=np.float32)
    return posterior.mean + np.sqrt(posterior.variance) * noise


def columns_for(criterion, posterior):
    return posterior.mean if criterion in ("active_units", "entropy") else np.hstack(posterior)


def frame(X, *, sampled=False, add_variance=False, library=pd, prefix="vaeencoder"):
    d = X.shape[1] // 2 if add_variance else X.shape[1]
    names = code_names(prefix, range(d), sampled=sampled, add_variance=add_variance)
    return library.DataFrame(dict(zip(names, X.T, strict=True)))


class RemoverOnAnyData(PassiveVariableRemover):
    """The remover, but with codes of unit scale, and variances, made up from its data.

    The data of scikit-learn's checks are not codes: some have variances of 1/12, which the
    default threshold rightly calls passive, some of 50, which no prior allows, and none have
    columns of variances. A pipeline with a stand-in for the encoder would not do, as no Pipeline
    passes all checks: it fits its steps in place.
    """

    def _moments_of_batch(self, X, sample_weight=None):
        variance = None if self.criterion == "active_units" else np.full_like(X, 0.05)
        codes = np.sqrt(2) * np.sin(10 * X)
        return LatentMoments.from_batch(codes, variance, sample_weight=sample_weight)


# Nothing is passive in the data of these checks, and all of it has a large variance: exactly the
# case that the warning is for.
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.PassiveUndeterminedWarning")
@parametrize_with_checks(
    [
        PassiveVariableRemover(threshold=0),
        RemoverOnAnyData(threshold=0.01, drop=("passive", "mixed")),
        RemoverOnAnyData(),
        RemoverOnAnyData(threshold=0.5),
        RemoverOnAnyData(criterion="variance", drop=["mixed", "passive"]),
        RemoverOnAnyData(criterion="kl"),
        RemoverOnAnyData(alpha=0.05),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_kl_column_of_the_threshold_table_is_right():
    rows = re.findall(r"^ +(0\.\d+) +(0\.\d+) +(\d\.\d+)$", PassiveVariableRemover.__doc__, re.M)
    assert len(rows) == 3
    for variance_of_mean, variance, kl in np.array(rows, dtype=float):
        assert variance_of_mean + variance == pytest.approx(1)
        assert -np.log(variance) / 2 == pytest.approx(kl, abs=0.002)


# What is kept


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl", "entropy"])
def test_passive_variables_go_and_codes_come_out(criterion, posterior):
    X = columns_for(criterion, posterior)
    remover = PassiveVariableRemover(criterion=criterion).fit(X)
    np.testing.assert_array_equal(remover.transform(X), posterior.mean[:, KEPT])
    assert remover.get_support().shape == (X.shape[1],)
    assert remover.get_support(indices=True).tolist() == KEPT
    assert remover.variable_types_.tolist()[1] == "passive"
    assert remover.undetermined_ is False


def test_draws_are_served_by_their_variances(posterior, draws):
    X = np.hstack([draws, posterior.variance])
    remover = PassiveVariableRemover(criterion="variance").fit(X)
    np.testing.assert_array_equal(remover.transform(X), draws[:, KEPT])


@pytest.mark.parametrize("drop", [("passive", "mixed"), ["mixed", "passive"]])
def test_mixed_variables_go_if_asked(drop, posterior):
    remover = PassiveVariableRemover(criterion="variance", drop=drop).fit(np.hstack(posterior))
    assert remover.get_support(indices=True).tolist() == [0, 3]


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl"])
def test_zero_threshold_keeps_every_code_even_constant_ones(criterion, posterior):
    mean = posterior.mean.copy()
    mean[:, 1] = 0
    X = mean if criterion in ("active_units", "entropy") else np.hstack([mean, posterior.variance])
    remover = PassiveVariableRemover(
        threshold=0, criterion=criterion, drop=("passive", "mixed")
    ).fit(X)
    np.testing.assert_array_equal(remover.transform(X), mean)


@pytest.mark.parametrize("criterion", ["active_units", "kl", "entropy"])
def test_larger_threshold_keeps_a_subset(criterion, posterior):
    X = columns_for(criterion, posterior)
    supports = [
        PassiveVariableRemover(threshold=t, criterion=criterion).fit(X).get_support()
        for t in (0, 0.001, 0.01, 0.05, 0.3, 0.6)
    ]
    for larger, smaller in pairwise(supports):
        assert (smaller <= larger).all()
    assert supports[0].sum() > supports[-1].sum() > 0


def test_selection_follows_a_permutation_of_columns(posterior):
    order = np.random.default_rng(0).permutation(len(TYPES))
    support = PassiveVariableRemover().fit(posterior.mean).get_support()
    permuted = PassiveVariableRemover().fit(posterior.mean[:, order]).get_support()
    np.testing.assert_array_equal(permuted, support[order])


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl"])
def test_batches_equal_the_whole(criterion, posterior):
    X = columns_for(criterion, posterior)
    whole = PassiveVariableRemover(criterion=criterion).fit(X)
    parts = PassiveVariableRemover(criterion=criterion)
    for batch in np.array_split(X, [1, 10, 400]):
        parts.partial_fit(batch)
    pd.testing.assert_frame_equal(parts.report_, whole.report_, rtol=1e-10)
    np.testing.assert_array_equal(parts.get_support(), whole.get_support())


def test_entropy_takes_all_rows_at_once(posterior):
    remover = PassiveVariableRemover(criterion="entropy").fit(posterior.mean)
    kept = remover.get_support()
    with pytest.raises(ValueError, match="call fit instead of partial_fit"):
        remover.partial_fit(posterior.mean)
    np.testing.assert_array_equal(remover.get_support(), kept)


def test_fit_forgets_earlier_data(posterior):
    remover = PassiveVariableRemover().partial_fit(posterior.mean[:, :2]).fit(posterior.mean)
    assert remover.moments_.n_samples == 1000
    assert remover.n_features_in_ == len(TYPES)


def test_inverse_transform_puts_the_prior_mean_into_dropped_columns(posterior):
    remover = PassiveVariableRemover().fit(posterior.mean)
    restored = remover.inverse_transform(remover.transform(posterior.mean))
    expected = np.where(remover.get_support(), posterior.mean, 0)
    np.testing.assert_array_equal(restored, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_input_is_not_copied(dtype, posterior, monkeypatch):
    X = posterior.mean.astype(dtype)
    seen = []
    original = PassiveVariableRemover._moments_of_batch
    monkeypatch.setattr(
        PassiveVariableRemover,
        "_moments_of_batch",
        lambda self, X, weights: seen.append(X) or original(self, X),
    )
    assert PassiveVariableRemover().fit_transform(X).dtype == dtype
    assert np.shares_memory(seen[0], X)


# Names and containers


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("sampled", [False, True])
def test_frames_select_like_arrays(library, sampled, posterior, draws):
    X = np.hstack([draws if sampled else posterior.mean, posterior.variance])
    named = frame(X, sampled=sampled, add_variance=True, library=library)
    remover = PassiveVariableRemover(criterion="variance").fit(named)
    np.testing.assert_array_equal(remover.transform(named), X[:, KEPT])
    suffix = "_sampled" if sampled else ""
    names = [f"vaeencoder{j}{suffix}" for j in KEPT]
    assert remover.get_feature_names_out().tolist() == names
    for output in ("pandas", "polars"):
        table = remover.set_output(transform=output).transform(named)
        assert list(table.columns) == names
        np.testing.assert_array_equal(table.to_numpy(), X[:, KEPT])
    assert remover.report_.index.tolist() == list(named.columns[: len(TYPES)])


def test_own_names_in_the_right_layout_are_trusted(posterior):
    names = [f"{what}_{letter}" for what in ("mu", "var") for letter in "abcdef"]
    X = pd.DataFrame(np.hstack(posterior), columns=names)
    remover = PassiveVariableRemover(criterion="variance").fit(X)
    assert remover.get_feature_names_out().tolist() == ["mu_a", "mu_c", "mu_d"]


def test_prefixes_of_column_transformer_do_not_hide_the_layout(posterior):
    X = frame(np.hstack(posterior), add_variance=True, prefix="vae__vaeencoder")
    assert PassiveVariableRemover(criterion="kl").fit_transform(X).shape[1] == len(KEPT)


def test_codes_named_sampled_are_read_as_draws(posterior, draws):
    X = frame(np.hstack([draws, posterior.variance]), sampled=True, add_variance=True)
    remover = PassiveVariableRemover(criterion="kl").fit(X)
    assert remover.moments_.sampled
    assert remover.variable_types_[[1, 4]].tolist() == ["passive", "passive"]
    exact = PassiveVariableRemover(criterion="kl").fit(np.hstack(posterior))
    # The standard error of the variance of 1000 draws is 0.04.
    np.testing.assert_allclose(remover.report_["kl"], exact.report_["kl"], atol=0.15)


# Layouts that contradict the criterion


@pytest.mark.parametrize(
    ("criterion", "names", "fix"),
    [
        ("active_units", ["v0_sampled", "v1_sampled"], 'add_variance=True) and criterion="vari'),
        ("active_units", ["v0_sampled", "v1_sampled"], 'VAEEncoder(output="mean")'),
        ("active_units", ["v0", "v0_variance"], 'criterion="variance"'),
        ("active_units", ["v0", "v0_variance"], "VAEEncoder(add_variance=False)"),
        ("variance", ["v0", "v1", "v2"], "even number of columns, got 3. Append"),
        ("kl", ["v0", "v1", "v2"], 'criterion="active_units" for mean codes'),
        ("variance", [f"vaeencoder{j}" for j in range(10)], "numbered as codes without variances"),
        ("kl", ["x1", "x2"], "VAEEncoder(add_variance=True)"),
        ("variance", ["v0_sampled", "v1_sampled"], "variances in another place"),
        ("variance", ["v0_variance", "v1_variance", "v0", "v1"], "variances in another place"),
        ("kl", ["v0", "v0_variance", "v1", "v1_variance"], "variances in another place"),
        ("variance", ["v0_sampled", "v1", "v0_variance", "v1_variance"], "mix means with draws"),
        ("variance", ["v0", "v1", "v1_variance", "v0_variance"], "another order than codes"),
    ],
)
def test_names_that_contradict_the_criterion_are_refused(criterion, names, fix):
    X = pd.DataFrame(np.random.default_rng(0).uniform(size=(20, len(names))), columns=names)
    with pytest.raises(ValueError, match=re.escape(fix)):
        PassiveVariableRemover(criterion=criterion).fit(X)


@pytest.mark.parametrize("criterion", ["variance", "kl"])
def test_negative_variances_name_the_scaler(criterion, posterior):
    X = np.hstack([posterior.mean, posterior.variance - 1])
    message = (
        "Negative values in data passed to PassiveVariableRemover: variance columns must be "
        r">= 0, got min -0\.97\d; a scaler .* put it after"
    )
    with pytest.raises(ValueError, match=message):
        PassiveVariableRemover(criterion=criterion).fit(X)


# A scaler in the wrong place, and other codes that cannot show their passive variables


def encoder_like(posterior, add_variance):
    codes = np.hstack(posterior) if add_variance else posterior.mean
    return FunctionTransformer(lambda rows: codes[rows.ravel()])


@pytest.mark.parametrize("criterion", ["variance", "kl"])
def test_scaler_before_the_remover_is_an_error_with_variances(criterion, posterior):
    pipe = make_pipeline(
        encoder_like(posterior, add_variance=True),
        StandardScaler(),
        PassiveVariableRemover(criterion=criterion),
    )
    with pytest.raises(ValueError, match="put it after"):
        pipe.fit(np.arange(1000)[:, np.newaxis])


def test_scaler_before_the_remover_is_a_warning_without_variances(posterior):
    encoder = encoder_like(posterior, add_variance=False)
    rows = np.arange(1000)[:, np.newaxis]
    pipe = make_pipeline(encoder, StandardScaler(), PassiveVariableRemover())
    with pytest.warns(PassiveUndeterminedWarning, match="put scalers after this step"):
        pipe.fit(rows)
    assert pipe[-1].undetermined_
    assert pipe.transform(rows).shape[1] == len(TYPES)
    right = make_pipeline(encoder, PassiveVariableRemover(), StandardScaler()).fit(rows)
    assert not right[1].undetermined_


def test_draws_passed_as_means_are_undetermined(posterior, draws):
    with pytest.warns(PassiveUndeterminedWarning, match=r"VAEEncoder\(add_variance=True\)"):
        assert PassiveVariableRemover().fit(draws).undetermined_
    with pytest.warns(PassiveUndeterminedWarning):
        X = np.hstack([draws, posterior.variance])
        assert PassiveVariableRemover(criterion="kl").fit(X).undetermined_


def test_determined_cases_do_not_warn(posterior, draws):
    active, _ = make_posterior(["active"] * 3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PassiveVariableRemover(threshold=0).fit(draws)
        PassiveVariableRemover(criterion="variance").fit(np.hstack([draws, posterior.variance]))
        PassiveVariableRemover(criterion="kl").fit(np.hstack(active))


def test_all_active_means_warn_if_they_are_distributed_as_draws_are():
    active, _ = make_posterior(["active"] * 3, 4000, random_state=0)
    with pytest.warns(PassiveUndeterminedWarning, match="If no variable is passive"):
        PassiveVariableRemover().fit(active.mean)


@pytest.mark.parametrize("seed", range(3))
def test_draws_warn_from_a_thousand_rows_on(seed):
    posterior, _ = make_posterior(["active", "passive", "passive"], 1000, random_state=seed)
    noise = np.random.default_rng(seed).standard_normal(posterior.mean.shape)
    draws = posterior.mean + np.sqrt(posterior.variance) * noise
    with pytest.warns(PassiveUndeterminedWarning, match="one is distributed as it"):
        PassiveVariableRemover().fit(draws)


@pytest.mark.parametrize("n_samples", [150, 5000])
@pytest.mark.parametrize("scaled", [False, True])
def test_codes_without_passive_variables_warn_if_they_were_standardised(n_samples, scaled):
    """Groups of rows, as in most real data: their codes are not normal."""
    rng = np.random.default_rng(0)
    groups = rng.choice([-1.0, 0.2, 1.2], size=(n_samples, 4)) + rng.normal(0, 0.3, (n_samples, 4))
    codes = groups * [0.9, 1.0, 1.05, 1.1]
    remover = PassiveVariableRemover()
    if scaled:
        with pytest.warns(PassiveUndeterminedWarning, match="same variance"):
            remover.fit(StandardScaler().fit_transform(codes))
    else:
        remover.fit(codes)
    assert remover.undetermined_
    assert "The types hold if these are mean codes." in remover.summary()


def test_a_small_healthy_pipeline_does_not_warn():
    X = load_wine().data
    pipe = make_pipeline(
        StandardScaler(), VAEEncoder(3, max_steps=300, random_state=0), PassiveVariableRemover()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", PassiveUndeterminedWarning)
        pipe.fit(X)
    assert pipe.transform(X).shape[1] == 3


@pytest.mark.parametrize("library", [pd, pl, None])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_transform_refuses_what_is_not_finite_in_every_container(library, bad, output, posterior):
    X = frame(posterior.mean, library=library) if library else posterior.mean
    rows = posterior.mean[:3].copy()
    rows[1, 1] = bad  # in a column that is dropped
    remover = PassiveVariableRemover().set_output(transform=output).fit(X)
    assert remover.transform(X).shape[1] == len(KEPT)
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        remover.transform(frame(rows, library=library) if library else rows)


def test_the_warning_points_at_the_line_that_fits(draws):
    for fit in (
        lambda: PassiveVariableRemover().fit(draws),
        lambda: PassiveVariableRemover().fit_transform(draws),
        lambda: PassiveVariableRemover().partial_fit(draws),
        lambda: make_pipeline(PassiveVariableRemover()).fit(draws),
    ):
        with pytest.warns(PassiveUndeterminedWarning) as caught:
            fit()
        assert {w.filename for w in caught} == {__file__}


# Nothing left, bad input, failures that leave nothing behind


@pytest.mark.parametrize(
    ("criterion", "statistic"),
    [("active_units", "variance_of_mean"), ("variance", "mean_of_variance"), ("kl", "kl")],
)
def test_nothing_left_to_keep_is_an_error(criterion, statistic):
    posterior, _ = make_posterior(["passive"] * 3, random_state=0)
    X = columns_for(criterion, posterior)
    message = (
        f"passive under criterion='{criterion}' with threshold=0.1, none .*: {statistic} is "
        r"between \S+ and \S+\. Lower the threshold \(0 keeps all\)"
    )
    with pytest.raises(ValueError, match=message):
        PassiveVariableRemover(criterion=criterion).fit(X)
    stream = PassiveVariableRemover(criterion=criterion).partial_fit(X)
    for use in (stream.get_support, stream.get_feature_names_out, lambda: stream.transform(X)):
        with pytest.raises(ValueError, match=message):
            use()


def test_one_row_is_named_as_the_reason():
    with pytest.raises(ValueError, match="only one sample"):
        PassiveVariableRemover().fit([[1.0, 2.0]])


def test_stream_may_start_with_a_single_row(posterior):
    remover = PassiveVariableRemover()
    remover.partial_fit(posterior.mean[:1]).partial_fit(posterior.mean[1:])
    assert remover.get_support(indices=True).tolist() == KEPT


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1.0, np.nan], [2.0, 3.0]]), "contains NaN"),
        (np.array([[1.0, np.inf], [2.0, 3.0]]), "contains infinity"),
        (np.array([["a", "b"], ["c", "d"]]), "Encode such columns first"),
        (pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]}), "Encode such columns first"),
        (pd.DataFrame({"a": pd.to_datetime(["2020-01-01", "2021-01-01"])}), "Encode such columns"),
        (np.array([[1j, 2.0], [3.0, 4.0]]), "Complex data not supported"),
        (np.array([1.0, 2.0]), "Reshape your data"),
        (np.empty((0, 2)), "0 sample"),
        (np.empty((2, 0)), "0 feature"),
        (sp.csr_array(np.eye(3)), "toarray"),
        (np.array([[1e200], [-1e200]]), "overflow"),
    ],
)
def test_bad_input_is_refused_with_the_fix(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PassiveVariableRemover().fit(X)


def test_other_columns_than_in_fit_are_refused(posterior):
    X = frame(posterior.mean)
    remover = PassiveVariableRemover().fit(X)
    swapped = X[X.columns[::-1]]
    for method in (remover.transform, remover.partial_fit):
        with pytest.raises(ValueError, match="feature names should match"):
            method(swapped)
    remover.fit(posterior.mean)
    for method in (remover.transform, remover.partial_fit):
        with pytest.raises(ValueError, match="is expecting 6 features"):
            method(posterior.mean[:, :3])
    with pytest.raises(ValueError, match="different shape"):
        remover.inverse_transform(posterior.mean)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"threshold": -1}, "'threshold' parameter"),
        ({"threshold": "0.1"}, "'threshold' parameter"),
        ({"criterion": "entropic"}, "'criterion' parameter"),
        ({"drop": "passive"}, "'drop' parameter"),
        ({"drop": ()}, r"must be \('passive',\) or \('passive', 'mixed'\), got \(\)"),
        ({"drop": ["mixed"]}, "got \\['mixed'\\]"),
        ({"drop": ["passive", "active"]}, "'drop' parameter"),
    ],
)
def test_bad_parameters_are_refused(parameters, message, posterior):
    with pytest.raises(ValueError, match=message):
        PassiveVariableRemover(**parameters).fit(posterior.mean)


def test_failed_fit_leaves_no_trace(posterior):
    passive = frame(posterior.mean[:, [1, 4]])
    remover = PassiveVariableRemover()
    before = vars(remover).copy()
    with pytest.raises(ValueError, match="none is left"):
        remover.fit(passive)
    assert vars(remover) == before
    with pytest.raises(NotFittedError):
        remover.transform(passive.to_numpy())

    remover.fit(posterior.mean)
    before = joblib.hash(remover)
    for failing in (remover.fit, remover.partial_fit):
        with pytest.raises(ValueError, match="NaN"):
            failing(np.full((3, 6), np.nan))
    with pytest.raises(ValueError, match="none is left"):
        remover.fit(passive)
    assert joblib.hash(remover) == before


def test_warning_turned_into_an_error_leaves_no_trace(draws):
    remover = PassiveVariableRemover()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PassiveUndeterminedWarning):
            remover.fit(draws)
    assert not hasattr(remover, "moments_")


# State


def test_report_exists_once_fitted(posterior):
    remover = PassiveVariableRemover()
    assert not hasattr(remover, "report_")
    remover.fit(posterior.mean)
    assert remover.report_["type"].tolist() == remover.variable_types_.tolist()
    assert remover.report_.index.tolist() == list(range(len(TYPES)))


def test_copies_are_alike_and_use_changes_nothing(posterior):
    remover = PassiveVariableRemover(criterion="variance").fit(np.hstack(posterior))
    before = joblib.hash(remover)
    remover.transform(np.hstack(posterior))
    remover.report_  # noqa: B018
    remover.get_feature_names_out()
    assert joblib.hash(remover) == before
    for same in (pickle.loads(pickle.dumps(remover)), copy.deepcopy(remover)):
        assert joblib.hash(same) == before
        np.testing.assert_array_equal(same.get_support(), remover.get_support())
    fresh = clone(remover)
    assert fresh.get_params() == remover.get_params()
    assert not hasattr(fresh, "moments_")


def test_codes_of_a_pruned_encoder_are_not_taken_for_variances(posterior):
    X = frame(posterior.mean[:, [0, 3]])
    X.columns = ["vaeencoder0", "vaeencoder3"]
    with pytest.raises(ValueError, match="numbered as codes without variances"):
        PassiveVariableRemover(criterion="variance").fit(X)
