"""Parts of variational autoencoders: objectives, likelihoods and architectures."""

from passive_pruner.vae._architectures import MLP, Architecture, Conv, FromFactory
from passive_pruner.vae._likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    LikelihoodModule,
    Mixed,
    NegativeBinomial,
    Poisson,
)
from passive_pruner.vae._objectives import (
    DIPVAE,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    Codes,
    FactorVAE,
    Objective,
    kl_per_variable,
)

__all__ = [
    "DIPVAE",
    "MLP",
    "AnnealedVAE",
    "Architecture",
    "Bernoulli",
    "BetaTCVAE",
    "BetaVAE",
    "Categorical",
    "Codes",
    "ContinuousBernoulli",
    "Conv",
    "FactorVAE",
    "FromFactory",
    "Gaussian",
    "Likelihood",
    "LikelihoodModule",
    "Mixed",
    "NegativeBinomial",
    "Objective",
    "Poisson",
    "kl_per_variable",
]
