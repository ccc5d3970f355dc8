"""Types across trainings: matching, and what is the seed and what is the data."""

import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import small_encoder
from joblib import parallel_config
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder
from passive_pruner.study import type_stability
from passive_pruner.study._stability import _Look, _match
from passive_pruner.vae import MLP


def linear_encoder(**params):
    """An encoder that trains as fast as can be."""
    return small_encoder(**{"architecture": MLP(()), "max_steps": 60, **params})


def look(mean, variance):
    reliability = mean.var(axis=0) / (mean.var(axis=0) + variance)
    kept = reliability > 0.1
    return _Look(np.where(kept, "active", "passive"), kept, mean, reliability)


@pytest.mark.parametrize("seed", range(5))
def test_permuted_and_mirrored_variables_are_matched(seed):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((500, 3))
    # Means of passive variables are tiny mixtures of those of the others.
    mean = np.hstack([signal, 1e-3 * signal @ rng.standard_normal((3, 3))])
    variance = np.array([0.1, 0.2, 0.3, 1, 1, 1])
    order, sign = rng.permutation(6), rng.choice([-1, 1], 6)
    kept, correlation = _match(look(mean, variance), look(mean[:, order] * sign, variance[order]))
    assert_array_equal(kept, [True] * 3 + [False] * 3)
    np.testing.assert_allclose(correlation[:3], 1)


def test_a_passive_variable_is_not_taken_for_an_active_one():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 500))
    reference = look(np.column_stack([a, b]), np.array([0.1, 0.1]))
    # The passive mean resembles `a` more than the noisy active one does, by correlation alone.
    fit = look(np.column_stack([1e-3 * a, 0.8 * a + 0.6 * b, b]), np.array([1, 0.1, 0.1]))
    kept, correlation = _match(reference, fit)
    assert kept.all()
    assert 0.7 < correlation[0] < 0.9


@pytest.mark.parametrize("n_reference", [2, 5])
def test_widths_may_differ(n_reference):
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((300, 5))
    reference = look(mean[:, :n_reference], np.full(n_reference, 0.1))
    kept, correlation = _match(reference, look(mean[:, :3], np.full(3, 0.1)))
    assert_array_equal(kept, np.arange(n_reference) < 3)
    assert_array_equal(correlation > 0.99, kept)


@pytest.fixture(scope="module")
def factors():
    """Three strong factors in 12 columns, (400, 12)."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3)) * [3, 2, 1.5] @ rng.standard_normal((3, 12))
    return StandardScaler().fit_transform(X + rng.standard_normal(X.shape))


def test_strong_factors_are_kept_by_all_trainings(factors):
    encoder = VAEEncoder(
        8, architecture=MLP((8,), linear_path=True), init="factor_analysis", max_steps=25
    )
    found = type_stability(encoder, factors, n_fits=6, random_state=0)
    variables, trainings = found.variables, found.trainings
    assert (variables["share_kept"] == 1).sum() == 3
    assert (variables["correlation"][variables["share_kept"] == 1] > 0.9).all()
    # Every kept variable of a training is the match of one of the reference.
    assert variables["share_kept"].sum() == pytest.approx(trainings["n_kept"].mean())
    assert_array_equal(trainings["half"], [0, 0, 1, 1, 2, 2])
    assert not hasattr(encoder, "weights_")


def test_shares_are_those_of_pairs(factors):
    found = type_stability(
        linear_encoder(n_components=6), factors, n_fits=6, threshold=0.6, random_state=1
    )
    # Of 0 and 1, the share of pairs that differ is twice the unbiased variance of a half.
    assert found.variables["changes_by_half"].sum() > 0
    assert 0 <= found.seed_share <= 1
    assert found.seed_share + found.data_share == 1
    ratio = found.variables["changes_by_seed"].sum() / found.variables["changes_by_half"].sum()
    assert found.seed_share == pytest.approx(min(ratio, 1))
    p = found.variables["share_kept"]
    # All 15 pairs: 3 on the same half, 12 on different ones.
    pairs = (3 * found.variables["changes_by_seed"] + 12 * found.variables["changes_by_half"]) / 15
    np.testing.assert_allclose(pairs, 2 * p * (1 - p) * 6 / 5, atol=1e-12)


def test_a_fitted_encoder_is_the_reference_and_stays_as_it_is(factors):
    encoder = linear_encoder().fit(factors)
    before = pickle.dumps(encoder)
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = type_stability(encoder, factors, n_fits=4, random_state=0)
    assert pickle.dumps(encoder) == before
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    types = PassiveVariableRemover().fit(encoder.transform(factors)).variable_types_
    assert_array_equal(found.variables["type"], types)


def test_the_result_depends_on_the_seed_and_not_on_the_jobs(factors):
    with parallel_config("threading"):  # which does not load torch again
        runs = [
            type_stability(linear_encoder(random_state=r), factors, 4, random_state=s, n_jobs=n)
            for r, s, n in [(0, 0, None), (7, 0, 2), (0, 1, None)]
        ]
    for one, other in zip(runs[0][:2], runs[1][:2], strict=True):
        assert_frame_equal(one, other)
    assert not runs[0].variables.equals(runs[2].variables)


def test_pipelines_are_trained_up_to_their_encoder(factors):
    X = pd.DataFrame(factors * 100 + 5, columns=[f"column {i}" for i in range(12)])
    pipe = make_pipeline(
        StandardScaler(), linear_encoder(), PassiveVariableRemover(), LogisticRegression()
    )
    found = type_stability(pipe, X, n_fits=4, random_state=0)
    assert len(found.variables) == 4
    assert not hasattr(pipe[0], "mean_")


@pytest.mark.parametrize("criterion", ["variance", "entropy", "explained_variance"])
def test_other_criteria(factors, criterion):
    found = type_stability(linear_encoder(), factors, n_fits=4, criterion=criterion, threshold=0.0)
    # A threshold of 0 keeps all, as in the remover.
    assert (found.variables["share_kept"] == 1).all()
    assert np.isnan(found.seed_share)
    assert "Of what differs" not in str(found)


def test_print_says_it_in_words(factors):
    encoder = linear_encoder(n_components=6)
    text = str(type_stability(encoder, factors, n_fits=4, threshold=0.6, random_state=1))
    assert text.startswith("6 latent variables, ")
    assert "in 4 trainings on halves of the rows" in text


def test_what_cannot_be_trained_is_named(factors):
    encoder = linear_encoder()
    for n_fits in (2, 5):
        with pytest.raises(ValueError, match=rf"even and at least 4, .* got {n_fits}"):
            type_stability(encoder, factors, n_fits=n_fits)
    with pytest.raises(ValueError, match=r"criterion must be one of .*, got 'size'"):
        type_stability(encoder, factors, criterion="size")
    for other in (PretrainedEncoder(), make_pipeline(StandardScaler()), StandardScaler()):
        with pytest.raises(TypeError, match=f"got {type(other).__name__}"):
            type_stability(other, factors)


def test_dask_collections_are_refused(factors):
    dask = pytest.importorskip("dask.array")
    with pytest.raises(ValueError, match=r"Pass rows in memory"):
        type_stability(linear_encoder(), dask.from_array(factors))


def test_the_threshold_is_that_of_the_criterion(factors):
    encoder = linear_encoder(whiten=False).fit(factors)
    remover = PassiveVariableRemover(criterion="explained_variance")
    types = remover.fit(encoder.transform(factors)).variable_types_
    options = {"n_fits": 4, "criterion": "explained_variance", "random_state": 0}
    assert_array_equal(type_stability(encoder, factors, **options).variables["type"], types)
    given = type_stability(encoder, factors, threshold=0.01, **options)
    assert_frame_equal(type_stability(encoder, factors, **options).variables, given.variables)


def test_no_seed_leaves_the_global_generator_alone(factors):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    type_stability(linear_encoder(), factors, n_fits=4)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_errors_say_what_to_pass_instead(factors):
    nested = make_pipeline(make_pipeline(StandardScaler(), linear_encoder()), LogisticRegression())
    with pytest.raises(TypeError, match=r"Pipeline of Pipeline, LogisticRegression\. Of nested"):
        type_stability(nested, factors)
    with pytest.raises(ValueError, match=r"X has 3 rows; .* at least 4"):
        type_stability(linear_encoder(), factors[:3])
