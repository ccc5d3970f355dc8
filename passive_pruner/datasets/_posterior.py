"""A synthetic posterior whose active, mixed, passive and rare variables are known."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from passive_pruner._common._codes import Posterior
from passive_pruner._common._parameters import check_number
from passive_pruner._common._validation import local_random_state

# Type of a variable -> share of the rows in which it is active.
_ACTIVE_SHARE = {"active": 1.0, "mixed": 0.5, "rare": 0.02, "passive": 0.0}

# Variance of the mean of a variable in rows in which it is active and in which it is passive.
# The mean of its posterior variance there is 1 - that, as E[mu^2] + E[s2] = 1 demands.
_SIGNAL_ACTIVE = 0.95
_SIGNAL_PASSIVE = 0.002

# Half the width of the posterior variance around its mean, as a share of it.
_SPREAD_ACTIVE = 0.5
_SPREAD_PASSIVE = 0.02


def make_posterior(
    types: Sequence[str],
    n_samples: int = 1000,
    *,
    correlation: float = 0.9,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Posterior, np.ndarray]:
    """Generate a posterior with variables of known types, as in a collapsed autoencoder.

    In rows in which a variable is active, its mean is N(0, 0.95) and its variance close to 0.05;
    in the others its mean is N(0, 0.002) and its variance close to 0.998. Active variables are
    active in all rows, mixed ones in half of them, passive ones in none, and "rare" ones in 2 %.
    Criteria that use averages over rows classify rare variables as passive. For every variable
    E[mu^2] + E[s2] = 1, as at a stationary point of the objective of a variational autoencoder.

    Parameters
    ----------
    types : sequence of {"active", "mixed", "passive", "rare"}
        Type of every variable.
    n_samples : int, default=1000
        Number of rows.
    correlation : float, default=0.9
        Multiple correlation, from 0 to 1, of the mean of a variable with the means of the active
        ones over the rows in which it is passive, with random weights. In sampled codes it is
        hidden by noise of unit variance. Without active variables these means are independent.
    random_state : int, RandomState instance or None, default=None
        Source of the draws. None makes new draws in each call. The global generator of numpy is not
        used.

    Returns
    -------
    posterior : Posterior of two ndarrays of shape (n_samples, len(types)), float32
        Means and variances.
    types : ndarray of shape (len(types),), str
        The given types.

    Raises
    ------
    TypeError
        If `n_samples` is not an integer, or `correlation` not a number.
    ValueError
        If a type is unknown, there are no types or no rows, or `correlation` is not in [0, 1].

    Examples
    --------
    >>> from passive_pruner.datasets import make_posterior
    >>> posterior, types = make_posterior(["active", "passive"], random_state=0)
    >>> posterior.mean.shape
    (1000, 2)
    >>> posterior.variance.mean(axis=0).round(2)
    array([0.05, 1.  ], dtype=float32)
    """
    is_list = isinstance(types, (Sequence, np.ndarray)) and not isinstance(types, str)
    if not is_list or len(types) == 0 or any(str(t) not in _ACTIVE_SHARE for t in types):
        raise ValueError(
            f"types must be a non-empty list of {', '.join(map(repr, _ACTIVE_SHARE))}, "
            f"got {types!r}."
        )
    check_number(n_samples, "n_samples", Integral, min_val=1)
    check_number(correlation, "correlation", Real, min_val=0, max_val=1)
    rng = local_random_state(random_state)

    shape = (n_samples, len(types))
    # An exact number of active rows, at least one, at random places of its own per variable.
    n_active = np.ceil([_ACTIVE_SHARE[t] * n_samples for t in types])
    is_active = rng.uniform(size=shape).argsort(axis=0) < n_active

    signal = rng.standard_normal(shape)
    shadow = rng.standard_normal(shape)
    active = np.asarray(types) == "active"
    if active.any():
        weights = rng.standard_normal((active.sum(), len(types)))
        weights /= np.linalg.norm(weights, axis=0)
        # Independent unit signals, mixed with unit weights, have unit variance again.
        shadow *= np.sqrt(1 - correlation**2)
        shadow += correlation * (signal[:, active] @ weights)

    mean = np.where(is_active, np.sqrt(_SIGNAL_ACTIVE) * signal, np.sqrt(_SIGNAL_PASSIVE) * shadow)
    spread = np.where(is_active, _SPREAD_ACTIVE, _SPREAD_PASSIVE) * rng.uniform(-1, 1, shape)
    variance = np.where(is_active, 1 - _SIGNAL_ACTIVE, 1 - _SIGNAL_PASSIVE) * (1 + spread)
    return Posterior(mean.astype(np.float32), variance.astype(np.float32)), np.asarray(types)
