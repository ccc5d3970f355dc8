"""Where training starts: at a factor analysis of the data."""

from typing import Any, cast

import numpy as np
import torch

from passive_pruner._common._rows import CHUNK_ROWS, Rows
from passive_pruner.training._factor_analysis import factor_analysis
from passive_pruner.vae._architectures import WithLinearPath
from passive_pruner.vae._likelihoods._gaussian import GaussianModule
from passive_pruner.vae._network import VAE


@torch.no_grad()
def start_at_factor_analysis(
    network: VAE, X: Rows, rows: np.ndarray, held_out: np.ndarray, beta: float
) -> int:
    """Set the weights of a network so that it is a factor analysis of some rows.

    The linear paths hold the factor analysis, and the last layers of the perceptrons beside them
    are 0 but for their biases: at ``beta=1`` the ELBO of a row is then its log-likelihood under
    the factor analysis. Variables for which the data shows no factor have the prior as their
    posterior, and are decoded into nothing.

    Parameters
    ----------
    network : VAE
        On the CPU, of two halves with linear paths and with a Gaussian likelihood.
    X : Rows of shape (n_samples, n_features)
        Data.
    rows, held_out : ndarray of int
        Numbers of the rows that the factors are fitted to, and of others, which take part in the
        noise alone. A column that is 0 in nearly all rows can be reproduced exactly where it was
        seen and be far off elsewhere.
    beta : float
        Weight of the divergence.

    Returns
    -------
    n_factors : int
        Number of variables that are not passive.
    """
    encoder = cast(WithLinearPath, network.encoder)
    decoder = cast(WithLinearPath, network.decoder)
    likelihood = cast(GaussianModule, network.likelihood)
    units = likelihood.noise_units.double().numpy()
    mean, covariance, n_samples = _moments(X, rows, likelihood, units)
    d = decoder.linear.in_features
    beta = max(beta, 1e-6)  # without a weight the best posterior has no variance
    factors = factor_analysis(covariance, n_samples, d, noise_kind=likelihood.noise_kind)
    k = len(factors.gain)
    if likelihood.noise_kind != "fixed":
        noise = factors.noise
        if len(held_out):
            of_held_out = _residual(X[held_out], factors, mean, likelihood, units)
            weight = len(held_out) / (n_samples + len(held_out))
            noise = (1 - weight) * noise + weight * of_held_out
        if likelihood.noise_kind == "shared":
            noise = np.full_like(noise, noise.mean())
        likelihood.set_noise(noise)

    to_mean = np.zeros((2 * d, len(units)))
    to_mean[:k] = factors.posterior_map(beta) * units
    bias = np.zeros(2 * d)
    bias[:k] = -factors.posterior_map(beta) @ mean
    bias[d : d + k] = np.log(beta / (beta + factors.gain))
    loadings = np.zeros((len(units), d))
    loadings[:, :k] = factors.loadings / units[:, np.newaxis]
    for half, weight, shift in ((encoder, to_mean, bias), (decoder, loadings, mean / units)):
        half.linear.weight.copy_(torch.from_numpy(weight))
        last: Any = half.perceptron[-1]
        last.weight.zero_()
        last.bias.copy_(torch.from_numpy(shift))
    return k


def _residual(chunk, factors, mean, likelihood, units):
    """Mean square of what the factors leave of some rows, by column, over their posterior."""
    centred = _values(chunk, likelihood, units) - mean
    left = centred - centred @ factors.posterior_map().T @ factors.loadings.T
    return np.mean(left**2, axis=0) + factors.loadings**2 @ (1 / (1 + factors.gain))


def _values(chunk, likelihood, units):
    location, scale = likelihood.location.double().numpy(), likelihood.scale.double().numpy()
    return (chunk.astype(np.float64) - location) / scale * units


def _moments(X, rows, likelihood, units):
    """Mean and covariance of rows in the units of the noise, in one pass, and their number."""
    total, square, n = np.zeros(len(units)), np.zeros((len(units), len(units))), 0
    for part, numbers in X.parts(rows, np.random.RandomState(0)):
        for start in range(0, len(numbers), CHUNK_ROWS):
            chunk = part[np.sort(numbers[start : start + CHUNK_ROWS])]
            values = _values(chunk, likelihood, units)
            total += values.sum(axis=0)
            square += values.T @ values
            n += len(values)
    mean = total / n
    return mean, square / n - np.outer(mean, mean), n
