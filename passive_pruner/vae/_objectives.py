"""Objectives: what is added to the reconstruction error, in nats averaged over rows."""

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import torch
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints
from torch import nn

from passive_pruner.vae._objective import (
    Codes,
    Objective,
    kl_divergence,
    minibatch_total_correlation,
)


class BetaVAE(Objective):
    r"""The :math:`\beta`-VAE. With ``beta=1`` it is the evidence lower bound (ELBO).

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
    >>> from passive_pruner.vae import BetaVAE, Codes
    >>> mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> BetaVAE(beta=4.0).regularizer(Codes(mean, log_variance, mean)).item()
    2.0
    """

    _parameter_constraints: ClassVar[dict] = {"beta": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def regularizer(self, codes: Codes, *, step: int = 0) -> torch.Tensor:
        return self.beta * kl_divergence(codes.mean, codes.log_variance)


class AnnealedVAE(Objective):
    r"""VAE whose KL divergence is kept close to a capacity that increases during training.

    The regulariser is :math:`\gamma \, |\mathrm{KL}(q(z|x) \| p(z)) - C|`. The capacity C increases
    linearly in gradient steps from 0 to `c_max`, so that variables become active one after the
    other, starting with those that explain most.

    Parameters
    ----------
    gamma : float, default=1000.0
        Weight of the distance between KL divergence and capacity.
    c_max : float, default=25.0
        Capacity at the end of the schedule, in nats.
    iteration_threshold : int, default=100000
        Gradient step at which the capacity reaches `c_max`. Training with fewer steps ends with a
        smaller capacity than `c_max`: set this to the planned number of steps.

    Notes
    -----
    The history records the current C as "capacity". Early stopping evaluates the objective with the
    capacity of the last step that training may take, because objectives with different capacities
    cannot be compared.

    References
    ----------
    Burgess et al. (2018), "Understanding disentangling in beta-VAE", arXiv 1804.03599,
    equation 8.

    Examples
    --------
    >>> import torch
    >>> from passive_pruner.vae import AnnealedVAE, Codes
    >>> mean, log_variance = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> objective = AnnealedVAE(gamma=10.0, c_max=8.0, iteration_threshold=1000)
    >>> codes = Codes(mean, log_variance, mean)
    >>> [objective.regularizer(codes, step=s).item() for s in (0, 250, 5000)]
    [20.0, 0.0, 60.0]
    """

    _parameter_constraints: ClassVar[dict] = {
        "gamma": [Interval(Real, 0, None, closed="left")],
        "c_max": [Interval(Real, 0, None, closed="left")],
        "iteration_threshold": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, gamma: float = 1000.0, c_max: float = 25.0, iteration_threshold: int = 100_000
    ) -> None:
        self.gamma = gamma
        self.c_max = c_max
        self.iteration_threshold = iteration_threshold

    def capacity(self, step: int) -> float:
        """Return the capacity after `step` gradient steps.

        Parameters
        ----------
        step : int
            Number of gradient steps.

        Returns
        -------
        capacity : float
            Capacity in nats.
        """
        return self.c_max * min(1.0, step / self.iteration_threshold)

    def schedule_steps(self) -> int:
        return self.iteration_threshold

    def regularizer(self, codes: Codes, *, step: int = 0) -> torch.Tensor:
        return (
            self.gamma * (kl_divergence(codes.mean, codes.log_variance) - self.capacity(step)).abs()
        )

    def parts(self, codes: Codes, *, step: int = 0) -> dict[str, Any]:
        return {"capacity": self.capacity(step)}


class FactorVAE(Objective):
    r"""VAE with a penalty on the total correlation that a discriminator estimates.

    The regulariser is :math:`\mathrm{KL}(q(z|x) \| p(z)) + \gamma \, \mathrm{E}_{q(z)}
    [\ln D_1(z) - \ln D_2(z)]`. The discriminator D is trained together with the autoencoder to
    distinguish codes from codes whose variables come from different rows. For the optimal
    discriminator the expectation is the total correlation of the aggregate posterior.

    Parameters
    ----------
    gamma : float, default=10.0
        Weight of the total correlation.
    discriminator_layer_sizes : tuple of int, default=(1000, 1000, 1000, 1000, 1000, 1000)
        Widths of the hidden layers of the discriminator, which have leaky ReLU units. The default
        is that of the paper. On a CPU it takes a hundred times as long as an autoencoder for
        tables; (256, 256) is often enough for ten latent variables.

    Notes
    -----
    The discriminator is not part of the fitted network. :meth:`~passive_pruner.VAEEncoder.fit`
    starts with a new one, also with `warm_start`; :meth:`~passive_pruner.VAEEncoder.partial_fit`
    continues with that of the last call and with the state of its optimiser.

    The history records the estimate of the discriminator as "total_correlation". It starts at 0
    with an untrained discriminator, and is too small until the discriminator has been trained.

    References
    ----------
    Kim and Mnih (2018), "Disentangling by Factorising", arXiv 1802.05983, equation 2; the
    training of the discriminator is algorithm 1 with the permuted codes of the same batch.

    Examples
    --------
    >>> import torch
    >>> from passive_pruner.vae import Codes, FactorVAE
    >>> mean, log_variance = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> objective = FactorVAE(gamma=10.0, discriminator_layer_sizes=(8,))
    >>> logits = objective.build_discriminator(2)(mean)
    >>> logits.shape
    torch.Size([1, 2])
    >>> even = torch.zeros_like(logits)
    >>> objective.regularizer(Codes(mean, log_variance, mean, even)).item()
    2.0
    """

    _parameter_constraints: ClassVar[dict] = {
        "gamma": [Interval(Real, 0, None, closed="left")],
        "discriminator_layer_sizes": ["array-like"],
    }

    def __init__(
        self, gamma: float = 10.0, discriminator_layer_sizes: Sequence[int] = (1000,) * 6
    ) -> None:
        self.gamma = gamma
        self.discriminator_layer_sizes = discriminator_layer_sizes

    def build_discriminator(self, n_components: int) -> nn.Module:
        sizes = (n_components, *self.discriminator_layer_sizes)
        for size in sizes:
            validate_parameter_constraints(
                {"discriminator_layer_sizes": [Interval(Integral, 1, None, closed="left")]},
                {"discriminator_layer_sizes": size},
                caller_name=type(self).__name__,
            )
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], 2))

    def regularizer(self, codes: Codes, *, step: int = 0) -> torch.Tensor:
        total_correlation = self._total_correlation(codes)
        return kl_divergence(codes.mean, codes.log_variance) + self.gamma * total_correlation

    def parts(self, codes: Codes, *, step: int = 0) -> dict[str, Any]:
        return {"total_correlation": self._total_correlation(codes)}

    @staticmethod
    def _total_correlation(codes):
        logits = codes.discriminator_logits
        if logits is None:
            raise ValueError("FactorVAE needs the discriminator_logits of `codes.sample`.")
        return (logits[:, 0] - logits[:, 1]).mean()


class DIPVAE(Objective):
    r"""VAE with a penalty on the covariance of its codes (DIP-VAE-I and -II).

    The regulariser is :math:`\mathrm{KL}(q(z|x) \| p(z)) + \lambda_{od} \sum_{i \ne j} C_{ij}^2
    + \lambda_d \sum_i (C_{ii} - 1)^2`, where C is the covariance over the batch of the posterior
    means (kind "i") or of the codes, :math:`\mathrm{Cov}(\mu) + \mathrm{E}[\mathrm{diag}
    (\sigma^2)]` (kind "ii").

    Parameters
    ----------
    kind : {"i", "ii"}, default="ii"
        Covariance that is compared with the identity: that of the means ("i") or that of the codes
        ("ii").
    lambda_od : float, default=10.0
        Weight of the off-diagonal entries.
    lambda_d : float or None, default=None
        Weight of the diagonal entries. None means ``10 * lambda_od`` for kind "i" and `lambda_od`
        for kind "ii".

    Notes
    -----
    Kind "ii" does not penalise passive variables: their posterior is the prior, so their codes have
    variance 1 and no covariance. Kind "i" penalises means whose variance is not 1, and thus
    discourages passive variables.

    The history records "off_diagonal" and "diagonal", the two sums without their weights.

    References
    ----------
    Kumar, Sattigeri and Balakrishnan (2018), "Variational Inference of Disentangled Latent
    Concepts from Unlabeled Observations", arXiv 1711.00848, equations 6 (kind "i") and 7
    (kind "ii").

    Examples
    --------
    >>> import torch
    >>> from passive_pruner.vae import DIPVAE, Codes
    >>> mean = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    >>> log_variance = torch.zeros(2, 2)
    >>> codes = Codes(mean, log_variance, mean)
    >>> parts = DIPVAE(kind="ii").parts(codes)  # variances 4 + 1 and 0 + 1
    >>> {name: value.item() for name, value in parts.items()}
    {'off_diagonal': 0.0, 'diagonal': 16.0}
    """

    _parameter_constraints: ClassVar[dict] = {
        "kind": [StrOptions({"i", "ii"})],
        "lambda_od": [Interval(Real, 0, None, closed="left")],
        "lambda_d": [Interval(Real, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        kind: Literal["i", "ii"] = "ii",
        lambda_od: float = 10.0,
        lambda_d: float | None = None,
    ) -> None:
        self.kind = kind
        self.lambda_od = lambda_od
        self.lambda_d = lambda_d

    @property
    def diagonal_weight(self) -> float:
        """Weight of the diagonal entries in use: `lambda_d`, or its default if that is None."""
        if self.lambda_d is not None:
            return self.lambda_d
        return self.lambda_od * (10 if self.kind == "i" else 1)

    def regularizer(self, codes: Codes, *, step: int = 0) -> torch.Tensor:
        off_diagonal, diagonal = self._deviations(codes)
        penalty = self.lambda_od * off_diagonal + self.diagonal_weight * diagonal
        return kl_divergence(codes.mean, codes.log_variance) + penalty

    def parts(self, codes: Codes, *, step: int = 0) -> dict[str, Any]:
        off_diagonal, diagonal = self._deviations(codes)
        return {"off_diagonal": off_diagonal, "diagonal": diagonal}

    def _deviations(self, codes):
        mean = codes.mean
        centred = mean - mean.mean(dim=0)
        covariance = centred.T @ centred / len(mean)
        variance = covariance.diagonal()
        off_diagonal = (covariance - torch.diag(variance)).square().sum()
        if self.kind == "ii":
            variance = variance + codes.log_variance.exp().mean(dim=0)
        return off_diagonal, (variance - 1).square().sum()


class BetaTCVAE(Objective):
    r"""VAE with a penalty on the total correlation, estimated from each batch.

    The regulariser is :math:`\mathrm{KL}(q(z|x) \| p(z)) + (\beta - 1) \, \mathrm{TC}`: the KL
    divergence contains the total correlation of the aggregate posterior with weight 1, which this
    objective changes to `beta`.

    Parameters
    ----------
    beta : float, default=4.0
        Weight of the total correlation. 1 gives the ELBO.

    Notes
    -----
    The estimate is that of minibatch weighted sampling without its constant, which depends on the
    number of rows and of latent variables. It is far below 0, and so the regulariser may be
    negative. The computing time is quadratic in the batch size. The history records
    "total_correlation" with the constant for the evaluation rows, so that it is 0 for independent
    variables.

    References
    ----------
    Chen et al. (2018), "Isolating Sources of Disentanglement in Variational Autoencoders",
    arXiv 1802.04942, equation 5 with alpha = gamma = 1.

    Examples
    --------
    >>> import torch
    >>> from passive_pruner.vae import BetaTCVAE, Codes
    >>> mean = torch.tensor([[3.0, 3.0], [-3.0, -3.0]])  # two variables that repeat each other
    >>> log_variance = torch.full((2, 2), -4.0)
    >>> codes = Codes(mean, log_variance, mean)
    >>> total_correlation = BetaTCVAE().parts(codes)["total_correlation"]
    >>> round(total_correlation.item(), 4)  # ln 2: one of them tells which row it is
    0.6931
    """

    _parameter_constraints: ClassVar[dict] = {"beta": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, beta: float = 4.0) -> None:
        self.beta = beta

    def regularizer(self, codes: Codes, *, step: int = 0) -> torch.Tensor:
        total_correlation = minibatch_total_correlation(*codes[:3])
        return kl_divergence(codes.mean, codes.log_variance) + (self.beta - 1) * total_correlation

    def parts(self, codes: Codes, *, step: int = 0) -> dict[str, Any]:
        n_rows, n_components = codes.mean.shape
        constant = (n_components - 1) * math.log(n_rows)
        total_correlation = minibatch_total_correlation(*codes[:3]) + constant
        return {"total_correlation": total_correlation}
