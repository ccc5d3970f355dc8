"""How much statistics of a posterior vary from sample to sample: their standard errors."""

import numpy as np

from passive_pruner.regime._moments import LatentMoments, check_moments


def standard_errors(moments: LatentMoments) -> dict[str, np.ndarray]:
    """Tell how far the statistics may be off that types are told from, for independent rows.

    Parameters
    ----------
    moments : LatentMoments
        Moments of the posterior.

    Returns
    -------
    errors : dict of str to ndarray of shape (n_components,)
        For "variance_of_mean", "mean_of_variance", "variance_of_variance" and "kl", properties of
        the moments. NaN where variances are needed and not known.

    Notes
    -----
    The standard error of a mean over n rows is the standard deviation over rows, divided by
    sqrt(n). A variance is, up to terms of order 1/n, the mean of (x - E[x])^2, which has the
    variance m4 - m2^2 with the central moments m2 and m4 of x [1]_. Nothing is assumed of the
    distribution: for rare variables, whose means have heavy tails, the standard error is several
    times that of normal means, sqrt(2 / n) m2. With draws z the variance of the mean is
    Var(z) - E[s2]; (z - E[z])^2 and s2 are taken for uncorrelated, as they are where the mean of
    the one is 1 for every value of the other, at a stationary point of the objective.

    They are estimated from at most 4096 rows of every batch.

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
    (_, code2, _, code4), (_, variance2, _, variance4), (_, kl2, _, _) = moments.row_moments
    of_square = code4 - code2**2
    if moments.sampled:
        of_square = of_square + variance2
    variances = {
        "variance_of_mean": of_square,
        "mean_of_variance": variance2,
        "variance_of_variance": variance4 - variance2**2,
        "kl": kl2,
    }
    # Rounding must not turn the spread of a constant negative.
    return {
        name: np.sqrt(np.maximum(value, 0) / moments.n_samples) for name, value in variances.items()
    }
