"""Which latent variables a data set needs: what ``n_components="auto"`` stands for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from passive_pruner._common._rows import Rows
from passive_pruner._common._sample_weight import weighted
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
# Rows and curved functions of the codes in the regression that tells what factors have in common.
REGRESSION_ROWS = 2048
MAX_FUNCTIONS = 800
# Scale of these functions: they bend little within a standard deviation of a code.
BEND = 0.5
PENALTIES = 10.0 ** np.arange(-3, 4)
# Numbers of factors that are compared: those at the largest drops of the gain.
N_CANDIDATES = 8
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
    drawn = X.draw(MAX_ROWS, np.random.default_rng(seed))
    x = torch.from_numpy(drawn[:])
    device = next(network.parameters()).device
    with LocalDraws(seed):  # networks of the user may draw even in evaluation mode
        of_rows = kl_per_variable(*network.eval().encode(x.to(device)))
        if drawn.weights is None:
            kl = of_rows.mean(dim=0).cpu().numpy()
        else:
            kl = np.average(of_rows.cpu().numpy(), axis=0, weights=drawn.weights)
    numbers = np.flatnonzero(kl > INFORMATION)
    return numbers if len(numbers) else np.array([int(np.argmax(kl))])


@torch.no_grad()
def necessary_factors(network: VAE, X: Rows, rows: np.ndarray, seed: int) -> int:
    r"""Count the factors of a start that a curved model of the data needs.

    A curved surface lies in more directions than it has dimensions, and a factor analysis has a
    factor for each. Those after the first ones then are functions of the first, up to a rest, and
    a decoder can learn these functions. But a network that starts with all factors keeps them:
    each is used, and on the way to the better model without them it would first become worse. So
    the number is found before.

    Parameters
    ----------
    network : VAE
        At its start, from :class:`FactorAnalysisStart`, with at least one factor.
    X : Rows of shape (n_samples, n_features)
        Data.
    rows : ndarray of int
        Numbers of the rows to train on.
    seed : int
        Seed of the rows that are drawn, and of the regression.

    Returns
    -------
    n_factors : int
        At least 1, and at most the number of factors of the start.

    Notes
    -----
    Factor j has a signal-to-noise ratio :math:`g_j`, and a posterior variance of
    :math:`s_j = 1 / (1 + g_j)`. As a variable of its own it costs a divergence of
    :math:`\ln(1 + g_j) / 2` nats. Left out, it costs half the square of the error of its column
    in units of the noise. Let the other codes leave a share :math:`u_j` of the variance of its
    posterior mean unexplained; that is an error of :math:`u_j / s_j - 1` in the factor, beyond the
    noise of the mean itself. With the first k factors kept both costs are

    .. math:: \sum_{j \le k} \frac{\ln(1 + g_j)}{2} +
              \sum_{j > k} \frac{u_j / s_j - 1}{2},

    and the k with the smallest sum is returned. On data without curvature all :math:`u_j` are 1,
    the second term is :math:`g_j / 2`, which is more than :math:`\ln(1 + g_j) / 2`, and all
    factors are kept. The :math:`u_j` are errors of leaving one row out [1]_ of a ridge regression
    on random cosines [2]_.

    References
    ----------
    .. [1] D. M. Allen, "The relationship between variable selection and data augmentation and a
       method for prediction", Technometrics 16, 1974.
    .. [2] A. Rahimi and B. Recht, "Random features for large-scale kernel machines", NIPS 2007.
    """
    rng = np.random.default_rng(seed)
    shares = None
    if X.weights is None:
        drawn = rng.choice(rows, min(len(rows), REGRESSION_ROWS), replace=False)
        table = X[np.sort(drawn)]
    else:
        of_rows = X.part(rows).draw(REGRESSION_ROWS, rng)
        weights: Any = of_rows.weights
        table, shares = of_rows[:], weights / weights.mean()
    mean, log_variance = network.eval().encode(torch.from_numpy(table))
    codes, variances = mean.double().numpy(), log_variance.double().exp()
    if shares is None:
        variance = variances.mean(dim=0).numpy()
    else:
        variance = shares @ variances.numpy() / len(shares)
    order = np.argsort(variance, kind="stable")
    order = order[codes.std(axis=0)[order] > 0]
    variance = variance[order]
    codes = codes[:, order] - np.average(codes[:, order], axis=0, weights=shares)
    if shares is None:
        codes /= codes.std(axis=0)
    else:
        codes /= np.sqrt(shares @ codes**2 / len(shares))
    as_variables = np.cumsum(-np.log(variance) / 2)
    drops = np.diff(np.log(1 / variance - 1))
    costs = {len(variance): as_variables[-1]}
    for k in np.argsort(drops, kind="stable")[:N_CANDIDATES] + 1:
        share = _unexplained(codes[:, :k], codes[:, k:], shares, rng)
        costs[int(k)] = as_variables[k - 1] + np.sum(np.maximum(share / variance[k:] - 1, 0)) / 2
    return min(costs, key=lambda k: (costs[k], k))


def _unexplained(codes, others, shares, rng):
    """Share of the variance of other columns, 1 each, that no smooth function of codes explains.

    `shares` are weights of the rows, 1 on average, or None.
    """
    n, k = codes.shape
    n_functions = min(MAX_FUNCTIONS, n // 2)
    slopes = rng.standard_normal((k, n_functions)) * BEND / np.sqrt(k)
    cosines = np.cos(codes @ slopes + rng.uniform(0, 2 * np.pi, n_functions))
    inputs = np.hstack([cosines, codes, np.ones((n, 1))])
    if shares is not None:  # least squares with weights
        root = np.sqrt(shares)
        inputs, others = weighted(inputs, root), weighted(others, root)
    eigenvalues, vectors = np.linalg.eigh(inputs.T @ inputs)
    inputs = inputs @ vectors
    squares, products = inputs**2, inputs.T @ others
    share = np.ones(others.shape[1])
    for penalty in PENALTIES:
        shrunk = 1 / (np.maximum(eigenvalues, 0) + penalty)
        residual = others - inputs @ (shrunk[:, np.newaxis] * products)
        residual /= (1 - squares @ shrunk)[:, np.newaxis]  # as if the row had been left out
        share = np.minimum(share, np.mean(residual**2, axis=0))
    return share


def of_variables(history: list[dict[str, Any]], numbers: np.ndarray) -> list[dict[str, Any]]:
    """Restrict what records of training have per variable; other entries stay as they were."""
    records = [
        {k: v[numbers] if isinstance(v, np.ndarray) else v for k, v in record.items()}
        for record in history
    ]
    for record in records:
        record["n_active"] = int((record["variance_of_mean"] > ACTIVITY_THRESHOLD).sum())
    return records
