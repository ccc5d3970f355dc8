"""What training came to, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from passive_pruner.regime import CRITERIA


def record_of_model(history: Sequence[dict[str, Any]], best_epoch: int) -> dict[str, Any]:
    """Return the record of the epoch whose weights are the model; the last one of this number."""
    return next(record for record in reversed(history) if record["epoch"] == best_epoch)


def summarize_training(
    history: Sequence[dict[str, Any]],
    best_epoch: int,
    *,
    names: Sequence[str],
    explained: np.ndarray | None,
    rows: str,
) -> str:
    """Say how long an encoder was trained, how good its best epoch is, and what its variables do.

    Parameters
    ----------
    history : list of dict
        One record per epoch.
    best_epoch : int
        Number of the epoch whose weights are the model.
    names : sequence of str
        Names of the variables.
    explained : ndarray of shape (n_components,), optional
        Share of the decoded variance that each explains.
    rows : str
        Which rows the records were measured on.

    Returns
    -------
    summary : str
        Several lines.
    """
    best, last = record_of_model(history, best_epoch), history[-1]
    mean, variance = best["variance_of_mean"], best["mean_of_variance"]
    limit = CRITERIA["active_units"].threshold
    is_active = mean > limit
    lines = [
        f"{last['step']} gradient steps, {last['epoch']} epochs; the model is that of epoch "
        f"{best_epoch}.",
        f"ELBO {best['elbo']:.4g} nats per row on {rows}: log-likelihood "
        f"{-best['reconstruction']:.4g}, KL divergence {best['kl']:.4g}.",
        f"{len(mean)} latent variables: {is_active.sum()} with Var(mu) above {limit:g}, "
        f"{np.sum(~is_active)} below.",
    ]
    titles = ["", "Var(mu)", "E[s2]"] + ["explains"] * (explained is not None)
    table = [titles]
    for j, name in enumerate(names):
        share = [] if explained is None else [f"{explained[j]:.1%}"]
        table.append([name, f"{mean[j]:.3f}", f"{variance[j]:.3f}", *share])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines += [
        "  " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True))
        for row in table
    ]
    return "\n".join(lines)
