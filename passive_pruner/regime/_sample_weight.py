"""Weights of rows: checked, and turned into a number of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def checked_weights(sample_weight: ArrayLike, X) -> np.ndarray:
    """Check the weights of rows as scikit-learn does.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), or float
        Weights.
    X : array-like of shape (n_samples, ...)
        The rows.

    Returns
    -------
    weights : ndarray of shape (n_samples,), float64

    Raises
    ------
    ValueError
        If the weights are no real numbers, not finite, one for each row, and at least 0, if all
        are 0, if some are masked, or if their sum is beyond float64.
    """
    # Imported here, as it takes longer than all else that moments need.
    from sklearn.utils.validation import _check_sample_weight

    if np.ma.is_masked(sample_weight):
        raise ValueError(
            f"sample_weight has {np.ma.count_masked(sample_weight)} masked entries: give these "
            "rows a weight, 0 if they do not count."
        )
    # scikit-learn counts dates and durations as numbers.
    dtype = getattr(sample_weight, "dtype", None)
    if getattr(dtype, "kind", None) in ("m", "M"):
        raise ValueError(f"sample_weight must be real numbers, got {dtype}.")
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():  # which scikit-learn lets pass before 1.9
        raise ValueError("Sample weights must contain at least one non-zero number.")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"The sum of sample_weight, which goes up to {weights.max():.3g}, is beyond the range "
            "of float64: divide the weights by their largest."
        )
    return weights


def effective_number(weights: np.ndarray) -> float:
    """Return the number of rows of equal weight that are worth as many, (sum w)^2 / sum w^2.

    The mean of so many rows varies as much as that of the rows with weights.

    L. Kish, "Survey Sampling", 1965, section 11.7. It is exact where the weight of a row tells
    nothing of how far the row is from the mean.
    """
    shares = weights / weights.max()  # whose squares neither overflow nor all vanish
    return float(shares.sum() ** 2 / np.sum(shares**2))
