"""Whether codes that show no passive variable may hide some."""

import numpy as np

from passive_pruner._common._warnings import warn_user
from passive_pruner.exceptions import PassiveUndeterminedWarning
from passive_pruner.regime import LatentMoments
from passive_pruner.regime._criterion import PASSIVE, Criterion
from passive_pruner.regime._standard_errors import is_prior_like

# In fewer rows an active code that is roughly normal is hard to tell from draws of the prior, and
# healthy encoders without passive variables would be warned of.
ROWS_TO_TELL = 1000

# Halfway between the variance of a passive mean code, 0, and that of a passive draw, 1, which is
# the posterior variance of a passive variable as well.
UNIT_LIKE = 0.5

# Variances of standardised codes differ by rounding, those of others by more than this share.
_SAME_VARIANCE = 1e-3

# Most that the variance of draws is away from that of the prior.
_NEAR_ONE = 0.15


def is_undetermined(
    criterion: Criterion, moments: LatentMoments, threshold: float, types: np.ndarray
) -> bool:
    """Tell whether no variable looks passive in codes that vary as passive draws do.

    Parameters
    ----------
    criterion : Criterion
    moments : LatentMoments
    threshold : float
        Of the criterion.
    types : ndarray of shape (n_components,), str
        What the criterion found.
    """
    moments = criterion.read(moments)
    # Draws that are known to be draws, and the posterior variances, speak for themselves.
    if not criterion.reads_codes or moments.sampled or threshold == 0:
        return False
    if not criterion.compares_with_prior:
        return False
    if criterion.reads_variances and not (moments.mean_of_variance > UNIT_LIKE).any():
        return False
    none_passive = not np.any(types == PASSIVE)
    return none_passive and bool((moments.variance_of_mean > UNIT_LIKE).all())


def warn_of_draws(moments: LatentMoments) -> None:
    """Warn if undetermined codes look like draws or standardised codes."""
    variance = moments.variance_of_mean
    if np.ptp(variance) <= _SAME_VARIANCE * variance.max() and len(variance) > 1:
        seen = "all codes have the same variance, as standardised codes have"
    elif (
        moments.n_effective >= ROWS_TO_TELL
        and np.abs(variance - 1).max() <= _NEAR_ONE
        and is_prior_like(moments).any()
    ):
        seen = (
            "every code has the variance of the prior and one is distributed as it, as draws "
            "from the posterior are"
        )
    else:
        return
    warn_user(
        f"No variable looks passive, but {seen} in passive variables too. Pass mean codes and "
        "put scalers after this step, or let posterior variances decide: "
        'criterion="variance" with VAEEncoder(add_variance=True). If no variable is passive, '
        "those confirm it.",
        PassiveUndeterminedWarning,
    )
