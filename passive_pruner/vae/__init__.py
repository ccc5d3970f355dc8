"""Components of variational autoencoders: objectives, likelihoods and architectures."""

from passive_pruner.vae._architectures import MLP, Architecture, Conv, FromFactory
from passive_pruner.vae._likelihoods import Likelihood, LikelihoodModule, Mixed, _names
from passive_pruner.vae._likelihoods._names import *  # noqa: F403 (each is in its __all__)
from passive_pruner.vae._objective import Codes, Objective, kl_per_variable
from passive_pruner.vae._objectives import DIPVAE, AnnealedVAE, BetaTCVAE, BetaVAE, FactorVAE

__all__ = [
    "DIPVAE",
    "MLP",
    "AnnealedVAE",
    "Architecture",
    "BetaTCVAE",
    "BetaVAE",
    "Codes",
    "Conv",
    "FactorVAE",
    "FromFactory",
    "Likelihood",
    "LikelihoodModule",
    "Mixed",
    "Objective",
    "kl_per_variable",
]
__all__ += _names.__all__
