"""Parts of variational autoencoders: objectives, likelihoods and architectures."""

from passive_pruner.vae._architectures import MLP, Architecture
from passive_pruner.vae._likelihoods import Bernoulli, Gaussian, Likelihood, LikelihoodModule
from passive_pruner.vae._objectives import BetaVAE, Objective

__all__ = [
    "MLP",
    "Architecture",
    "Bernoulli",
    "BetaVAE",
    "Gaussian",
    "Likelihood",
    "LikelihoodModule",
    "Objective",
]
