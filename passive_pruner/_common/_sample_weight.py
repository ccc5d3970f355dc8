"""Weights of rows: rows that are drawn in proportion to them, and rows without any."""

import numpy as np
from sklearn.utils import _safe_indexing

from passive_pruner.regime._sample_weight import checked_weights, effective_number

__all__ = [
    "checked_weights",
    "drawn_by_weight",
    "effective_number",
    "near_1",
    "rows_that_count",
    "weighted",
]


def drawn_by_weight(weights: np.ndarray, n_drawn: float, offset: float) -> np.ndarray:
    """Draw rows so that the expected number of times of each is in proportion to its weight.

    Systematic sampling: of weights that are laid end to end, on a line of length `n_drawn`, every
    point ``k - offset`` takes the row that it falls on. A row whose share of the line has the
    length c is taken floor(c) or ceil(c) times, c times on average over offsets.

    W. G. Madow, "On the theory of systematic sampling, II", Annals of Mathematical Statistics 20,
    1949.

    Parameters
    ----------
    weights : ndarray of shape (n_samples,)
        At least one above 0.
    n_drawn : float
        Expected number of draws; there are floor or ceil of it.
    offset : float
        From 0 to below 1, drawn uniformly.

    Returns
    -------
    rows : ndarray of int
        Numbers of the rows, ascending, each as often as it was drawn.
    """
    ends = np.cumsum(near_1(weights))
    ends *= n_drawn / ends[-1]
    ends[-1] = n_drawn
    n_before = np.floor(ends + offset).astype(np.intp)
    return np.repeat(np.arange(len(weights)), np.diff(n_before, prepend=0))


def near_1(weights: np.ndarray) -> np.ndarray:
    """Multiply weights by the power of two that takes the largest to between 1/2 and 1.

    Their products with other numbers then neither overflow nor vanish, and no digit changes.
    """
    return np.ldexp(weights, -np.frexp(np.max(weights))[1])


def weighted(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return rows of values, times their weights if there are some."""
    return values if weights is None else weights[:, np.newaxis] * values


def rows_that_count(X, weights):
    """Leave out the rows of weight 0, of a table of any kind, and their weights."""
    if weights is None or weights.all():
        return X, weights
    rows = np.flatnonzero(weights)
    return _safe_indexing(X, rows), weights[rows]
