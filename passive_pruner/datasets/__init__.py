"""Data sets whose truth is known."""

from passive_pruner.datasets._posterior import make_posterior

__all__ = ["make_posterior"]
