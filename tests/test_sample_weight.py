"""Weights of rows: worth as many equal rows, in any unit, all the way through a pipeline."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from conftest import small_encoder
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from strategies import generators

from passive_pruner import PassiveVariableRemover, VAEEncoder, _training_data
from passive_pruner._common._column_kinds import are_counts
from passive_pruner._common._rows import BlockedRows, Rows
from passive_pruner._common._sample_weight import drawn_by_weight
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import CRITERIA, LatentMoments, compare, standard_errors
from passive_pruner.training._batches import permuted_batches
from passive_pruner.training._covariance import weighted_sample
from passive_pruner.vae import MLP, Gaussian, NegativeBinomial
from passive_pruner.vae._likelihoods._gaussian import least_noise

WINE, CULTIVAR = load_wine(return_X_y=True)
# The first cultivar counts three times, the last not at all.
WEIGHTS = np.array([3.0, 1.0, 0.0])[CULTIVAR]
CODES = "active_units"


@pytest.fixture(scope="module")
def posterior():
    return make_posterior(["active", "passive", "mixed", "rare"], 300, random_state=0)[0]


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(1).integers(0, 4, 300).astype(float)


def repeated(X, weights):
    return np.repeat(X, weights.astype(int), axis=0)


def assert_same_model(a, b):
    assert a.weights_.keys() == b.weights_.keys()
    for name, value in a.weights_.items():
        assert_array_equal(value, b.weights_[name], err_msg=name)


# Rows that are drawn by their weights


@given(generators(), st.floats(0, 1, exclude_max=True), st.integers(1, 300))
def test_a_row_is_drawn_as_often_as_its_weight_says(rng, offset, n_drawn):
    weights = rng.choice([0, 1e-9, 1, 7], 50) * rng.random(50) + 1e-12
    rows = drawn_by_weight(weights, n_drawn, offset)
    expected = n_drawn * weights / weights.sum()
    counts = np.bincount(rows, minlength=50)
    assert len(rows) == n_drawn
    assert (np.abs(counts - expected) < 1 + 1e-9).all()


def test_draws_have_the_expectation_of_the_weights():
    weights = np.array([0.1, 2.5, 0.0, 1.0, 0.4])
    offsets = (np.arange(1000) + 0.5) / 1000
    counts = sum(np.bincount(drawn_by_weight(weights, 2.7, u), minlength=5) for u in offsets)
    assert_allclose(counts / 1000, 2.7 * weights / weights.sum(), atol=2e-3)


def test_batches_of_blocks_have_rows_in_proportion_to_weights():
    X = np.arange(900, dtype=np.float32)[:, None]
    weights = np.where(X[:, 0] < 300, 2.0, np.where(X[:, 0] < 600, 0.25, 1.0))
    table = Rows(X, weights=weights)
    first, *others = (table.part(slice(k, k + 300)) for k in (0, 300, 600))
    others_weight = sum(o.weights.sum() for o in others), 600
    blocks = BlockedRows(first, [lambda o=o: o for o in others], others_weight)
    batches = permuted_batches(blocks, np.arange(300), 50, np.random.RandomState(0))
    seen = np.concatenate([next(batches).numpy()[:, 0] for _ in range(400)])
    share = np.bincount(seen.astype(int) // 300) / len(seen)
    assert_allclose(share, [600 / 975, 75 / 975, 300 / 975], atol=0.015)


def test_a_table_of_drawn_rows_stands_for_the_weighted_one():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5000, 1))
    weights = np.exp(x[:, 0])
    rows = Rows(x, weights=weights).draw(1000, rng)
    assert len(rows) < 1000 == rows.weights.sum()
    assert np.average(rows[:][:, 0], weights=rows.weights) == pytest.approx(
        np.average(x[:, 0], weights=weights), abs=0.05
    )


# Moments


def test_weights_of_moments_are_repetitions_in_any_batches(posterior, weights):
    whole = LatentMoments.from_batch(*posterior, sample_weight=weights)
    first, second = np.split(np.arange(300), [80])
    merged = LatentMoments.from_batch(*(a[first] for a in posterior), sample_weight=weights[first])
    merged = merged.merge(
        LatentMoments.from_batch(*(a[second] for a in posterior), sample_weight=weights[second])
    )
    of_repeated = LatentMoments.from_batch(*(repeated(a, weights) for a in posterior))
    for moments in (whole, merged):
        assert moments.n_samples == of_repeated.n_samples
        assert moments.n_effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
        for name in ("code_mean", "mean_covariance", "kl", "active_share", "variance_of_variance"):
            assert_allclose(getattr(moments, name), getattr(of_repeated, name), atol=1e-13)
    for name, error in standard_errors(whole).items():
        assert_allclose(standard_errors(merged)[name], error, rtol=1e-9, err_msg=name)


def test_ones_say_what_no_weights_say(posterior):
    ones = LatentMoments.from_batch(*posterior, sample_weight=np.ones(300))
    none = LatentMoments.from_batch(*posterior)
    for name, error in standard_errors(none).items():
        assert_allclose(standard_errors(ones)[name], error, rtol=1e-9)
    a, b = compare(none, none.merge(none)), compare(ones, ones.merge(ones))
    pd.testing.assert_frame_equal(a, b, rtol=1e-9, atol=1e-12)
    for rule in ("active_units", "variance", "kl"):
        q_values = CRITERIA[rule].q_values(none, 0.1)
        assert_allclose(CRITERIA[rule].q_values(ones, 0.1), q_values, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-200, 1e-3, 1e200])
def test_standard_errors_do_not_depend_on_the_unit(posterior, weights, unit):
    a = LatentMoments.from_batch(*posterior, sample_weight=weights)
    b = LatentMoments.from_batch(*posterior, sample_weight=unit * weights)
    assert b.merge(b).n_effective == pytest.approx(2 * a.n_effective)
    for name, error in standard_errors(a).items():
        assert_allclose(standard_errors(b)[name], error, rtol=1e-6)


def test_standard_errors_are_the_spread_over_samples():
    """Rows with large codes weigh more, which the number of rows alone does not tell."""
    names = ["variance_of_mean", "mean_of_variance", "variance_of_variance", "kl"]
    estimates, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((200, 1)) * rng.choice([0.3, 2], (200, 1))
        weights = np.where(np.abs(x[:, 0]) > 1, 5.0, 1.0) * rng.uniform(0.5, 1.5, 200)
        moments = LatentMoments.from_batch(x, 0.2 + np.abs(x) / 5, sample_weight=weights)
        estimates.append([getattr(moments, name)[0] for name in names])
        errors.append([standard_errors(moments)[name][0] for name in names])
    spread = np.std(estimates, axis=0)
    assert_allclose(np.sqrt(np.mean(np.square(errors), axis=0)), spread, rtol=0.15)


def test_few_rows_of_large_weight_show_nothing():
    """Two thousand rows in which three weigh nearly everything are worth three."""
    mean = 1e-3 * np.random.default_rng(0).standard_normal((2000, 2))
    weights = np.where(np.arange(2000) < 3, 1e6, 1.0)
    alike = PassiveVariableRemover(alpha=0.05, threshold=0.1)
    with pytest.raises(ValueError, match="Every latent variable is passive"):
        alike.fit(mean)
    alike.fit(mean, sample_weight=weights)
    assert list(alike.variable_types_) == ["undecided", "undecided"]
    assert alike.moments_.n_effective == pytest.approx(3, abs=0.1)


def test_rows_of_weight_0_are_checked_and_not_there(posterior):
    mean = np.vstack([posterior.mean, np.full((1, 4), 1e200)])
    weights = np.append(np.ones(300), 0.0)
    moments = LatentMoments.from_batch(mean, sample_weight=weights)
    assert_allclose(moments.mean_covariance, np.cov(posterior.mean.T, ddof=0), atol=1e-6)
    mean[-1] = np.nan
    with pytest.raises(ValueError, match="mean holds NaN"):
        LatentMoments.from_batch(mean, sample_weight=weights)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(300), "Negative values"),
        (np.zeros(300), "non-zero"),
        (np.ones(299), "sample_weight"),
        (np.ones((300, 2)), "1D"),
        (np.full(300, np.nan), "NaN"),
    ],
)
def test_weights_that_are_none_are_refused(posterior, weights, message):
    lazy = da.from_array(posterior.mean, chunks=(100, -1))
    estimators = PassiveVariableRemover(), small_encoder(max_steps=1)
    for estimator in estimators:
        for X in (posterior.mean, lazy):
            for method in (estimator.fit, estimator.partial_fit):
                with pytest.raises(ValueError, match=message):
                    method(X, sample_weight=weights)
        assert not hasattr(estimator, "n_features_in_")
    with pytest.raises(ValueError, match=message):
        LatentMoments.from_batch(posterior.mean, sample_weight=weights)


# Remover


@pytest.mark.parametrize("criterion", ["active_units", "variance", "kl"])
def test_a_remover_with_weights_is_one_of_repeated_rows(posterior, weights, criterion):
    X = posterior.mean if criterion == CODES else np.hstack(posterior)
    expected = PassiveVariableRemover(criterion=criterion).fit(repeated(X, weights))
    lazy, lazy_weights = da.from_array(X, chunks=(70, 2)), da.from_array(weights, chunks=40)
    frame = dd.from_pandas(pd.DataFrame(X).assign(weight=weights), npartitions=3)
    once = PassiveVariableRemover(criterion=criterion)
    fits = [
        once.fit(X, sample_weight=weights),
        PassiveVariableRemover(criterion=criterion).fit(lazy, sample_weight=lazy_weights),
        PassiveVariableRemover(criterion=criterion).fit(lazy, sample_weight=weights),
        PassiveVariableRemover(criterion=criterion).fit(
            frame.drop(columns="weight"), sample_weight=frame["weight"]
        ),
        PassiveVariableRemover(criterion=criterion)
        .partial_fit(X[:100], sample_weight=weights[:100])
        .partial_fit(repeated(X[100:200], weights[100:200]))
        .partial_fit(X[200:], sample_weight=weights[200:].tolist()),
    ]
    for remover in fits:
        assert list(remover.variable_types_) == list(expected.variable_types_)
        assert_allclose(
            remover.moments_.mean_covariance, expected.moments_.mean_covariance, atol=1e-12
        )
        assert remover.moments_.n_samples == weights.sum()
    assert "rows that weigh" in once.summary()


def test_what_cannot_take_weights_says_so(posterior, weights, monkeypatch):
    remover = PassiveVariableRemover(criterion="entropy")
    with pytest.raises(ValueError, match="leave out sample_weight"):
        remover.fit(posterior.mean, sample_weight=weights)

    frame = dd.from_pandas(pd.DataFrame(posterior.mean), npartitions=2)
    with pytest.raises(ValueError, match="sizes of the blocks of X are not known"):
        PassiveVariableRemover().fit(frame, sample_weight=weights)
    with pytest.raises(ValueError, match="sample_weight has 3 blocks of rows, but X has 2"):
        PassiveVariableRemover().fit(frame, sample_weight=da.from_array(weights, chunks=100))
    lazy = da.from_array(posterior.mean, chunks=(100, -1))
    with pytest.raises(ValueError, match="sample_weight has 299 rows, but X has 300"):
        PassiveVariableRemover().fit(lazy, sample_weight=da.ones(299))

    class Unweighted(Gaussian):
        def build(self, X, *, allow_missing=False):
            return super().build(X, allow_missing=allow_missing)

    with pytest.raises(ValueError, match="takes no sample_weight: its build"):
        small_encoder(likelihood=Unweighted(), max_steps=1).fit(WINE, sample_weight=WEIGHTS)
    monkeypatch.setattr(_training_data, "n_processes", lambda: 2)
    for method in (small_encoder().fit, small_encoder().partial_fit):
        with pytest.raises(ValueError, match="sample_weight is for training in one process"):
            method(WINE, sample_weight=WEIGHTS)


# Encoder


def test_rows_of_weight_0_leave_the_encoder_as_it_is_without_them():
    there = WEIGHTS > 0
    X = np.where(there[:, None], WINE, 1e6 * WINE)
    expected = small_encoder(max_steps=50).fit(WINE[there])
    for weight in (1.0, 0.3):
        encoder = small_encoder(max_steps=50).fit(X, sample_weight=weight * there)
        assert_same_model(encoder, expected)
        assert_array_equal(encoder.explained_variance_, expected.explained_variance_)
    X[~there] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        small_encoder(max_steps=50).fit(X, sample_weight=WEIGHTS)
    with pytest.raises(ValueError, match="rows of weight 0 do not count"):
        small_encoder().fit(WINE, sample_weight=np.arange(178) == 0)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_the_unit_of_the_weights_does_not_matter_in_fit(unit):
    a, b = (small_encoder(max_steps=30).fit(WINE, sample_weight=u * WEIGHTS) for u in (1.0, unit))
    for name, value in a.weights_.items():
        assert_allclose(b.weights_[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("allow_missing", [False, True])
def test_what_is_estimated_before_training_is_that_of_repeated_rows(allow_missing):
    """One step of no size leaves the start, a factor analysis of all rows."""
    X = WINE.copy()
    if allow_missing:
        X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    params = {"max_steps": 1, "learning_rate": 1e-12, "early_stopping": False}
    params |= {"init": "factor_analysis", "architecture": MLP((4,), linear_path=True)}
    encoders = [
        small_encoder(**params, n_components=2, allow_missing=allow_missing).fit(rows, **fit_params)
        for rows, fit_params in (
            (X, {"sample_weight": WEIGHTS}),
            (repeated(X, WEIGHTS), {}),
            (X, {}),
        )
    ]
    for name in ("likelihood.location", "likelihood.scale", "likelihood.log_ratio"):
        weighted, of_repeated, unweighted = (e.weights_[name] for e in encoders)
        assert_allclose(weighted, of_repeated, rtol=1e-4, err_msg=name)
        assert not np.allclose(weighted, unweighted, rtol=1e-2)
    codes = [e.transform(X) for e in encoders]
    assert_allclose(codes[0], codes[1], atol=2e-3)
    explained = [e.explained_variance_ratio_ for e in encoders]
    assert_allclose(explained[0], explained[1], rtol=0.02)
    assert not np.allclose(explained[0], explained[2], rtol=0.02)


def test_start_values_of_counts_are_those_of_repeated_rows():
    rng = np.random.default_rng(0)
    X, weights = rng.negative_binomial(2, 0.3, (200, 3)), rng.integers(1, 5, 200).astype(float)
    for exposure in (None, "row_sum"):
        weighted = NegativeBinomial(exposure).build(X, sample_weight=weights).state_dict()
        of_repeated = NegativeBinomial(exposure).build(repeated(X, weights)).state_dict()
        for name, value in weighted.items():
            assert_allclose(value, of_repeated[name], rtol=1e-5)


def test_the_noise_floor_counts_rows_and_not_weights():
    X = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, np.nan], [5.0, 4.0]])
    assert_allclose(least_noise(X, np.ones(4)), least_noise(X))
    assert_allclose(least_noise(X, np.full(4, 9.0)), least_noise(X))
    assert_array_equal(least_noise(X[:, 1:], np.array([9.0, 1, 1, 1])), [0.0])


def test_a_column_has_the_likelihood_of_the_rows_that_count():
    rng = np.random.default_rng(0)
    counts, scores = rng.negative_binomial(1, 0.2, 300), rng.integers(0, 11, 300)
    values, is_count = np.append(counts, scores).astype(float), np.arange(600) < 300
    assert are_counts(values, np.where(is_count, 1.0, 1e-6))
    assert not are_counts(values, np.where(is_count, 1e-6, 1.0))


@pytest.mark.parametrize("library", [pd, pl])
def test_categories_of_rows_without_weight_are_not_known(library):
    rng = np.random.default_rng(0)
    kind = np.array(["a", "b", "c", "d"])[rng.integers(0, 4, 80)]
    frame = library.DataFrame({"kind": kind, "x": rng.standard_normal(80)})
    weights = np.where(kind == "d", 0.0, rng.uniform(0.5, 2, 80))
    encoder = small_encoder(max_steps=5).fit(frame, sample_weight=weights)
    assert list(encoder.columns_.columns[0].categories) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="unknown categories"):
        encoder.transform(frame)


def test_training_with_weights_agrees_with_repeated_rows_within_chance():
    """One cluster counts five times: over seeds both models are as good on new rows."""

    def clusters(seed, n):
        rng = np.random.default_rng(seed)
        kind = rng.integers(0, 3, n)
        loadings = np.random.default_rng(7).standard_normal((3, 2, 6))
        codes = rng.standard_normal((n, 2))
        X = 3 * np.eye(3, 6)[kind] + np.einsum("nk,nkj->nj", codes, loadings[kind])
        return X + 0.5 * rng.standard_normal((n, 6)), np.where(kind == 0, 5.0, 1.0)

    differences, gains = [], []
    for seed in range(5):
        (X, weights), (T, of_test) = clusters(seed, 500), clusters(100 + seed, 1000)
        weighted, of_repeated, unweighted = (
            small_encoder(random_state=seed, max_steps=150).fit(rows, **fit_params)
            for rows, fit_params in (
                (X, {"sample_weight": weights}),
                (repeated(X, weights), {}),
                (X, {}),
            )
        )
        score = weighted.score(T, sample_weight=of_test)
        differences.append(score - of_repeated.score(T, sample_weight=of_test))
        gains.append(score - unweighted.score(T, sample_weight=of_test))
    assert np.mean(gains) > 0.3
    assert np.abs(np.mean(differences)) < 0.2


def test_partial_fit_reads_a_row_as_often_as_its_weight_says():
    once = small_encoder().partial_fit(WINE, sample_weight=WEIGHTS)
    assert once.n_steps_ == np.ceil(WEIGHTS.sum() / 64)
    assert_same_model(
        small_encoder().partial_fit(WINE), small_encoder().partial_fit(WINE, None, np.ones(178))
    )
    lazy = da.from_array(WINE, chunks=(60, -1))
    twice = small_encoder().partial_fit(lazy, sample_weight=da.from_array(WEIGHTS, chunks=60))
    assert twice.n_steps_ == 3 + 1 + 1
    tiny = small_encoder().partial_fit(WINE, sample_weight=1e-9 * WEIGHTS)
    assert tiny.n_steps_ == 1


def test_blocks_are_trained_on_in_proportion_to_their_weights():
    order = np.random.default_rng(0).permutation(178)
    X, weights = WINE[order], WEIGHTS[order]
    lazy = da.from_array(X, chunks=(90, -1))
    by_array = small_encoder().fit(lazy, sample_weight=da.from_array(weights, chunks=50))
    assert_same_model(by_array, small_encoder().fit(lazy, sample_weight=weights))
    unweighted = small_encoder().fit(lazy)
    score = by_array.score(X, sample_weight=weights)
    assert score > unweighted.score(X, sample_weight=weights)


def test_a_sample_of_many_rows_for_missing_cells_is_drawn_by_weight():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9000, 1))
    table = Rows(x, weights=np.exp(x[:, 0]))
    drawn, weights = weighted_sample(table, np.arange(9000))
    assert weights.sum() == 4096
    mean = np.average(x[:, 0], weights=table.weights)
    assert np.average(drawn[:, 0], weights=weights) == pytest.approx(mean, abs=0.02)


@pytest.mark.parametrize("n_components", [3, "auto"])
def test_fit_with_weights_takes_everything_that_fit_takes(n_components):
    encoder = small_encoder(n_components=n_components, max_steps=60)
    encoder.fit(WINE, sample_weight=pd.Series(WEIGHTS, index=np.arange(178)[::-1]))
    again = small_encoder(n_components=n_components, max_steps=60).fit(WINE, None, WEIGHTS.tolist())
    assert_same_model(encoder, again)
    continued = encoder.set_params(warm_start=True).fit(WINE, sample_weight=WEIGHTS)
    assert continued.n_steps_ > again.n_steps_


# Routing


def test_weights_are_routed_through_pipelines_and_searches():
    weights = WEIGHTS + 0.5
    encoder = small_encoder(max_steps=30)
    alone = VAEEncoder(**encoder.get_params(deep=False)).fit(WINE, sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(
            encoder.set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
            PassiveVariableRemover(threshold=0).set_fit_request(sample_weight=True),
            LogisticRegression()
            .set_fit_request(sample_weight=True)
            .set_score_request(sample_weight=True),
        )
        pipe.fit(WINE, CULTIVAR, sample_weight=weights)
        assert_same_model(pipe[0], alone)
        assert pipe[1].moments_.n_samples == weights.sum()
        grid = {"passivevariableremover__threshold": [0, 0.1]}
        # Before scikit-learn 1.8 the score of a pipeline itself asks for no weights.
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        search = GridSearchCV(pipe, grid, cv=2, scoring=scorer).fit(
            WINE, CULTIVAR, sample_weight=weights
        )
        assert search.best_estimator_[1].moments_.n_samples == weights.sum()
        of_encoder = GridSearchCV(encoder, {"n_components": [1, 3]}, cv=2)
        of_encoder.fit(WINE, sample_weight=weights)
        assert np.isfinite(of_encoder.best_score_)
    by_name = make_pipeline(encoder, PassiveVariableRemover(threshold=0))
    by_name.fit(WINE, vaeencoder__sample_weight=weights)
    assert_same_model(by_name[0], alone)
    elbo = alone.score_samples(WINE)
    assert alone.score(WINE, sample_weight=weights) == np.average(elbo, weights=weights)


def test_weights_at_the_ends_of_float64(posterior):
    X, weights = posterior.mean, np.where(np.arange(300) % 3, 1.0, 0.0)
    encoder = small_encoder(max_steps=5).fit(X)
    for unit in (1e-320, 1e300):
        assert encoder.score(X, sample_weight=unit * weights) == pytest.approx(
            encoder.score(X, sample_weight=weights)
        )
    rows = drawn_by_weight(np.array([0.0, 5e-324, 5e-324]), 4, 0.5)
    assert rows.tolist() == [1, 1, 2, 2]
    for method in (encoder.fit, encoder.score, PassiveVariableRemover().fit):
        with pytest.raises(ValueError, match=r"sum of sample_weight.* divide the weights"):
            method(X, sample_weight=np.full(300, 1e307))
        with pytest.raises(ValueError, match="100 masked entries"):
            method(X, sample_weight=np.ma.masked_equal(weights, 0))


def test_partial_fit_refuses_weights_that_are_no_number_of_times(posterior):
    with pytest.raises(ValueError, match=r"2e\+06 on average.*1000 is the limit"):
        small_encoder().partial_fit(posterior.mean, sample_weight=np.full(300, 2e6))
