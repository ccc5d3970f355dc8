"""Base class of objectives, with the divergences and total correlations they share."""

from abc import ABC, abstractmethod
from inspect import signature
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from passive_pruner.vae._component import Component

# Elements of a tensor over all pairs of rows that exist at a time: half a MB in float32, because a
# dozen operations pass over it, and the second-level cache of a processor holds that much.
PAIRWISE_ELEMENTS = 2**17


def kl_per_variable(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    r"""Compute the KL divergence of every posterior from the standard normal prior, in nats.

    .. math:: \tfrac12 (\mu^2 + \sigma^2 - 1 - \ln \sigma^2)

    Kingma and Welling (2014), "Auto-Encoding Variational Bayes", arXiv 1312.6114, appendix B.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (batch, n_components)
        Posterior means and natural logarithms of the posterior variances.

    Returns
    -------
    kl : Tensor of shape (batch, n_components)
        KL divergence of every posterior in nats.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL divergence summed over variables and averaged over the batch, in nats; scalar."""
    return kl_per_variable(mean, log_variance).sum(dim=1).mean()


def minibatch_total_correlation(
    mean: torch.Tensor, log_variance: torch.Tensor, sample: torch.Tensor
) -> torch.Tensor:
    r"""Total correlation of the aggregate posterior, up to a constant, from one batch.

    With :math:`q(z) \approx \frac1M \sum_i q(z | x_i)` over the M rows of the batch,

    .. math::
        \mathrm{E}_j \Bigl[ \ln \sum_i \prod_l q(z_{jl} | x_i)
        - \sum_l \ln \sum_i q(z_{jl} | x_i) \Bigr]

    is the total correlation of the d variables less :math:`(d - 1) \ln M`, which has no gradient.

    Parameters
    ----------
    mean, log_variance, sample : Tensor of shape (batch, n_components)

    Returns
    -------
    total_correlation : Tensor, scalar
    """
    # Indexed [l, j, i], so that every operation runs along memory.
    mu, v = mean.T.contiguous()[:, None], log_variance.T.contiguous()[:, None]
    precision, log_norm = torch.exp(-v), -0.5 * v

    def log_ratio(z):
        # ln q(z_jl | x_i) without -ln(2 pi) / 2: it is in both terms d times.
        distance = z - mu
        log_density = torch.addcmul(log_norm, distance, distance * precision, value=-0.5)
        joint = log_density.sum(dim=0).logsumexp(dim=1)
        return joint - log_density.logsumexp(dim=2).sum(dim=0)

    return torch.cat([log_ratio(z) for z in pairwise_blocks(sample)]).mean()


def pairwise_blocks(sample: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split draws into blocks of rows that are compared with all rows at a time.

    Parameters
    ----------
    sample : Tensor of shape (batch, n_components)

    Returns
    -------
    blocks : tuple of Tensor of shape (n_components, n_rows_of_block, 1)
    """
    return sample.T[..., None].split(max(1, PAIRWISE_ELEMENTS // sample.numel()), dim=1)


class Codes(NamedTuple):
    """Posterior of a batch and one draw from it.

    Attributes
    ----------
    mean, log_variance : Tensor of shape (batch, n_components)
        Posterior means and natural logarithms of the posterior variances.
    sample : Tensor of shape (batch, n_components)
        One draw from that posterior.
    discriminator_logits : Tensor of shape (batch, 2) or None
        Output of the module of :meth:`Objective.build_discriminator` for `sample`, or None without
        a discriminator.
    """

    mean: torch.Tensor
    log_variance: torch.Tensor
    sample: torch.Tensor
    discriminator_logits: torch.Tensor | None = None


class Objective(Component, ABC):
    """Base class of objectives. Subclasses implement :meth:`regularizer`.

    Training minimises the negative log-likelihood plus the regulariser, both in nats and averaged
    over the rows of a batch. The other methods are optional.
    """

    def validated(self) -> Self:
        """Return a copy whose parameters have been checked.

        Returns
        -------
        objective : Objective
            Copy with valid parameters.

        Raises
        ------
        ValueError
            If a parameter is outside its documented range.
        TypeError
            If :meth:`regularizer` or :meth:`parts` takes the posterior as several arguments.
        """
        for method in (self.regularizer, self.parts):
            if "log_variance" in signature(method).parameters:
                name = method.__name__
                raise TypeError(
                    f"{type(self).__name__}.{name} takes mean and log_variance, but is called as "
                    f"{name}(codes, step=step), with a named tuple of mean, log_variance, sample "
                    "and discriminator_logits."
                )
        return super().validated()

    @abstractmethod
    def regularizer(self, codes: Codes, *, step: int = 0) -> torch.Tensor:
        """Compute all terms that are minimised besides the negative log-likelihood.

        Parameters
        ----------
        codes : Codes
            Named tuple of `mean`, `log_variance`, `sample` and `discriminator_logits`.
        step : int, default=0
            Number of previous gradient steps, for schedules.

        Returns
        -------
        regularizer : Tensor, scalar
            Regulariser in nats, averaged over the batch, including the KL divergence.
        """

    def parts(self, codes: Codes, *, step: int = 0) -> dict[str, Any]:
        """Compute the components of the regulariser, for the history.

        This method is called once per epoch on the evaluation rows, not in gradient steps.

        Parameters
        ----------
        codes : Codes
            As in :meth:`regularizer`.
        step : int, default=0
            Number of previous gradient steps.

        Returns
        -------
        parts : dict of str to float or scalar Tensor
            Values by name. Do not use names that the history already has, such as "kl".
        """
        return {}

    def schedule_steps(self) -> int:
        """Return the gradient step at which the schedules of the objective end.

        Returns
        -------
        step : int
            Number of gradient steps, 0 without a schedule.
        """
        return 0

    def build_discriminator(self, n_components: int) -> nn.Module | None:
        """Build the network that distinguishes codes from permuted codes, if there is one.

        It is trained together with the autoencoder, by a separate optimiser, and is not part of the
        fitted model.

        Parameters
        ----------
        n_components : int
            Number of latent variables.

        Returns
        -------
        discriminator : torch.nn.Module or None
            Network that maps (batch, n_components) to (batch, 2), the logits of the classes "code"
            and "permuted code".
        """
        return None
