"""Properties of moments, criteria and the remover, over drawn posteriors."""

from functools import reduce

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import cuts, generators, posteriors

from passive_pruner import PassiveVariableRemover
from passive_pruner._common._codes import code_names
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import CRITERIA, LatentMoments, report
from passive_pruner.regime._criteria import is_kept

OF_MOMENTS = ("active_units", "variance", "kl")
KINDS = st.lists(st.sampled_from(["active", "mixed", "rare", "passive"]), min_size=1, max_size=6)


def statistics(moments):
    """What merging and the order of rows may change by rounding alone."""
    return {
        "code_mean": moments.code_mean,
        "mean_covariance": moments.mean_covariance,
        "sampled_covariance": moments.sampled_covariance,
        "mean_of_variance": moments.mean_of_variance,
        "variance_of_variance": moments.variance_of_variance,
        "active_share": moments.active_share,
        "kl": moments.kl,
    }


def assert_alike(a, b):
    for name, value in statistics(a).items():
        other = statistics(b)[name]
        scale = np.nan_to_num(np.abs(value)).max() + np.nan_to_num(np.abs(other)).max()
        np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-12 * scale, err_msg=name)


@given(posteriors())
def test_moments_are_those_of_long_doubles(posterior):
    mean, variance = posterior
    moments = LatentMoments.from_batch(mean, variance)
    exact, of_variance = mean.astype(np.longdouble), variance.astype(np.longdouble)
    centred = exact - exact.mean(axis=0)
    covariance = (centred.T @ centred / len(mean)).astype(np.float64)
    deviation = np.sqrt(covariance.diagonal())
    error = np.abs(moments.mean_covariance - covariance)
    # An offset of 1e9 leaves float64 numbers that are whole multiples of 1e-7.
    assert (error <= 1e-12 * np.outer(deviation, deviation) + 1e-28).all()
    np.testing.assert_allclose(moments.code_mean, exact.mean(axis=0).astype(float), rtol=1e-14)
    np.testing.assert_allclose(
        moments.mean_of_variance, of_variance.mean(axis=0).astype(float), rtol=1e-13
    )
    np.testing.assert_allclose(
        moments.variance_of_variance,
        of_variance.var(axis=0).astype(float),
        rtol=1e-10,
        atol=1e-13 * variance.max() ** 2,
    )
    constant = np.ptp(mean, axis=0) == 0
    assert (moments.variance_of_mean[constant] == 0).all()


@given(posteriors(), st.data())
def test_batches_merge_to_the_whole_in_any_order_and_tree(posterior, data):
    mean, variance = posterior
    parts = data.draw(cuts(len(mean)))
    batches = [LatentMoments.from_batch(mean[p], variance[p]) for p in parts]
    shuffled = data.draw(st.permutations(batches))
    whole = LatentMoments.from_batch(mean, variance)
    assert_alike(reduce(LatentMoments.merge, shuffled), whole)

    def tree(some):
        half = len(some) // 2
        return tree(some[:half]).merge(tree(some[half:])) if half else some[0]

    assert_alike(tree(batches), whole)


@given(posteriors(), generators())
def test_columns_are_told_apart_and_rows_are_not(posterior, rng):
    mean, variance = posterior
    columns, rows = rng.permutation(mean.shape[1]), rng.permutation(len(mean))
    moments = LatentMoments.from_batch(mean, variance)
    assert_alike(LatentMoments.from_batch(mean[rows], variance[rows]), moments)
    moved = LatentMoments.from_batch(mean[:, columns], variance[:, columns])
    for name in ("variance_of_mean", "mean_of_variance", "kl"):
        np.testing.assert_allclose(
            getattr(moved, name), getattr(moments, name)[columns], rtol=1e-12, atol=1e-300
        )


@given(posteriors())
def test_what_moments_can_be(posterior):
    moments = LatentMoments.from_batch(*posterior)
    assert (moments.variance_of_mean >= 0).all()
    assert (moments.variance_of_variance >= 0).all()
    assert (moments.kl >= 0).all()
    assert ((moments.reliability >= 0) & (moments.reliability <= 1)).all()
    for correlation in (moments.mean_correlation, moments.sampled_correlation):
        assert (np.abs(correlation) <= 1).all()
        np.testing.assert_array_equal(correlation, correlation.T)
        assert (correlation.diagonal() == 1).all()
    apart = ~np.eye(moments.n_components, dtype=bool)
    np.testing.assert_array_equal(moments.mean_covariance[apart], moments.sampled_covariance[apart])


@pytest.mark.parametrize("criterion", OF_MOMENTS)
@given(kinds=KINDS, thresholds=st.lists(st.floats(0, 2), min_size=2, max_size=2), rng=generators())
def test_a_larger_threshold_keeps_fewer(criterion, kinds, thresholds, rng):
    posterior, _ = make_posterior(kinds, n_samples=50, random_state=int(rng.integers(2**31)))
    moments = LatentMoments.from_batch(*posterior)
    low, high = sorted(thresholds)
    kept = [is_kept(CRITERIA[criterion](moments, t), t, ("passive",)) for t in (low, high)]
    if criterion != "variance" or high <= 0.5:  # there a mixed variable may become active
        assert not (kept[1] & ~kept[0]).any()
    assert is_kept(CRITERIA[criterion](moments, 0.0), 0.0, ("passive",)).all()


@pytest.mark.parametrize("criterion", OF_MOMENTS)
@given(kinds=KINDS, rng=generators(), data=st.data())
def test_the_remover_learns_the_same_from_batches(criterion, kinds, rng, data):
    posterior, _ = make_posterior(kinds, n_samples=120, random_state=int(rng.integers(2**31)))
    codes = posterior.mean if criterion == "active_units" else np.hstack(posterior)
    try:
        whole = PassiveVariableRemover(criterion=criterion).fit(codes)
    except ValueError as error:
        assert "none is left to keep" in str(error)
        return
    streamed = PassiveVariableRemover(criterion=criterion)
    for part in data.draw(cuts(len(codes))):
        streamed.partial_fit(codes[part])
    assert_alike(streamed.moments_, whole.moments_)
    np.testing.assert_array_equal(streamed.variable_types_, whole.variable_types_)
    np.testing.assert_array_equal(streamed.transform(codes), whole.transform(codes))


@given(
    kinds=KINDS,
    sampled=st.booleans(),
    add_variance=st.booleans(),
    prefix=st.sampled_from(["vaeencoder", "enc__vaeencoder", "a_variance_of_", ""]),
    rng=generators(),
)
def test_names_tell_every_layout(kinds, sampled, add_variance, prefix, rng):
    posterior, _ = make_posterior(kinds, n_samples=60, random_state=int(rng.integers(2**31)))
    codes = posterior.mean
    if sampled:
        codes = codes + np.sqrt(posterior.variance) * rng.standard_normal(codes.shape)
    values = np.hstack([codes, posterior.variance]) if add_variance else codes
    names = code_names(prefix, range(len(kinds)), sampled=sampled, add_variance=add_variance)
    table = pd.DataFrame(values, columns=names)
    fits = {
        "active_units": not add_variance and not sampled,
        "variance": add_variance,
        "kl": add_variance,
    }
    for criterion, is_right in fits.items():
        remover = PassiveVariableRemover(criterion=criterion, threshold=0)
        if is_right:
            kept = remover.fit_transform(table)
            np.testing.assert_array_equal(kept, values[:, : len(kinds)])
            assert remover.moments_.sampled == sampled
            assert remover.moments_.has_variance == add_variance
        else:
            with pytest.raises(ValueError, match=r"variance|draws|sampled"):
                remover.fit(table)


@given(kinds=KINDS, rng=generators(), threshold=st.floats(0, 1))
def test_transform_and_its_inverse(kinds, rng, threshold):
    codes = make_posterior(kinds, n_samples=60, random_state=int(rng.integers(2**31)))[0].mean
    remover = PassiveVariableRemover(threshold=threshold).partial_fit(codes)
    mask = is_kept(remover.variable_types_, threshold, ("passive",))
    assume(mask.any())
    kept = remover.transform(codes)
    np.testing.assert_array_equal(kept, codes[:, mask])
    back = remover.inverse_transform(kept)
    np.testing.assert_array_equal(back[:, mask], codes[:, mask])
    assert (back[:, ~mask] == 0).all()


@given(posteriors(min_rows=8))
def test_reports_are_finite_where_variances_are_known(posterior):
    moments = LatentMoments.from_batch(*posterior)
    table = report(moments, ["active"] * moments.n_components)
    known = table.drop(
        columns=[c for c in table if c in ("type", "active_share") or c.startswith("kl")]
    )
    assert np.isfinite(known.to_numpy()).all()


@given(posteriors(max_rows=60), generators(), st.data())
def test_moments_with_weights_are_those_of_repeated_rows(posterior, rng, data):
    mean, variance = posterior
    weights = rng.integers(0, 5, len(mean))
    weights[0] += 1
    parts = data.draw(cuts(len(mean)))
    batches = [
        LatentMoments.from_batch(mean[part], variance[part], sample_weight=weights[part])
        for part in parts
        if weights[part].any()
    ]
    repeated = (np.repeat(a, weights, axis=0) for a in posterior)
    merged, of_repeated = reduce(LatentMoments.merge, batches), LatentMoments.from_batch(*repeated)
    assert merged.n_samples == of_repeated.n_samples
    assert_alike(merged, of_repeated)
