"""Display classes for latent variables, as in scikit-learn. They need matplotlib."""

from passive_pruner.plots._correlation import CorrelationDisplay
from passive_pruner.plots._reconstruction import ReconstructionDisplay
from passive_pruner.plots._scree import ScreeDisplay
from passive_pruner.plots._threshold import ThresholdDisplay
from passive_pruner.plots._training import TrainingDisplay
from passive_pruner.plots._traversal import TraversalDisplay
from passive_pruner.plots._variable_types import VariableTypesDisplay

__all__ = [
    "CorrelationDisplay",
    "ReconstructionDisplay",
    "ScreeDisplay",
    "ThresholdDisplay",
    "TrainingDisplay",
    "TraversalDisplay",
    "VariableTypesDisplay",
]
