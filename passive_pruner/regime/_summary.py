"""What was decided about every latent variable, why and how surely, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np

from passive_pruner.regime._criteria import CRITERIA, STATISTICS
from passive_pruner.regime._moments import LatentMoments
from passive_pruner.regime._standard_errors import standard_errors

# Criterion -> its rule in words.
_RULES = {
    "active_units": "passive if Var(mu) <= {0:g}, else active",
    "variance": (
        "passive if Var(s2) < {0:g} and |E[s2] - 1| <= {0:g}, active if Var(s2) < {0:g} and "
        "E[s2] <= {0:g}, else mixed"
    ),
    "kl": "passive if KL <= {0:g} nats, else active",
    "entropy": "passive if the entropy power of the means is <= {0:g}, else active",
}

# Criterion -> the statistics that its rule reads, with their symbols.
_EVIDENCE = {
    "active_units": {"variance_of_mean": "Var(mu)"},
    "variance": {"mean_of_variance": "E[s2]", "variance_of_variance": "Var(s2)"},
    "kl": {"kl": "KL"},
    "entropy": {"entropy_power": "entropy power"},
}


def is_decided(moments: LatentMoments, criterion: str, threshold: float) -> np.ndarray:
    """Tell for which variables two standard errors would not change the type.

    Parameters
    ----------
    moments : LatentMoments
        Moments of the posterior.
    criterion : str
        A name in :data:`CRITERIA`.
    threshold : float
        Threshold of the criterion.

    Returns
    -------
    decided : ndarray of shape (n_components,), bool
        False throughout if the standard error of the statistic is not known.
    """
    errors = standard_errors(moments)
    rule = CRITERIA[criterion]
    types = rule(moments, threshold)
    decided = np.full(len(types), STATISTICS[criterion] in errors)
    if decided.any():
        for shift, shift_of_spread in product((-2, 0, 2), repeat=2):
            # The rules read statistics alone, so that shifted ones will do in place of moments.
            steps = dict.fromkeys(errors, shift) | {"variance_of_variance": shift_of_spread}
            shifted: Any = SimpleNamespace(
                sampled=moments.sampled,
                has_variance=moments.has_variance,
                **{k: getattr(moments, k) + steps[k] * errors[k] for k in errors},
            )
            decided &= rule(shifted, threshold) == types
    return decided


def summarize(
    moments: LatentMoments,
    types: np.ndarray,
    kept: np.ndarray,
    *,
    criterion: str,
    threshold: float,
    names: Sequence[str] | None = None,
) -> str:
    """Say how many variables have each type, why some were dropped, and what is uncertain.

    Parameters
    ----------
    moments : LatentMoments
        Moments of the posterior.
    types : ndarray of shape (n_components,), str
        Types of the variables.
    kept : ndarray of shape (n_components,), bool
        Which of them are kept.
    criterion, threshold : str, float
        The rule.
    names : sequence of str, default=None
        Names of the variables. By default they are numbered from 0.

    Returns
    -------
    summary : str
        Several lines.
    """
    names = [str(name) for name in (range(len(types)) if names is None else names)]
    counts = ", ".join(f"{np.sum(types == t)} {t}" for t in ("active", "mixed", "passive"))
    if threshold == 0:
        outcome = "All are kept: a threshold of 0 drops nothing."
    else:
        outcome = f"{np.sum(kept)} kept, {np.sum(~kept)} dropped{'.' if kept.all() else ':'}"
    lines = [
        f"{len(types)} latent variables in {moments.n_samples} rows: {counts}.",
        f"Rule: {_RULES[criterion].format(threshold)}.",
        outcome,
    ]
    errors = standard_errors(moments)
    width = max(map(len, names))

    def evidence(j):
        values = (
            f"{symbol} = {getattr(moments, name)[j]:.3g}"
            + (f" ± {errors[name][j]:.1g}" if name in errors else "")
            for name, symbol in _EVIDENCE[criterion].items()
        )
        return f"  {names[j]:<{width}}  {types[j]:<7}  {', '.join(values)}"

    lines += [evidence(j) for j in np.flatnonzero(~kept)]
    if threshold == 0:
        return "\n".join(lines)
    if STATISTICS[criterion] not in errors:
        lines.append("How sure: there is no standard error for this criterion.")
    else:
        undecided = np.flatnonzero(~is_decided(moments, criterion, threshold))
        count = len(undecided) or "none"
        lines.append(f"Undecided, as two standard errors (±) could change the type: {count}")
        lines += [evidence(j) for j in undecided]
    return "\n".join(lines)
