"""The linear model with Gaussian noise that stands for a likelihood where training starts.

Around outputs eta_0 that suit the column means m, the log-likelihood of the one-parameter families
in their natural parameter is, to second order [1]_,

    (x - m) (eta - eta_0) - V(m) (eta - eta_0)^2 / 2 + constant,

where V is the variance function: that of a working response eta_0 + (x - m) / V(m) with Gaussian
noise of the variance 1 / V(m). So x itself has noise of the variance V(m), and its mean moves by
V(m) with the output. V is p (1 - p) for 0 and 1, and p for the columns of a one-hot group, whose
factors are then those of multiple correspondence analysis. Counts m vary by orders of magnitude
between rows, and the encoder sees ln(1 + x): that has, by the delta method, noise of the variance
V(m) / (1 + m)^2, and its mean moves by m / (1 + m) with the logarithm of the rate.

.. [1] F. Sicks, R. Korn and S. Schwaar, "A Generalised Linear Model Framework for beta-Variational
   Autoencoders based on Exponential Dispersion Families", JMLR 22, 2021, arXiv:2006.06267.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch

from passive_pruner.vae._likelihoods import LikelihoodModule
from passive_pruner.vae._likelihoods._base import STRETCH
from passive_pruner.vae._likelihoods._categorical import CategoricalModule
from passive_pruner.vae._likelihoods._counts import (
    LOG_INVERSE_DISPERSION_BOUND,
    NegativeBinomialModule,
    PoissonModule,
)
from passive_pruner.vae._likelihoods._gaussian import GaussianModule
from passive_pruner.vae._likelihoods._mixed import MixedModule
from passive_pruner.vae._likelihoods._unit_interval import BernoulliModule

# Points of the Gauss-Hermite quadrature over a normal distribution.
N_POINTS = 21


class Counterpart(ABC):
    """Linear model of some columns, in the units of what the encoder sees.

    Parameters
    ----------
    module : LikelihoodModule
        Likelihood of these columns.

    Attributes
    ----------
    noise_kind : {"fixed", "shared", "per_feature"}
        Whether `noise_units` squared is the noise variance, or a unit of it.
    is_expansion : bool
        Whether it holds around the column means alone.
    """

    noise_kind = "fixed"
    is_expansion = True

    def __init__(self, module: Any):
        self.module = module

    @abstractmethod
    def noise_units(self, mean: np.ndarray, n_samples: float) -> np.ndarray:
        """Return standard deviations of the noise, given the column means."""

    def slope(self, mean: np.ndarray, n_samples: float) -> np.ndarray:
        """Return how much of what the encoder sees moves with one unit of the output."""
        return self.noise_units(mean, n_samples) ** 2

    @abstractmethod
    def offset(self, mean: np.ndarray, spread: np.ndarray, n_samples: float) -> np.ndarray:
        """Return outputs at the origin, given the deviations of outputs over the prior."""

    def set_noise(self, mean: np.ndarray, noise: np.ndarray, n_samples: float) -> None:  # noqa: B027
        """Take over noise variances, where the likelihood has some of its own."""


class _OfGaussian(Counterpart):
    is_expansion = False

    def __init__(self, module):
        super().__init__(module)
        self.noise_kind = module.noise_kind

    def noise_units(self, mean, n_samples):
        return 1 / self.module.noise_units.double().numpy()

    def slope(self, mean, n_samples):
        return np.ones_like(mean)

    def offset(self, mean, spread, n_samples):
        return mean

    def set_noise(self, mean, noise, n_samples):
        if self.noise_kind != "fixed":
            self.module.set_noise(noise / self.noise_units(mean, n_samples) ** 2)


class _OfBernoulli(Counterpart):
    def noise_units(self, mean, n_samples):
        p = _inner(mean, n_samples)
        return np.sqrt(p * (1 - p))

    def offset(self, mean, spread, n_samples):
        # The mean of a steep sigmoid over the prior is not the sigmoid of the mean.
        points, weights = np.polynomial.hermite_e.hermegauss(N_POINTS)
        weights /= weights.sum()
        p = _inner(mean, n_samples)
        bound = np.abs(np.log(p / (1 - p))) + spread**2
        low, high = -bound, bound
        for _ in range(50):
            middle = (low + high) / 2
            logits = middle[:, np.newaxis] + spread[:, np.newaxis] * points
            is_high = (0.5 + 0.5 * np.tanh(0.5 * logits)) @ weights > p
            low, high = np.where(is_high, low, middle), np.where(is_high, middle, high)
        return (low + high) / 2


class _OfCategorical(Counterpart):
    def noise_units(self, mean, n_samples):
        return np.sqrt(_inner(mean, n_samples))

    def offset(self, mean, spread, n_samples):
        return np.log(_inner(mean, n_samples))


class _OfPoisson(Counterpart):
    def __init__(self, module):
        super().__init__(module)
        self.rate = module.location.double().exp().numpy()
        self.scale = float(module.log_scale)

    def noise_units(self, mean, n_samples):
        return np.sqrt(self.rate) / (1 + self.rate) / self.scale

    def slope(self, mean, n_samples):
        return self.rate / (1 + self.rate) / self.scale

    def offset(self, mean, spread, n_samples):
        return -(spread**2) / 2  # the mean of exp(spread * z) is exp(spread^2 / 2)


class _OfNegativeBinomial(_OfPoisson):
    noise_kind = "per_feature"

    def set_noise(self, mean, noise, n_samples):
        # (m + m^2 / theta) / m is how many times the noise of a Poisson distribution it is.
        ratio = noise / self.noise_units(mean, n_samples) ** 2
        bound = np.exp(LOG_INVERSE_DISPERSION_BOUND)
        dispersion = np.clip((ratio - 1) / self.rate, 1 / bound, bound)
        change = -np.log(dispersion) - self.module.start.double().numpy()
        self.module.log_ratio.copy_(torch.from_numpy(change / STRETCH))


# By exact type: a subclass may have another distribution.
COUNTERPARTS: dict[type[LikelihoodModule], type[Counterpart]] = {
    BernoulliModule: _OfBernoulli,
    CategoricalModule: _OfCategorical,
    GaussianModule: _OfGaussian,
    NegativeBinomialModule: _OfNegativeBinomial,
    PoissonModule: _OfPoisson,
}


def counterparts(
    likelihood: LikelihoodModule, n_features: int
) -> list[tuple[Counterpart, np.ndarray, np.ndarray]]:
    """Return the linear model of every part of a likelihood that has one.

    Proportions of a row, as counts with an exposure are modelled, have none: the factor that
    would be found first is how much was counted in a row, which their decoder cannot express.

    Parameters
    ----------
    likelihood : LikelihoodModule
    n_features : int
        Number of columns.

    Returns
    -------
    parts : list of (counterpart, columns, outputs)
        Columns, and the decoder's outputs for them, as arrays of numbers of the same length.
    """
    parts: Any = [(likelihood, np.arange(n_features), np.arange(n_features))]
    if type(likelihood) is MixedModule:
        order: Any = likelihood.order
        columns = np.split(order.numpy(), np.cumsum(likelihood.n_columns)[:-1])
        ends = np.cumsum(likelihood.n_outputs)
        outputs = np.split(np.arange(ends[-1]), ends[:-1])
        parts = zip(likelihood.parts, columns, outputs, strict=True)
    return [
        (COUNTERPARTS[type(module)](module), columns, outputs)
        for module, columns, outputs in parts
        if type(module) in COUNTERPARTS and getattr(module, "exposure", None) is None
    ]


def _inner(mean, n_samples):
    """Share of ones, where none and all count as half a row and all but half of one."""
    return np.clip(mean, 0.5 / n_samples, 1 - 0.5 / n_samples)
