"""Checks of parameters that are numbers, and of the memory that they ask for."""

from contextlib import contextmanager
from math import isfinite
from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import InvalidParameterError


def check_number(value, name: str, kind: type, **bounds) -> None:
    """Raise an error that names a number unless it is finite, of its kind and within bounds.

    Parameters
    ----------
    value : object
        What was given.
    name : str
        What errors call it.
    kind : type
        ``numbers.Integral`` or ``numbers.Real``.
    **bounds
        Passed to :func:`sklearn.utils.check_scalar`, as `min_val` and `max_val`.
    """
    if isinstance(value, (bool, np.bool_)):  # an Integral as well, but no number
        raise TypeError(f"{name} must be a number, got {value!r}.")
    check_scalar(value, name, kind, **bounds)
    if not isinstance(value, Integral) and not isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}.")


def refuse_booleans(estimator) -> None:
    """Raise an InvalidParameterError if a parameter that takes numbers is True or False.

    scikit-learn's check of parameters lets them pass, as Python counts them as integers.
    """
    for name, constraints in estimator._parameter_constraints.items():
        texts = [constraint for constraint in constraints if isinstance(constraint, str)]
        value = getattr(estimator, name)
        if isinstance(value, (bool, np.bool_)) and not {"boolean", "verbose"}.intersection(texts):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(estimator).__name__} must be no boolean. Got "
                f"{value!r} instead."
            )


@contextmanager
def explain_memory(what: str):
    """Say what does not fit into memory, where numpy or torch fail to allocate in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).partition("\n")[0]
        of_torch = any(words in said for words in ("allocate", "Storage size"))
        if not (of_torch or isinstance(error, MemoryError)):
            raise
        raise MemoryError(f"There is no memory for {what} ({said}).") from error
