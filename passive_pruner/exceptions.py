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
    """Every latent variable of a fitted encoder is passive: its codes carry no information."""


class DivergenceWarning(UserWarning):
    """Training met a non-finite objective and was stopped at the last finite weights."""


class FirstBatchWarning(UserWarning):
    """The first batch of a stream has very few rows, or later ones are far from it."""


class PassiveUndeterminedWarning(UserWarning):
    """The given codes cannot show whether any of their variables is passive."""


class PrecisionWarning(UserWarning):
    """Values of a column are so large beside their spread that float32 cannot tell them apart."""


class ScheduleWarning(UserWarning):
    """A schedule of the objective takes more gradient steps than training may take."""


class TrainingInterruptedWarning(UserWarning):
    """Training was interrupted from the keyboard; the model holds what was learned until then."""


class UnknownCategoryWarning(UserWarning):
    """A table has categories that were not there in fit, and they are taken for missing cells."""
