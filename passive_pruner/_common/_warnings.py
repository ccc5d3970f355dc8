"""Warnings that point at the line of the user, whatever wrappers lie in between."""

import sys
import warnings
from types import FrameType

# Where frames of the library and of what calls it back come from.
_INSIDE = ("passive_pruner.", "sklearn.", "joblib.", "contextlib.", "torch.", "skorch.")


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the innermost frame outside of the package and of scikit-learn's wrappers.

    How many wrappers lie between depends on the version of scikit-learn and on whether the
    estimator is a step of a pipeline, so no fixed `stacklevel` is right.

    Parameters
    ----------
    message : str
        What the warning says.
    category : type of Warning
        Its class.
    """
    depth = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_INSIDE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth + 1)
