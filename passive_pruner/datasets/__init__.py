"""Data sets with known factors and posteriors of known types."""

from passive_pruner.datasets._dsprites import load_dsprites
from passive_pruner.datasets._factors import FactorImages
from passive_pruner.datasets._posterior import make_posterior
from passive_pruner.datasets._sprites import make_sprites

__all__ = ["FactorImages", "load_dsprites", "make_posterior", "make_sprites"]
