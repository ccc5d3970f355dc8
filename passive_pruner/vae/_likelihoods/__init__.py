"""Likelihoods: what the decoder's outputs say about the data.

A likelihood is a plain component. It builds a torch module that turns decoder outputs into a
:class:`torch.distributions.Distribution` over the cells of the table, and that holds whatever
the likelihood itself learns, such as the variance of a Gaussian.
"""

from passive_pruner.vae._likelihoods._base import Likelihood, LikelihoodModule
from passive_pruner.vae._likelihoods._categorical import Categorical
from passive_pruner.vae._likelihoods._counts import NegativeBinomial, Poisson
from passive_pruner.vae._likelihoods._gaussian import Gaussian, _GaussianModule
from passive_pruner.vae._likelihoods._mixed import Mixed
from passive_pruner.vae._likelihoods._names import LIKELIHOODS
from passive_pruner.vae._likelihoods._unit_interval import (
    Bernoulli,
    ContinuousBernoulli,
    _BernoulliModule,
)

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Gaussian",
    "Likelihood",
    "LikelihoodModule",
    "Mixed",
    "NegativeBinomial",
    "Poisson",
    "_BernoulliModule",
    "_GaussianModule",
]
