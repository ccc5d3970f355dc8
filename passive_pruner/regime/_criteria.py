"""Rules that name every latent variable active, mixed or passive.

Each is a pure function of the moments and a threshold.
"""

from collections.abc import Callable, Iterable

import numpy as np

from passive_pruner.regime._moments import LatentMoments

ACTIVE, MIXED, PASSIVE = "active", "mixed", "passive"


def active_units(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the variance of the posterior means.

    A variable is passive if Var(mu) <= `threshold`, else active: the statistic of active units
    [1]_. It cannot tell mixed variables from active ones.

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
    if moments.sampled:
        _check_variance(moments, "active_units of sampled codes")
    return np.where(moments.variance_of_mean <= threshold, PASSIVE, ACTIVE)


def variance(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the mean and the variance of the posterior variances s2.

    The rule released with [1]_::

        passive   Var(s2) < threshold  and  |E[s2] - 1| <= threshold
        active    Var(s2) < threshold  and   E[s2]      <= threshold
        mixed     everything else

    with passive tested first. A variable that is active in few rows only is called passive.

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
    _check_variance(moments, "variance")
    mean = moments.mean_of_variance
    same_in_all_rows = moments.variance_of_variance < threshold
    passive = same_in_all_rows & (np.abs(mean - 1) <= threshold)
    active = same_in_all_rows & (mean <= threshold)
    return np.where(passive, PASSIVE, np.where(active, ACTIVE, MIXED))


def kl(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the mean divergence of the posterior from the prior.

    A variable is passive if the mean of KL(N(mu, s2) || N(0, 1)) = (mu^2 + s2 - 1 - ln s2) / 2
    is <= `threshold`, else active: `threshold` is the information, in nats per row, that may be
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
    _check_variance(moments, "kl")
    return np.where(moments.kl <= threshold, PASSIVE, ACTIVE)


def entropy(moments: LatentMoments, threshold: float) -> np.ndarray:
    """Types from the entropy of the mean representation.

    A variable is passive if the entropy power of its means is <= `threshold`, else active. The
    entropy tells passive from active variables without reference to a Gaussian [1]_; as entropy
    power, exp(2 h) / (2 pi e), it has the units of a variance and equals that of normal means.
    Means that take few values have little entropy however far apart these are: where
    :func:`active_units` and this criterion disagree, look at the distribution.

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
        If the entropy is not known, or is that of sampled codes.

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
    if moments.sampled or np.isnan(moments.entropy_power).any():
        raise ValueError(
            "The criterion entropy needs the mean codes of all rows at once: neither batches, "
            "whose entropies cannot be added up, nor draws. Make the moments by "
            "LatentMoments.from_batch(mean, entropy=True), or call fit instead of partial_fit."
        )
    return np.where(moments.entropy_power <= threshold, PASSIVE, ACTIVE)


#: Name of a criterion -> its function.
CRITERIA: dict[str, Callable[[LatentMoments, float], np.ndarray]] = {
    "active_units": active_units,
    "variance": variance,
    "kl": kl,
    "entropy": entropy,
}

#: Name of a criterion -> the property of the moments that its threshold is compared with.
STATISTICS = {
    "active_units": "variance_of_mean",
    "variance": "mean_of_variance",
    "kl": "kl",
    "entropy": "entropy_power",
}


def is_kept(types: np.ndarray, threshold: float, drop: Iterable[str]) -> np.ndarray:
    """Tell which variables stay when those of the types in `drop` go; at threshold 0 all do."""
    return (threshold == 0) | ~np.isin(types, list(drop))


def _check_variance(moments: LatentMoments, criterion: str) -> None:
    if not moments.has_variance:
        raise ValueError(
            f"The criterion {criterion} needs posterior variances, but these moments have none; "
            "pass them to LatentMoments.from_batch(mean, variance)."
        )
