"""Likelihoods: what the decoder's outputs say about the data.

A likelihood is a plain component. It builds a torch module that turns decoder outputs into a
:class:`torch.distributions.Distribution` over the cells of the table, and that holds whatever
the likelihood itself learns, such as the variance of a Gaussian.
"""

from passive_pruner.vae._likelihoods._base import Likelihood, LikelihoodModule
from passive_pruner.vae._likelihoods._mixed import Mixed
from passive_pruner.vae._likelihoods._names import LIKELIHOODS

__all__ = ["LIKELIHOODS", "Likelihood", "LikelihoodModule", "Mixed"]
