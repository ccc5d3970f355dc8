"""Effect of pruning on a pipeline, and the experiments of "Be More Active!".

``python -m passive_pruner.study`` runs the experiments; ``--help`` lists its options.
"""

from passive_pruner._common._one_standard_error import one_standard_error_rule
from passive_pruner.study._compare_pruning import compare_pruning
from passive_pruner.study._correlation import correlation_by_type
from passive_pruner.study._stability import TypeStability, type_stability
from passive_pruner.study._subsets import evaluate_subsets

__all__ = [
    "TypeStability",
    "compare_pruning",
    "correlation_by_type",
    "evaluate_subsets",
    "one_standard_error_rule",
    "type_stability",
]
