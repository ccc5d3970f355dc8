"""The units of codes: those of the prior, or of what the variables explain.

``VAEEncoder(whiten=False)`` multiplies the code of a variable by a number c. At a stationary point
of the objective E[mu^2] + E[s2] = 1, so that of the columns m = c mu and v = c^2 s2 the sum E[m^2]
+ E[v] is c^2: posterior variances beside the codes tell their units. Means alone show them only
where they are far from 1.
"""

from dataclasses import replace

import numpy as np

from passive_pruner.regime._moments import LatentMoments
from passive_pruner.regime._standard_errors import standard_errors

# Where training has converged E[mu^2] + E[s2] is within 0.05 of 1 for most variables; with draws in
# the place of means it is up to 2. A larger sum is one of other units, a smaller one of these or of
# rows that are alike.
LEAST_SQUARE, MOST_SQUARE = 0.5, 3.0
# Means under the prior have a variance below 1, draws one of about 1.
MOST_VARIANCE = 2.0
# Means in units of the prior have a variance below 1 that is near 1 for every variable that says
# much; in units of what they explain seldom two of them have.
LEAST, MOST = 0.5, 1.2


def in_prior_units(moments: LatentMoments) -> LatentMoments:
    """Moments in the units of the prior, N(0, 1), where the moments tell how.

    Parameters
    ----------
    moments : LatentMoments
        Moments of codes in any units.

    Returns
    -------
    moments : LatentMoments
        With `code_scale` if their own units were others. The active share and the standard error
        of the divergence, which are no function of moments in other units, are then NaN.
    """
    if moments.code_scale is not None or not moments.has_variance:
        return moments
    square = _square(moments)
    # A small sum alone is no sign: rows that are alike in a variable have it in any units, and in
    # those of what they explain the largest sum is that of several columns.
    if not (square > MOST_SQUARE).any():
        return moments
    scale = np.sqrt(np.where(square > 0, square, 1.0))
    return _divided(moments, scale)


def is_beyond_prior(moments: LatentMoments) -> np.ndarray:
    """Tell which codes have a larger variance than any posterior mean under the prior.

    It is above 2 by more than three standard errors. Codes with variances are never beyond: those
    tell the units.
    """
    if moments.has_variance or moments.code_scale is not None:
        return np.zeros(moments.n_components, dtype=bool)
    # NaN in few rows, which tell nothing.
    error = standard_errors(moments)["variance_of_mean"]
    return moments.variance_of_mean - 3 * error > MOST_VARIANCE


def looks_whitened(moments: LatentMoments) -> bool:
    """Tell whether codes look as if the prior had scaled them, so that no variance is explained."""
    if moments.code_scale is not None or moments.n_components == 1:
        return False
    if moments.has_variance:
        square = _square(moments)
        return bool(np.all((square >= LEAST_SQUARE) & (square <= MOST_SQUARE)))
    variance, error = moments.variance_of_mean, standard_errors(moments)["variance_of_mean"]
    *_, second, first = np.argsort(variance, kind="stable")
    is_unit = variance[first] >= LEAST and variance[first] - 2 * error[first] <= MOST
    return bool(is_unit and variance[second] >= LEAST * variance[first])


def _square(moments):
    """Return E[m^2] + E[v], the square of the scale of the codes."""
    return moments.code_mean**2 + moments.variance_of_mean + moments.mean_of_variance


def _divided(moments, scale):
    """Moments of codes that are divided by `scale`."""
    powers = scale ** -np.arange(1, 5)[:, np.newaxis]
    of_codes, of_variances, of_divergence = moments.row_moments
    return replace(
        moments,
        code_origin=moments.code_origin / scale,
        code_offset=moments.code_offset / scale,
        code_scatter=moments.code_scatter / np.outer(scale, scale),
        mean_of_variance=moments.mean_of_variance / scale**2,
        # In two steps: the fourth power of a large scale is infinite.
        variance_scatter=moments.variance_scatter / scale**2 / scale**2,
        mean_of_log_variance=moments.mean_of_log_variance - 2 * np.log(scale),
        active_share=np.full_like(scale, np.nan),
        entropy_power=moments.entropy_power / scale**2,
        row_moments=np.stack(
            [of_codes * powers, of_variances * powers * powers, np.full_like(of_divergence, np.nan)]
        ),
        code_scale=scale,
    )
