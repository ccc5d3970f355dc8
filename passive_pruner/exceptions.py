"""Warning classes of passive_pruner."""

__all__ = [
    "CollapseWarning",
    "DivergenceWarning",
    "FirstBatchWarning",
    "PassiveUndeterminedWarning",
    "PrecisionWarning",
    "ScheduleWarning",
    "TrainingInterruptedWarning",
    "UnknownCategoryWarning",
]


class CollapseWarning(UserWarning):
    """Warning raised if every latent variable of a fitted encoder is passive."""


class DivergenceWarning(UserWarning):
    """Warning raised if the objective is not finite; the last finite weights are kept."""


class FirstBatchWarning(UserWarning):
    """Warning raised if a first batch has very few rows, or later batches are far from it."""


class PassiveUndeterminedWarning(UserWarning):
    """Warning raised if passive variables cannot be detected in the given codes."""


class PrecisionWarning(UserWarning):
    """Warning raised if float32 cannot distinguish the values of a column."""


class ScheduleWarning(UserWarning):
    """Warning raised if a schedule of the objective is longer than training may be."""


class TrainingInterruptedWarning(UserWarning):
    """Warning raised if training is interrupted from the keyboard; the model is kept."""


class UnknownCategoryWarning(UserWarning):
    """Warning raised if categories that were not present in fit are handled as missing cells."""
