"""The experiments of "Be More Active!" on fitted encoders, and the command that repeats them.

``python -m passive_pruner.study --help`` shows what the command takes.
"""

from passive_pruner.study._correlation import correlation_by_type
from passive_pruner.study._stability import TypeStability, type_stability
from passive_pruner.study._subsets import evaluate_subsets

__all__ = ["TypeStability", "correlation_by_type", "evaluate_subsets", "type_stability"]
