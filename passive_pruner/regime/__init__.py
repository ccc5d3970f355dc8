"""What active, mixed and passive mean: moments of a posterior, rules that read them, a report."""

from passive_pruner.regime._criteria import CRITERIA, active_units, kl, variance
from passive_pruner.regime._moments import LatentMoments
from passive_pruner.regime._report import report

__all__ = ["CRITERIA", "LatentMoments", "active_units", "kl", "report", "variance"]
