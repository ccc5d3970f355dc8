"""How much statistics of a posterior vary from sample to sample: their standard errors."""

import numpy as np

from passive_pruner.regime._moments import LatentMoments, check_moments
from passive_pruner.regime._row_moments import MAX_ROWS, about

# Of two rows the squares around the mean are equal, whatever the spread of others.
MIN_ROWS = 8


def standard_errors(moments: LatentMoments) -> dict[str, np.ndarray]:
    """Compute standard errors of the statistics that determine types, for independent rows.

    Parameters
    ----------
    moments : LatentMoments
        Moments of the posterior.

    Returns
    -------
    errors : dict of str to ndarray of shape (n_components,)
        Standard errors of the properties "variance_of_mean", "mean_of_variance",
        "variance_of_variance", "kl" and "explained_variance_ratio" of the moments. NaN if variances
        are needed but unknown, and for fewer than 8 rows, which are too few to estimate the spread;
        50 rows or more are recommended.

    Notes
    -----
    The standard error of a mean over n rows is the standard deviation over rows (ddof=1), divided
    by sqrt(n). A variance is, up to terms of order 1/n, the mean of (x - E[x])^2, which has the
    variance m4 - m2^2 with the central moments m2 and m4 of x [1]_. No distribution is assumed: for
    rare variables, whose means have heavy tails, the standard error is several times that of normal
    means, sqrt(2 / n) m2. Rows are assumed to be independent: for autocorrelated rows, such as
    those of a time series, the standard errors are too small.

    With draws z the variance of the mean is Var(z) - E[s2], and (z - E[z])^2 and s2 are assumed to
    be uncorrelated. This does not hold exactly for trained encoders; in the cases that were tried,
    the standard error was within a tenth of the correct one.

    The standard error of an explained variance ratio follows from the delta method. The correlation
    between the variances of two codes is assumed to be the squared correlation of the codes, as for
    normal codes.

    With weights w, the standard error of a mean m is sqrt(sum w^2 (x - m)^2) / sum w, times sqrt(n
    / (n - 1)) with the effective number of rows n. This is the standard error over rows that are
    drawn together with their weights. It does not depend on the unit of the weights, and a weight
    of 2 does not count as two independent rows.

    Standard errors are estimated from at most 4096 randomly drawn rows of every batch, weighted by
    w^2.

    References
    ----------
    .. [1] M. Kendall and A. Stuart, "The Advanced Theory of Statistics", volume 1,
       chapter 10, standard errors of moments.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, standard_errors
    >>> posterior, _ = make_posterior(["active", "passive"], random_state=0)
    >>> errors = standard_errors(LatentMoments.from_batch(*posterior))
    >>> errors["variance_of_mean"].round(4)
    array([0.0425, 0.0001])
    """
    check_moments(moments)
    of_square, variance2, of_square_of_variance, kl2 = _row_variances(moments)
    if moments.sampled:
        of_square = of_square + variance2
    variances = {
        "variance_of_mean": of_square,
        "mean_of_variance": variance2,
        "variance_of_variance": of_square_of_variance,
        "kl": kl2,
        "explained_variance_ratio": _of_share(moments, of_square),
    }
    n_samples = moments.n_effective if moments.n_effective >= MIN_ROWS else np.nan
    # Rounding must not turn the spread of a constant negative.
    return {
        name: np.sqrt(np.maximum(value, 0) / (n_samples - 1)) for name, value in variances.items()
    }


def _row_variances(moments):
    """Variances over rows of (x - E[x])^2, s2, (s2 - E[s2])^2 and the divergence."""
    of_codes, of_variances, of_divergence = moments.row_moments
    if moments.effective_samples is None:
        (_, code2, _, code4), (_, variance2, _, variance4) = of_codes, of_variances
        return code4 - code2**2, variance2, variance4 - variance2**2, of_divergence[1]
    # Rows count by w^2 there, and their mean is not that of the moments.
    code2, code4 = about(of_codes, moments.code_mean)
    variance = moments.code_scatter.diagonal() / moments.n_samples
    variance2, variance4 = about(of_variances, moments.mean_of_variance)
    of_variance = moments.variance_of_variance
    return (
        code4 - 2 * variance * code2 + variance**2,
        variance2,
        variance4 - 2 * of_variance * variance2 + of_variance**2,
        about(of_divergence, moments.kl)[0],
    )


def _of_share(moments, of_square):
    """Variance of one row's contribution to v_j / sum(v), from those to the variances v."""
    scale = np.ones(moments.n_components) if moments.code_scale is None else moments.code_scale
    share, total = moments.explained_variance_ratio, np.sum(moments.variance_of_mean * scale**2)
    deviation = np.sqrt(np.maximum(of_square, 0)) * scale**2
    correlation = moments.sampled_correlation if moments.sampled else moments.mean_correlation
    covariance = correlation**2 * np.outer(deviation, deviation)
    with_all = covariance.sum(axis=0)
    variance = covariance.diagonal() - 2 * share * with_all + share**2 * with_all.sum()
    return variance / (total**2 if total > 0 else 1)


def is_prior_like(moments: LatentMoments) -> np.ndarray:
    """Tell which codes are distributed as draws from the prior N(0, 1), as far as rows can tell.

    Mean, variance, skewness and excess kurtosis of normal rows are asymptotically independent with
    variances 1/n, 2/n, 6/n and 24/n, so that the sum of their squares in these units has a chi^2
    distribution with 4 degrees of freedom. Passive posteriors are close to the prior, not equal
    to it: so much of each deviation is not counted.

    Returns
    -------
    prior_like : ndarray of shape (n_components,), bool
    """
    mean, m2, m3, m4 = moments.row_moments[0]
    n_rows = min(moments.n_effective, MAX_ROWS)
    deviations = np.abs([mean, m2 - 1, m3 / m2**1.5, m4 / m2**2 - 3])
    excess = np.maximum(deviations - np.array([[0.05], [0.1], [0.1], [0.2]]), 0)
    chi2 = (excess**2 * n_rows / np.array([[1], [2], [6], [24]])).sum(axis=0)
    return chi2 <= 13.3  # the 99 % quantile
