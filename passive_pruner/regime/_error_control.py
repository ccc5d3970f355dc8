"""Whether variables are shown to be passive: tests that a statistic is at least the threshold.

A statistic is a mean over rows of something X, such as (mu - E[mu])^2, and the hypothesis says
that it is at least `bound`. Where few rows are active, a sample may hold fewer of them than it
should, or none, and then its standard error is too small as well: a normal quantile would call
these variables passive with certainty. So the distribution of the mean under the hypothesis is
that of its worst case, in which all of it comes from such rows: a compound Poisson sum.

Rows with weights w count as (sum w)^2 / sum w^2 rows, of which one contributes sum w^2 X^2 sum w /
(sum w^2 sum w X) on average over contributions, so that a few rows of large weight prove little.
"""

from collections.abc import Iterable

import numpy as np

from passive_pruner.regime._moments import LatentMoments
from passive_pruner.regime._standard_errors import MIN_ROWS, standard_errors

# Divergence of a row in which a variable is active, in nats, where none in the table has more:
# with s2 = 0.05 it is 1.5 on average.
_ACTIVE_KL = 2.0


# Tests take the moments in the units of the rule, the threshold and the types that would be
# dropped, and return a p-value per variable.


def p_of_variance(moments: LatentMoments, threshold: float, drop: Iterable[str]) -> np.ndarray:
    """Test Var(mu) >= threshold. Active rows are N(0, 1), as the prior allows.

    An entropy power is never above the variance, so that this tests entropy power >= threshold too.
    """
    return _p_of_variances(moments, "variance_of_mean", threshold, 1.0)


def p_of_share(moments: LatentMoments, threshold: float, drop: Iterable[str]) -> np.ndarray:
    """Test share >= threshold. Active rows vary as much as those of the largest variable."""
    largest = moments.explained_variance_ratio.max()
    return _p_of_variances(moments, "explained_variance_ratio", threshold, max(largest, threshold))


def p_of_kl(moments: LatentMoments, threshold: float, drop: Iterable[str]) -> np.ndarray:
    """Test KL >= threshold. Active rows have the largest mean divergence, or 2 nats."""
    spread, n = _row_variance(moments, "kl"), moments.n_effective
    if moments.sampled:
        return _p_of_noisy(n, moments.kl, threshold, spread + _ACTIVE_KL * threshold)
    kl = moments.kl
    size = np.maximum(_mean_size(kl, spread), max(_ACTIVE_KL, kl.max()))
    return _p_of_constant(n, kl, threshold, size)


def p_of_posterior_variance(
    moments: LatentMoments, threshold: float, drop: Iterable[str]
) -> np.ndarray:
    """Test the rule of the paper: its conditions for passive, or that for active.

    A variable is passive if 1 - E[s2] < threshold, E[s2] - 1 < threshold and Var(s2) < threshold;
    that at least one of them is false is rejected when all three are, with the largest p-value
    (R. L. Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics 24,
    1982). Where mixed variables are dropped as well the claim is that a variable is not active,
    and the hypothesis E[s2] <= threshold. Active rows have s2 = 0.
    """
    n, gap = moments.n_effective, 1 - moments.mean_of_variance
    if "mixed" in drop:
        # Active in nearly all rows instead of few: 1 - s2 varies no more than a Bernoulli number.
        spread = _row_variance(moments, "mean_of_variance")
        at_most = np.maximum(spread, threshold * (1 - threshold))
        return _p_of_noisy(n, gap, 1 - threshold, at_most)
    variance = moments.variance_of_variance
    size = np.maximum(_mean_size(variance, _row_variance(moments, "variance_of_variance")), 1)
    return np.max(
        [
            _p_of_constant(n, gap, threshold, 1),
            _p_of_constant(n, -gap, threshold, 1),
            _p_of_constant(n, variance, threshold, size),
        ],
        axis=0,
    )


def _p_of_variances(moments, name, bound, size):
    estimate, spread = getattr(moments, name), _row_variance(moments, name)
    n = moments.n_effective
    if moments.sampled:
        return _p_of_noisy(n, estimate, bound, spread + 3 * size * bound)
    # Rows of N(0, size) have E[X^2] / E[X] = 3 size.
    size = np.maximum(_mean_size(estimate, spread) / 3, size)
    return _p_of_normal(n, estimate * n / (n - 1), bound, size)


def _p_of_normal(n, estimate, bound, size):
    """P(mean <= estimate) of squares in few rows of N(0, size), which add up to `bound` on average.

    Their sum has the cumulants M, 3 size M and 15 size^2 M, with M = n bound. Pearson's type III
    with these is the distribution of 2.5 size G - 0.2 M, with G of Gamma(0.48 M / size).
    """
    from scipy.special import gammainc  # takes as long to import as all else here

    total = np.maximum(n * bound / size, 1e-300)  # gammainc takes less for 0
    x = np.maximum(0.4 * n * estimate / size + 0.08 * total, 0)
    return gammainc(0.48 * total, x)


def _p_of_constant(n, estimate, bound, size):
    """P(mean <= estimate) of `size` in few rows and 0 in the others: of a Poisson number of rows.

    Between whole numbers of rows it is interpolated by the incomplete gamma function.
    """
    from scipy.special import gammaincc

    return gammaincc(n * np.maximum(estimate, 0) / size + 1, n * bound / size)


def _p_of_noisy(n, estimate, bound, row_variance):
    """P(mean <= estimate) by Student's t: for draws, whose noise hides a sum over few rows."""
    from scipy.special import stdtr

    error = np.sqrt(row_variance / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (bound - estimate) / error
    return np.where(estimate < bound, stdtr(n - 1, -t), 1.0)


def _mean_size(estimate, spread):
    """E[X^2] / E[X]: how much a row contributes, on average over contributions."""
    known = np.where(estimate > 0, estimate, 1)
    return np.where(estimate > 0, (spread + estimate**2) / known, 0)


def _row_variance(moments, name):
    """Variance over rows of what `name` is the mean of."""
    variance = standard_errors(moments)[name] ** 2 * (moments.n_effective - 1)
    if np.isnan(variance).any():
        raise ValueError(
            f"alpha needs the standard error of {name}, which these moments do not tell: it is no "
            "function of those in other units. Use VAEEncoder(whiten=True), another criterion, or "
            "alpha=None."
        )
    return variance


def can_tell(moments: LatentMoments) -> bool:
    """Whether there are enough rows for anything to be shown."""
    return moments.n_effective >= MIN_ROWS
