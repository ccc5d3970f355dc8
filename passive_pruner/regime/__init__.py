"""Moments of a posterior, the criteria for active, mixed and passive variables, and reports."""

from passive_pruner.regime._ablation import ablate
from passive_pruner.regime._compare import compare
from passive_pruner.regime._criteria import (
    CRITERIA,
    Criterion,
    active_units,
    entropy,
    explained_variance,
    kl,
    variance,
)
from passive_pruner.regime._moments import LatentMoments
from passive_pruner.regime._report import report
from passive_pruner.regime._standard_errors import standard_errors

__all__ = [
    "CRITERIA",
    "Criterion",
    "LatentMoments",
    "ablate",
    "active_units",
    "compare",
    "entropy",
    "explained_variance",
    "kl",
    "report",
    "standard_errors",
    "variance",
]
