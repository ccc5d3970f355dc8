"""Objectives: what is added to the reconstruction error, in nats averaged over rows."""

from abc import abstractmethod
from numbers import Real
from typing import ClassVar

import torch
from sklearn.utils._param_validation import Interval

from passive_pruner.vae._component import Component


def kl_per_variable(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    r"""KL divergence of every posterior from the standard normal prior, in nats.

    .. math:: \tfrac12 (\mu^2 + \sigma^2 - 1 - \ln \sigma^2)

    Kingma and Welling (2014), "Auto-Encoding Variational Bayes", arXiv 1312.6114, appendix B.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (batch, n_components)

    Returns
    -------
    kl : Tensor of shape (batch, n_components)
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


class Objective(Component):
    """Base class of objectives: implement :meth:`regularizer`.

    Training minimises the negative log-likelihood plus the regulariser, both in nats and averaged
    over the rows of a batch.
    """

    @abstractmethod
    def regularizer(self, mean, log_variance, sample, *, step=0, discriminator_logits=None):
        """Everything that is minimised besides the negative log-likelihood.

        Parameters
        ----------
        mean, log_variance : Tensor of shape (batch, n_components)
            Posterior of the batch.
        sample : Tensor of shape (batch, n_components)
            One draw from that posterior.
        step : int, default=0
            Number of gradient steps done before this one, for schedules.
        discriminator_logits : Tensor of shape (batch, 2) or None, default=None
            What a density-ratio discriminator says of `sample`.

        Returns
        -------
        regularizer : Tensor, scalar
            In nats, averaged over the batch, the KL divergence included.
        """


class BetaVAE(Objective):
    r"""The :math:`\beta`-VAE; with ``beta=1`` the evidence lower bound (ELBO).

    The regulariser is :math:`\beta \, \mathrm{KL}(q(z|x) \| p(z))`.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the KL divergence.

    References
    ----------
    Higgins et al. (2017), "beta-VAE: Learning Basic Visual Concepts with a Constrained
    Variational Framework", ICLR, equation 4.

    Examples
    --------
    >>> import torch
    >>> from passive_pruner.vae import BetaVAE
    >>> mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> BetaVAE(beta=4.0).regularizer(mean, log_variance, mean).item()
    2.0
    """

    _parameter_constraints: ClassVar[dict] = {"beta": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, beta=1.0):
        self.beta = beta

    def regularizer(self, mean, log_variance, sample, *, step=0, discriminator_logits=None):
        return self.beta * kl_per_variable(mean, log_variance).sum(dim=1).mean()
