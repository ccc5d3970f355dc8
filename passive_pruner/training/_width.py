"""Which latent variables a data set needs: what ``n_components="auto"`` stands for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from passive_pruner._common._rows import Rows
from passive_pruner.training._training import ACTIVITY_THRESHOLD
from passive_pruner.vae._network import VAE
from passive_pruner.vae._objective import kl_per_variable
from passive_pruner.vae._random import LocalDraws

# The search starts from this width, or from the number of columns if that is smaller.
START_WIDTH = 64
# Nats per row above which a variable counts. Where training has converged, E[mu^2] = 1 - s2, so
# the divergence of a variable with the same s2 in all rows is -ln(s2) / 2; it is 0.053 at
# s2 = 0.9, where the remover's default threshold draws its line. Before convergence the
# divergence is the safer reading: s2 of a passive variable creeps up to 1 for hundreds of steps,
# while its divergence, close to (1 - s2)^2 / 4, is already small.
INFORMATION = 0.05
MAX_ROWS = 4096
# The network without its passive variables is trained for at most a fifth of the steps before,
# unless that is what remains of a training that lowers its rate.
STEPS_PER_STEP_AFTER_CUT = 5


def find_variables(
    train: Callable[[int, int], tuple[VAE, int]],
    X: Rows,
    n_features: int,
    *,
    max_steps: int,
    seed: int,
) -> np.ndarray:
    """Train a network that is wide enough, and tell which variables carry information.

    An autoencoder with more variables than needed is trained, and those are found whose posterior
    differs from the prior: a variable that the data does not need becomes passive, whatever the
    number of others, so one wide training tells the width that a search over widths would find.
    If no variable is passive the width is doubled, up to the number of columns.

    Parameters
    ----------
    train : callable
        Called as ``train(width, n_steps)``; trains a network of that width for at most so many
        gradient steps, and returns it with the number of steps that it took.
    X : Rows of shape (n_samples, n_features)
        Training data.
    n_features : int
        Number of columns.
    max_steps : int
        Most gradient steps of the search.
    seed : int
        Seed of the rows on which the divergence is measured.

    Returns
    -------
    numbers : ndarray of int of shape (n_informative,)
        Numbers of the informative variables of the network that was trained last; that of the
        most informative one if there are none.

    Notes
    -----
    All trainings of the search together take at most `max_steps` gradient steps. A
    doubled width is trained only if as many steps as the last training took are left; otherwise
    the search is over. Variables become passive while training goes on, so a budget that ends
    before the training has converged gives too large a width.

    The rule is that of the variant of FONDUE that reads types of variables [1]_, with the
    divergence from the prior in place of the variance of the posterior, and trained until early
    stopping in place of a few steps.

    References
    ----------
    .. [1] L. Bonheme and M. Grzes, "FONDUE: an algorithm to find the optimal dimensionality of
       the latent representations of variational autoencoders", 2022, arXiv:2209.12806.
    """
    width = min(n_features, START_WIDTH)
    steps_left = max_steps
    while True:
        network, n_steps = train(width, steps_left)
        numbers = informative(network, X, seed)
        steps_left -= n_steps
        if len(numbers) < width or width == n_features or steps_left < n_steps:
            return numbers
        width = min(2 * width, n_features)


@torch.no_grad()
def informative(network: VAE, X: Rows, seed: int) -> np.ndarray:
    """Numbers of the variables that carry information, or that of the one that carries most."""
    x = torch.from_numpy(X.draw(MAX_ROWS, np.random.default_rng(seed))[:])
    device = next(network.parameters()).device
    with LocalDraws(seed):  # networks of the user may draw even in evaluation mode
        kl = kl_per_variable(*network.eval().encode(x.to(device))).mean(dim=0).cpu().numpy()
    numbers = np.flatnonzero(kl > INFORMATION)
    return numbers if len(numbers) else np.array([int(np.argmax(kl))])


def of_variables(history: list[dict[str, Any]], numbers: np.ndarray) -> list[dict[str, Any]]:
    """Restrict what records of training have per variable; other entries stay as they were."""
    records = [
        {k: v[numbers] if isinstance(v, np.ndarray) else v for k, v in record.items()}
        for record in history
    ]
    for record in records:
        record["n_active"] = int((record["variance_of_mean"] > ACTIVITY_THRESHOLD).sum())
    return records
