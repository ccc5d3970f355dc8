"""A table of what the moments say about every latent variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from passive_pruner.regime._moments import LatentMoments, check_moments
from passive_pruner.regime._standard_errors import standard_errors
from passive_pruner.regime._units import in_prior_units, looks_whitened

if TYPE_CHECKING:
    import pandas as pd

# Columns that are NaN throughout without posterior variances.
NEEDS_VARIANCES = (
    "mean_of_variance",
    "variance_of_variance",
    "kl",
    "reliability",
    "max_correlation_sampled",
    "active_share",
    "mean_of_variance_se",
    "variance_of_variance_se",
    "kl_se",
)


def report(
    moments: LatentMoments, types: Sequence[str] | np.ndarray, *, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Report the evidence for the type of every latent variable.

    Parameters
    ----------
    moments : LatentMoments
        Moments of the posterior.
    types : array-like of shape (n_components,), str
        Type of every variable.
    names : array-like of shape (n_components,), str, default=None
        Names of the variables. By default they are numbered from 0.

    Returns
    -------
    report : DataFrame with one row per variable, index "variable"
        All columns but the first are float64, with population variances (ddof=0). Those marked †
        are NaN if the moments have no posterior variances.

        ``type``
            The given type.
        ``variance_of_mean``
            Variance of the posterior mean over rows.
        ``mean_of_variance`` †, ``variance_of_variance`` †
            Mean and variance of the posterior variance s2 over rows.
        ``kl`` †
            Mean divergence of the posterior from the prior, in nats.
        ``reliability`` †
            Share of the variance of the sampled code that is due to the mean, Var(mu) / (Var(mu) +
            E[s2]).
        ``max_correlation_mean``
            Largest absolute correlation of the mean code with that of another variable. NaN if the
            moments are those of sampled codes, from which it cannot be estimated: for a passive
            variable it would be a ratio of noise terms.
        ``max_correlation_sampled`` †
            The same for the sampled codes.
        ``active_share`` †
            Fraction of rows in which s2 < 0.5. It reveals variables that are active in a few rows
            only, which appear passive on average.
        ``explained_variance_ratio``
            Share of the variance that all variables explain. The column is omitted if the codes
            appear to have the scale of the prior, see :func:`explained_variance`, because the share
            is then unknown.
        ``variance_of_mean_se``, ``mean_of_variance_se`` †
            Standard errors of these statistics, see :func:`standard_errors`.
        ``variance_of_variance_se`` †, ``kl_se`` †, ``explained_variance_ratio_se``
            Likewise.

    Raises
    ------
    ValueError
        If the length of `types` or `names` is not the number of variables.

    Notes
    -----
    Codes of ``VAEEncoder(whiten=False)`` with variances are first rescaled to the scale of the
    prior by E[mu^2] + E[s2] = 1, which holds as far as training has converged. In this case the
    active share and the standard error of the divergence are unknown and NaN.

    The correlation with a constant variable is 0, and so is the largest correlation if there is
    only one variable.

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.regime import LatentMoments, report, variance
    >>> posterior, _ = make_posterior(["active", "active", "passive"], random_state=0)
    >>> moments = LatentMoments.from_batch(*posterior)
    >>> table = report(moments, variance(moments, 0.1))
    >>> table[["type", "max_correlation_mean", "max_correlation_sampled"]].round(1)
                 type  max_correlation_mean  max_correlation_sampled
    variable
    0          active                   0.2                      0.0
    1          active                   0.9                      0.0
    2         passive                   0.9                      0.0
    """
    import pandas as pd

    check_moments(moments)
    for name, values in {"types": types, "names": names}.items():
        if values is not None and np.shape(values) != (moments.n_components,):
            raise ValueError(
                f"{name} must have one entry per variable, {moments.n_components}, got {values!r}."
            )
    correlation_mean = _max_correlation(moments.mean_correlation)
    if moments.sampled:
        correlation_mean = np.full_like(correlation_mean, np.nan)
    moments = in_prior_units(moments)
    errors = standard_errors(moments)
    of_share, explained = errors.pop("explained_variance_ratio"), {}
    if not looks_whitened(moments):
        explained["explained_variance_ratio"] = moments.explained_variance_ratio
        explained["explained_variance_ratio_se"] = of_share
    return pd.DataFrame(
        {
            "type": types,
            "variance_of_mean": moments.variance_of_mean,
            "mean_of_variance": moments.mean_of_variance,
            "variance_of_variance": moments.variance_of_variance,
            "kl": moments.kl,
            "reliability": moments.reliability,
            "max_correlation_mean": correlation_mean,
            "max_correlation_sampled": _max_correlation(moments.sampled_correlation),
            "active_share": moments.active_share,
            **{f"{name}_se": error for name, error in errors.items()},
            **explained,
        },
        index=pd.Index(range(moments.n_components) if names is None else names, name="variable"),
    )


def _max_correlation(correlation: np.ndarray) -> np.ndarray:
    """Largest absolute correlation of every variable with another one."""
    correlation = np.abs(correlation)
    np.fill_diagonal(correlation, correlation.diagonal() - 1)  # 0, or NaN where that is unknown
    return correlation.max(axis=1)
