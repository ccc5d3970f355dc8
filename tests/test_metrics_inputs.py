"""What the metrics refuse: columns that say they hold something else, and numbers out of range."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from passive_pruner import metrics
from passive_pruner.datasets import make_posterior
from passive_pruner.regime import LatentMoments

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(60, 3))
FACTORS = RNG.integers(3, size=(60, 2))

OF_MEANS = {"active_units": metrics.active_units, "mean_entropy": metrics.mean_entropy}
OF_CODES = {
    "effective_rank": metrics.effective_rank,
    "mutual_information_score": metrics.mutual_information_score,
    "mutual_information_gap": lambda codes: metrics.mutual_information_gap(codes, FACTORS),
    "modularity": lambda codes: metrics.modularity(codes, FACTORS),
    "sap_score": lambda codes: metrics.sap_score(codes, FACTORS, random_state=0),
    "sap_score, test": lambda codes: metrics.sap_score(
        CODES, FACTORS, codes_test=codes, factors_test=FACTORS
    ),
    "dci": lambda codes: metrics.dci(codes, FACTORS, random_state=0),
}
WITH_FACTORS = {
    "mutual_information_gap": metrics.mutual_information_gap,
    "modularity": metrics.modularity,
    "sap_score": metrics.sap_score,
    "dci": metrics.dci,
}


def table(suffixes, library=pd):
    names = [f"enc__vaeencoder{j}{suffix}" for j, suffix in enumerate(suffixes)]
    return library.DataFrame(dict(zip(names, CODES.T, strict=True)))


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("metric", [*OF_MEANS, *OF_CODES])
def test_columns_of_variances_are_refused(metric, library):
    call = (OF_MEANS | OF_CODES)[metric]
    with pytest.raises(ValueError, match=r"vaeencoder2_variance'.*posterior variances.*add_var"):
        call(table(["", "", "_variance"], library))
    np.testing.assert_equal(call(table(["", "", ""], library)), call(CODES))


@pytest.mark.parametrize("metric", OF_MEANS)
def test_metrics_of_means_refuse_draws(metric):
    with pytest.raises(ValueError, match=r"vaeencoder1_sampled'.*draws.*output=.mean"):
        OF_MEANS[metric](table(["", "_sampled", ""]))


@pytest.mark.parametrize("metric", OF_CODES)
def test_metrics_of_any_codes_take_draws(metric):
    np.testing.assert_equal(OF_CODES[metric](table(["_sampled"] * 3)), OF_CODES[metric](CODES))


@pytest.mark.parametrize("metric", [*OF_MEANS, *OF_CODES])
def test_masked_entries_are_refused(metric):
    call = (OF_MEANS | OF_CODES)[metric]
    masked = np.ma.masked_array(CODES, mask=np.abs(CODES) > 2)
    with pytest.raises(ValueError, match=f"{masked.mask.sum()} masked entries"):
        call(masked)


@pytest.mark.parametrize(
    "metric", [metrics.gaussian_total_correlation, metrics.gaussian_wasserstein_correlation]
)
def test_covariances_are_real_and_not_masked(metric):
    with pytest.raises(ValueError, match="dtype complex128"):
        metric(np.eye(2) + 0j)
    with pytest.raises(ValueError, match="1 masked"):
        metric(np.ma.masked_array(np.eye(2), mask=[[0, 0], [0, 1]]))


@pytest.mark.parametrize("scale", [1e-200, 1e-100, 1e100, 1e200, 1e300])
def test_units_do_not_matter_however_large_or_small(scale):
    covariance = np.cov(CODES @ RNG.normal(size=(3, 3)), rowvar=False)
    total = metrics.gaussian_total_correlation
    assert total(scale * covariance) == pytest.approx(total(covariance))
    distance = metrics.gaussian_wasserstein_correlation
    assert distance(scale * covariance) == pytest.approx(scale * distance(covariance))
    assert distance(scale * covariance, True) == pytest.approx(distance(covariance, True))
    rank = metrics.effective_rank
    assert rank(scale * CODES) == pytest.approx(rank(CODES))
    assert metrics.active_units(scale * CODES) == (3 if scale > 1 else 0)


@pytest.mark.parametrize("metric", WITH_FACTORS)
@pytest.mark.parametrize("level", [1e30, 2.0**53, -(2.0**60)])
def test_levels_that_float64_cannot_tell_apart_are_refused(metric, level):
    factors = FACTORS.astype(float)
    factors[0, 0] = level
    with pytest.raises(ValueError, match=r"from 2\*\*53 on"):
        WITH_FACTORS[metric](CODES, factors)


@pytest.mark.parametrize("n_bins", [10**4, 10**9])
def test_more_bins_than_can_be_counted_are_refused(n_bins):
    for call in (
        lambda: metrics.mutual_information_score(CODES, n_bins),
        lambda: metrics.mutual_information_gap(CODES, FACTORS, n_bins),
        lambda: metrics.modularity(CODES, FACTORS, n_bins),
    ):
        with pytest.raises(ValueError, match=f"n_bins={n_bins} cuts 60 rows"):
            call()


def test_the_covariance_of_means_that_was_told_from_draws_is_named_as_the_reason():
    refused = 0
    for seed in range(20):
        posterior, _ = make_posterior(["active", "passive", "passive"], 300, random_state=seed)
        noise = np.random.default_rng(seed).standard_normal(posterior.mean.shape)
        draws = posterior.mean + np.sqrt(posterior.variance) * noise
        moments = LatentMoments.from_batch(draws, posterior.variance, sampled=True)
        try:
            metrics.gaussian_total_correlation(moments.mean_covariance)
        except ValueError as error:
            refused += 1
            assert "make the moments from mean codes, or leave the passive" in str(error)
    assert refused
