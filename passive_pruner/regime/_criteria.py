"""Rules that name every latent variable active, mixed or passive, or negligible.

Each is a pure function of the moments and a threshold.
"""

from collections.abc import Iterable

import numpy as np

from passive_pruner.regime._criterion import ACTIVE, MIXED, NEGLIGIBLE, PASSIVE, TYPES, Criterion
from passive_pruner.regime._error_control import (
    p_of_kl,
    p_of_posterior_variance,
    p_of_share,
    p_of_variance,
)
from passive_pruner.regime._moments import LatentMoments


def active_units(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Determine types from the variance of the posterior means.

    A variable is passive if Var(mu) <= `threshold`, else active. This is the statistic of active
    units [1]_; it cannot distinguish mixed from active variables.

    Parameters
    ----------
    moments : LatentMoments
        Moments of mean codes, or of sampled codes with variances.
    threshold : float
        Largest variance of the mean of a passive variable.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "passive".

    Raises
    ------
    ValueError
        If the codes are sampled and variances are not known.

    References
    ----------
    .. [1] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR
       2016, section 5.2, arXiv:1509.00519.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, active_units
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> active_units(LatentMoments.from_batch(posterior.mean), 0.1)
    array(['active', 'active', 'passive'], dtype='<U7')
    """
    return CRITERIA["active_units"](moments, threshold)


def variance(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Determine types from the mean and the variance of the posterior variances s2.

    This is the rule released with [1]_::

        passive   Var(s2) < threshold  and  |E[s2] - 1| <= threshold
        active    Var(s2) < threshold  and   E[s2]      <= threshold
        mixed     everything else

    where passive is tested first. A variable that is active in a few rows only is classified as
    passive.

    Parameters
    ----------
    moments : LatentMoments
        Moments with variances, of mean or of sampled codes.
    threshold : float
        Tolerance of the rule; 0.1 in [1]_.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active", "mixed" or "passive".

    Raises
    ------
    ValueError
        If variances are not known.

    References
    ----------
    .. [1] L. Bonheme and M. Grzes, "Be More Active! Understanding the Differences between Mean
       and Sampled Representations of Variational Autoencoders", JMLR 2023, arXiv:2109.12679.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, variance
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> variance(LatentMoments.from_batch(*posterior), 0.1)
    array(['active', 'mixed', 'passive'], dtype='<U7')
    """
    return CRITERIA["variance"](moments, threshold)


def kl(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Determine types from the mean KL divergence of the posterior from the prior.

    A variable is passive if the mean of KL(N(mu, s2) || N(0, 1)) = (mu^2 + s2 - 1 - ln s2) / 2
    is <= `threshold`, else active: `threshold` limits the information, in nats per row, that is
    lost with a variable.

    Parameters
    ----------
    moments : LatentMoments
        Moments with variances, of mean or of sampled codes.
    threshold : float
        Largest mean divergence of a passive variable, in nats.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "passive".

    Raises
    ------
    ValueError
        If variances are not known.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, kl
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> kl(LatentMoments.from_batch(*posterior), 0.1)
    array(['active', 'active', 'passive'], dtype='<U7')
    """
    return CRITERIA["kl"](moments, threshold)


def entropy(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Determine types from the entropy of the mean representation.

    A variable is passive if the entropy power of its means is <= `threshold`, else active. The
    entropy distinguishes passive from active variables without assuming a Gaussian [1]_. The
    entropy power exp(2 h) / (2 pi e) has the units of a variance, and equals the variance for
    normal means. Means that take few values have a low entropy, however far apart the values are:
    if :func:`active_units` and this criterion disagree, inspect the distribution.

    The estimate is too small for few rows: for normal means the entropy power is 0.63 of the
    variance at 11 rows, 0.76 at 20 and 0.88 at 50, and it rises by 4 % between 1000 and 1001 rows,
    where SciPy changes its estimator. The same threshold therefore drops more variables of a small
    table.

    Parameters
    ----------
    moments : LatentMoments
        Moments of mean codes of all rows at once, made with ``entropy=True``.
    threshold : float
        Largest entropy power of a passive variable.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "passive".

    Raises
    ------
    ValueError
        If the moments have no entropy, or are those of sampled codes.

    References
    ----------
    .. [1] P. Clapham, L. Bonheme and M. Grzes, "Entropy-Based Characterisation of the Polarised
       Regime in Latent Variable Models", 2026, arXiv:2605.15965.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, entropy
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> entropy(LatentMoments.from_batch(posterior.mean, entropy=True), 0.1)
    array(['active', 'active', 'passive'], dtype='<U7')
    """
    return CRITERIA["entropy"](moments, threshold)


def explained_variance(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Determine types from the variance of the decoded data that the variables explain.

    A variable is negligible if its share of the variance that all variables explain is <=
    `threshold`, else active. Other criteria measure the distance from the prior instead: a
    posterior can be far from the prior and yet encode information that hardly changes the decoded
    data.

    Parameters
    ----------
    moments : LatentMoments
        Moments of codes of ``VAEEncoder(whiten=False)``, whose variance is the variance that they
        explain, or moments with `code_scale`, as returned by ``VAEEncoder.moments``.
    threshold : float
        Largest share of the explained variance of a negligible variable.

    Returns
    -------
    types : ndarray of shape (n_components,), str
        "active" or "negligible".

    Raises
    ------
    ValueError
        If the codes appear to have the scale of the prior, or are sampled and have no variances.

    Notes
    -----
    Codes are considered to have the scale of the prior if E[mu^2] + E[s2] is between 0.5 and 3 for
    all variables or, without variances, if the largest Var(mu) is between 0.5 and 1.2, up to two
    standard errors, and the second largest is at least half of it.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, explained_variance
    >>> posterior, _ = make_posterior(["active", "active", "passive"], random_state=0)
    >>> codes = posterior.mean * [3, 0.1, 0.5]
    >>> explained_variance(LatentMoments.from_batch(codes), 0.01)
    array(['active', 'negligible', 'negligible'], dtype='<U10')
    """
    return CRITERIA["explained_variance"](moments, threshold)


def _negligible_if_small(statistic, threshold):
    return np.where(statistic <= threshold, NEGLIGIBLE, ACTIVE)


def _passive_if_small(statistic, threshold):
    return np.where(statistic <= threshold, PASSIVE, ACTIVE)


def _bonheme(mean_of_variance, variance_of_variance, threshold):
    same_in_all_rows = variance_of_variance < threshold
    passive = same_in_all_rows & (np.abs(mean_of_variance - 1) <= threshold)
    active = same_in_all_rows & (mean_of_variance <= threshold)
    return np.where(passive, PASSIVE, np.where(active, ACTIVE, MIXED))


#: Name of a criterion -> the criterion.
CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            name="active_units",
            title="variance of the mean",
            statistics={"variance_of_mean": "Var(mu)"},
            rule=_passive_if_small,
            words="passive if Var(mu) <= {threshold}, else active",
            p_values=p_of_variance,
        ),
        Criterion(
            name="variance",
            title="posterior variance",
            statistics={"mean_of_variance": "E[s2]", "variance_of_variance": "Var(s2)"},
            rule=_bonheme,
            words=(
                "passive if Var(s2) < {threshold} and |E[s2] - 1| <= {threshold}, active if "
                "Var(s2) < {threshold} and E[s2] <= {threshold}, else mixed"
            ),
            collapsed=1,
            reads_codes=False,
            reads_variances=True,
            types=TYPES,
            p_values=p_of_posterior_variance,
        ),
        Criterion(
            name="kl",
            title="KL divergence",
            statistics={"kl": "KL"},
            rule=_passive_if_small,
            words="passive if KL <= {threshold} nats, else active",
            unit="nats",
            p_values=p_of_kl,
            reads_variances=True,
        ),
        Criterion(
            name="entropy",
            title="entropy power of the mean",
            statistics={"entropy_power": "entropy power"},
            rule=_passive_if_small,
            words="passive if the entropy power of the means is <= {threshold}, else active",
            adds_up=False,
            p_values=p_of_variance,
        ),
        Criterion(
            name="explained_variance",
            title="share of the explained variance",
            statistics={"explained_variance_ratio": "share of the explained variance"},
            rule=_negligible_if_small,
            words="negligible if share of the explained variance <= {threshold}, else active",
            types=(ACTIVE, NEGLIGIBLE),
            threshold=0.01,
            compares_with_prior=False,
            p_values=p_of_share,
        ),
    )
}


def is_kept(types: np.ndarray, threshold: float, drop: Iterable[str]) -> np.ndarray:
    """Tell which variables stay when those of the types in `drop` go; at threshold 0 all do.

    What a criterion calls negligible goes whatever else is dropped.
    """
    return (threshold == 0) | ~np.isin(types, [*drop, NEGLIGIBLE])
