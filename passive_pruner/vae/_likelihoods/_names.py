"""The likelihoods of the package, and their names; only :class:`Mixed` combines those of others."""

from passive_pruner.vae._likelihoods._categorical import Categorical
from passive_pruner.vae._likelihoods._counts import NegativeBinomial, Poisson
from passive_pruner.vae._likelihoods._gaussian import Gaussian
from passive_pruner.vae._likelihoods._unit_interval import Bernoulli, ContinuousBernoulli

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Gaussian",
    "NegativeBinomial",
    "Poisson",
]

LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "negative_binomial": NegativeBinomial,
    "poisson": Poisson,
}
