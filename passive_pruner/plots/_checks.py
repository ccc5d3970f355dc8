"""Checks of what displays are given, with errors that name it."""

import math
from numbers import Integral

import numpy as np

from passive_pruner._common._validation import explain_numbers
from passive_pruner.plots._style import TYPE_COLORS


def check_types(types, n: int) -> np.ndarray:
    """Return the types of `n` variables as an array, or raise a ValueError that names them."""
    with explain_numbers(types, "types", f"{n} types of variables"):
        types = np.asarray(types)
    if types.shape != (n,):
        raise ValueError(f"types must have one entry per variable, {n}, got shape {types.shape}.")
    if unknown := sorted({str(type_) for type_ in types} - set(TYPE_COLORS)):
        raise ValueError(f"types must be some of {list(TYPE_COLORS)}, got {unknown[0]!r}.")
    return types


def check_names(names, n: int, name: str = "names") -> list[str]:
    """Return `n` names as strings, numbers from 0 if `names` is None."""
    if names is None:
        return [str(j) for j in range(n)]
    if isinstance(names, str) or np.shape(names) != (n,):
        raise ValueError(f"{name} must be {n} names, or None for numbers, got {names!r}.")
    return [str(one) for one in names]


def check_vector(values, name: str) -> np.ndarray:
    """Return finite numbers, one per variable, as an array."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, one per variable ({error}).") from error
    if vector.ndim != 1 or vector.size == 0 or not np.isfinite(vector).all():
        raise ValueError(
            f"{name} must be finite numbers, one per variable, got {np.array2string(vector)}."
        )
    return vector


def check_image_shape(image_shape, n_features: int) -> tuple[int, ...]:
    """Return the shape of one image of `n_features` values.

    Raises
    ------
    ValueError
        Unless it is (height, width) or (height, width, channels) of so many values.
    """
    given = image_shape
    sizes = tuple(given) if isinstance(given, (list, tuple, np.ndarray)) else ()
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0 for n in sizes)
    if len(sizes) not in (2, 3) or not whole:
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, channels), got {given!r}."
        )
    if math.prod(sizes) != n_features:
        raise ValueError(
            f"image_shape={sizes} has {math.prod(sizes)} values, but rows have {n_features}."
        )
    return sizes


def check_rows(rows, n_rows: int, name: str = "rows") -> np.ndarray:
    """Return numbers of rows, of which there is at least one."""
    try:
        found = np.atleast_1d(np.arange(n_rows)[rows])
    except (IndexError, TypeError) as error:
        raise ValueError(
            f"{name} must be numbers of rows from 0 to {n_rows - 1}, got {rows!r}."
        ) from error
    if found.ndim != 1 or found.size == 0:
        raise ValueError(f"{name} must name at least one row, got {rows!r}.")
    return found
