"""Gradients of the objectives' regularisers, written out.

Automatic differentiation is their reference: it serves objectives that are not in
:data:`GRADIENTS`, subclasses among them.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from passive_pruner.vae._objective import kl_divergence, pairwise_blocks
from passive_pruner.vae._objectives import DIPVAE, AnnealedVAE, BetaTCVAE, BetaVAE


def beta_vae(objective: BetaVAE, codes: SimpleNamespace, step: int):
    """Give the KL divergence alone."""
    return objective.beta, None, None, None


def annealed_vae(objective: AnnealedVAE, codes: SimpleNamespace, step: int):
    """Give the KL divergence, up or down towards the capacity; 0 where that is met, as in torch."""
    distance = kl_divergence(codes.mean, codes.log_variance).item() - objective.capacity(step)
    return objective.gamma * ((distance > 0) - (distance < 0)), None, None, None


def dip_vae(objective: DIPVAE, codes: SimpleNamespace, step: int):
    """Give the KL divergence and the penalty f(C) on the covariance C.

    With G the derivative of f by C, which is symmetric, and M the centred means of n rows, the
    gradient by the means is 2 M G / n: M has columns of mean 0, so centring changes nothing. That
    by ln s2, through the mean of s2 on the diagonal of C, is G_jj s2 / n.
    """
    n_rows = len(codes.mean)
    centred = codes.mean - codes.mean.mean(dim=0)
    by_covariance = centred.T @ centred
    variance = by_covariance.diagonal() / n_rows
    if objective.kind == "ii":
        variance = variance + codes.variance.mean(dim=0)
    by_variance = 2 * objective.diagonal_weight * (variance - 1)
    by_covariance *= 2 * objective.lambda_od / n_rows
    by_covariance.diagonal().copy_(by_variance)
    by_mean = (centred @ by_covariance).mul_(2 / n_rows)
    by_log_variance = None
    if objective.kind == "ii":
        by_log_variance = codes.variance * by_variance.div_(n_rows)
    return 1.0, by_mean, by_log_variance, None


def beta_tc_vae(objective: BetaTCVAE, codes: SimpleNamespace, step: int):
    """Give the KL divergence and the total correlation, whose weight is beta - 1."""
    gradients = total_correlation_gradient(codes.mean, codes.log_variance, codes.sample)
    return 1.0, *(g.mul_(objective.beta - 1) for g in gradients)


def total_correlation_gradient(
    mean: torch.Tensor, log_variance: torch.Tensor, sample: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Gradients of :func:`minibatch_total_correlation` by its three arguments.

    With :math:`L_{ljl}` the log density of draw j under the posterior of row i in variable l,

    .. math::
        A_{lji} = \mathrm{softmax}_i \Bigl(\sum_l L_{lji}\Bigr) - \mathrm{softmax}_i(L_{lji})

    is n times the derivative by it; the rest is the chain rule for
    :math:`L = -\tfrac12 ((z - \mu)^2 e^{-v} + v)`.

    Parameters
    ----------
    mean, log_variance, sample : Tensor of shape (batch, n_components)

    Returns
    -------
    by_mean, by_log_variance, by_sample : Tensor of shape (batch, n_components)
    """
    n_rows = len(mean)
    # Indexed [l, j, i], so that every operation runs along memory.
    mu, v = mean.T.contiguous()[:, None], log_variance.T.contiguous()[:, None]
    precision, log_norm = torch.exp(-v), -0.5 * v
    by_mean, by_log_variance = torch.zeros_like(mean.T), torch.zeros_like(mean.T)
    by_sample = []
    for z in pairwise_blocks(sample):
        distance = z - mu
        pull = distance * precision
        log_density = torch.addcmul(log_norm, distance, pull, value=-0.5)
        joint = log_density.sum(dim=0).softmax(dim=1)
        share = torch.sub(
            joint, torch.softmax(log_density, dim=2, out=log_density), out=log_density
        )
        pull *= share
        by_sample.append(-pull.sum(dim=2))
        by_mean += pull.sum(dim=1)
        by_log_variance += torch.addcmul(share, distance, pull, value=-1, out=share).sum(dim=1)
    return (
        by_mean.T / n_rows,
        by_log_variance.T * (-0.5 / n_rows),
        torch.cat(by_sample, dim=1).T / n_rows,
    )


# Objective -> function of it, of a namespace of mean, log_variance, variance and sample, each of
# shape (batch, n_components), and of the number of gradient steps done. It returns the weight of
# the KL divergence, whose gradient all of them share, and the gradients of the other terms by
# mean, by log-variance and by the sample, each a tensor or None where it is 0.
GRADIENTS: dict[type, Callable[[Any, SimpleNamespace, int], tuple]] = {
    BetaVAE: beta_vae,
    AnnealedVAE: annealed_vae,
    DIPVAE: dip_vae,
    BetaTCVAE: beta_tc_vae,
}
