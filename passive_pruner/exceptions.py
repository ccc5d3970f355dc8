"""Warning classes of passive_pruner."""

__all__ = [
    "CollapseWarning",
    "DivergenceWarning",
    "PassiveUndeterminedWarning",
    "TrainingInterruptedWarning",
]


class CollapseWarning(UserWarning):
    """Every latent variable of a fitted encoder is passive: its codes carry no information."""


class DivergenceWarning(UserWarning):
    """Training met a non-finite objective and was stopped at the last finite weights."""


class PassiveUndeterminedWarning(UserWarning):
    """The given codes cannot show whether any of their variables is passive."""


class TrainingInterruptedWarning(UserWarning):
    """Training was interrupted from the keyboard; the model holds what was learned until then."""
