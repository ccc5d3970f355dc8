"""Differential entropy of columns."""

import numpy as np


def column_entropy(x: np.ndarray) -> np.ndarray:
    """Differential entropy of every column in nats, from the spacings of its sorted values.

    Parameters
    ----------
    x : ndarray of shape (n_samples, n_components), float64
        At least 5 rows: the spacings reach floor(sqrt(n) + 1/2) values to either side.

    Returns
    -------
    entropy : ndarray of shape (n_components,), float64
        ``-inf`` where some spacings are 0: a distribution with an atom has no density.
    """
    if len(x) < 5:
        raise ValueError(f"An entropy is estimated from at least 5 rows, got {len(x)}.")
    from scipy.stats import differential_entropy  # takes as long to import as all else here

    # One column at a time: the estimator makes several copies of what it is given.
    with np.errstate(divide="ignore"):
        return np.array([differential_entropy(column) for column in x.T], dtype=np.float64)
