"""Mutual information between codes, and between codes and factors, in nats."""

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from passive_pruner._common._parameters import check_number
from passive_pruner.metrics._validation import check_codes, check_factors, check_varying

# Small tables may be cut finer than their rows, as in the literature.
_MOST_BINS = 100
# 80 MB of counts for every pair of codes.
_MOST_PAIRS = 10**7


def mutual_information_score(codes: ArrayLike, n_bins: int = 20) -> float:
    r"""Compute the mean mutual information of pairs of codes.

    Every code is cut into `n_bins` bins of equal width over its range, and the plug-in estimate of
    the mutual information is averaged over all pairs [1]_:

    .. math:: \frac{1}{d (d - 1)} \sum_{i \ne j} I(\hat z_i; \hat z_j).

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Codes, at least 2 columns.
    n_bins : int, default=20
        Number of bins per code.

    Returns
    -------
    score : float
        Mean mutual information in nats, between 0 and ``log(n_bins)``. A constant code shares no
        information with any other.

    Raises
    ------
    ValueError
        If `codes` is not a finite matrix of at least 2 rows and 2 columns, or `n_bins` is below 2,
        or far above the number of rows.

    Notes
    -----
    The plug-in estimate is biased upwards: for independent codes it is about
    ``(n_bins - 1)**2 / (2 * n_samples)``, so only compare scores that are based on the same number
    of rows.

    References
    ----------
    .. [1] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.metrics import mutual_information_score
    >>> x = np.arange(1000)
    >>> round(mutual_information_score(np.column_stack([x, -x])), 4)  # log(20)
    2.9957
    >>> mutual_information_score(np.column_stack([x, np.ones(1000)]))
    0.0
    """
    bins = _discretize(check_codes(codes, min_components=2), n_bins)
    d = len(bins)
    total = sum(
        _mutual_information(bins[i], n_bins, bins[j], n_bins) for i in range(d) for j in range(i)
    )
    return total / (d * (d - 1) / 2)


def mutual_information_gap(codes: ArrayLike, factors: ArrayLike, n_bins: int = 20) -> float:
    r"""Compute the mutual information gap (MIG) of codes and factors.

    The gap of a factor is the difference between the mutual information of the two codes that are
    most informative about it, as a fraction of the entropy of the factor. The score is the mean
    over factors (section 4 of [1]_):

    .. math:: \frac1K \sum_k \frac{I(\hat z_{(1)}; v_k) - I(\hat z_{(2)}; v_k)}{H(v_k)}.

    It is high if each factor is represented by exactly one code.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Codes, at least 2 columns.
    factors : array-like of shape (n_samples, n_factors), int
        Levels of the generative factors. Their order does not matter.
    n_bins : int, default=20
        Number of equal-width bins that every code is cut into.

    Returns
    -------
    score : float
        Between 0 and 1. A constant code has no information about any factor.

    Raises
    ------
    ValueError
        If `codes` or `factors` are not finite matrices of the same length, a factor is constant or
        not an integer, there is one code only, or `n_bins` is below 2, or
        far above the number of rows.

    References
    ----------
    .. [1] R. T. Q. Chen et al., "Isolating sources of disentanglement in variational autoencoders",
       NeurIPS 2018, arXiv:1802.04942.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.metrics import mutual_information_gap
    >>> factors = np.indices((4, 5)).reshape(2, -1).T
    >>> round(mutual_information_gap(factors, factors), 4)
    1.0
    >>> rotated = factors @ [[1, 1], [1, -1]]
    >>> round(mutual_information_gap(rotated, factors), 4)
    0.0
    """
    codes = check_codes(codes, min_components=2)
    factors = check_factors(factors, len(codes))
    check_varying(factors)
    information = np.sort(_code_factor_information(codes, factors, n_bins), axis=0)
    entropies = [entropy(np.unique(column, return_counts=True)[1]) for column in factors.T]
    return float(np.mean((information[-1] - information[-2]) / entropies))


def modularity(codes: ArrayLike, factors: ArrayLike, n_bins: int = 20) -> float:
    r"""Compute the modularity: the degree to which each code informs about a single factor.

    With :math:`m_{jk} = I(\hat z_j; v_k)` and :math:`\theta_j = \max_k m_{jk}`, the score of
    section 3 of [1]_ is

    .. math:: \frac1d \sum_j \Bigl(1 - \frac{\sum_k m_{jk}^2 - \theta_j^2}
                                            {\theta_j^2 (K - 1)}\Bigr).

    It does not decrease if several codes represent the same factor.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Codes.
    factors : array-like of shape (n_samples, n_factors), int
        Levels of the generative factors, at least 2 columns.
    n_bins : int, default=20
        Number of equal-width bins that every code is cut into.

    Returns
    -------
    score : float
        Between 0 and 1. A code without information about any factor, such as a constant one,
        contributes 0, as in [2]_.

    Raises
    ------
    ValueError
        If `codes` or `factors` are not finite matrices of the same length, a factor is constant or
        not an integer, there is one factor only, or `n_bins` is below 2, or
        far above the number of rows.

    References
    ----------
    .. [1] K. Ridgeway and M. C. Mozer, "Learning deep disentangled embeddings with the F-statistic
       loss", NeurIPS 2018, arXiv:1802.05312.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.metrics import modularity
    >>> factors = np.indices((5, 5)).reshape(2, -1).T
    >>> modularity(factors, factors)
    1.0
    >>> round(modularity(factors @ [[1, 1], [1, -1]], factors), 4)
    0.0
    """
    codes = check_codes(codes)
    factors = check_factors(factors, len(codes), min_factors=2)
    check_varying(factors)
    squared = _code_factor_information(codes, factors, n_bins) ** 2
    largest = squared.max(axis=1)
    informative = largest > 0
    others = (squared.sum(axis=1) - largest)[informative]
    scores = np.zeros(len(squared))
    scores[informative] = 1 - others / (largest[informative] * (squared.shape[1] - 1))
    return float(scores.mean())


def _discretize(codes: np.ndarray, n_bins: int) -> np.ndarray:
    """Cut every code into bins of equal width over its range.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_components), float64
        Codes.
    n_bins : int
        Number of bins per code.

    Returns
    -------
    bins : ndarray of shape (n_components, n_samples), intp
        Numbers from 0 to ``n_bins - 1``. Rows are codes, so that each is contiguous in memory.
    """
    check_number(n_bins, "n_bins", Integral, min_val=2)
    # More bins than rows are empty, but have to be counted: n_bins^2 pairs.
    if n_bins > max(_MOST_BINS, len(codes)) or n_bins**2 > _MOST_PAIRS:
        raise ValueError(
            f"n_bins={n_bins} cuts {len(codes)} rows into more bins than there are rows, or counts "
            f"more than {_MOST_PAIRS:.0e} pairs of bins. Pass fewer; the default is 20."
        )
    bins = np.empty(codes.shape[::-1], dtype=np.intp)
    for row, code in zip(bins, codes.T, strict=True):
        # Left edges only: the largest value belongs to the last bin, and the edges of a constant
        # code coincide, which puts all of it into one bin.
        left = np.linspace(code.min(), code.max(), n_bins, endpoint=False)
        row[:] = np.digitize(code, left) - 1
    return bins


def _code_factor_information(codes: np.ndarray, factors: np.ndarray, n_bins: int) -> np.ndarray:
    """Mutual information of every code and every factor, of shape (n_components, n_factors)."""
    bins = _discretize(codes, n_bins)
    information = np.empty((len(bins), factors.shape[1]))
    for k, column in enumerate(factors.T):
        values, levels = np.unique(column, return_inverse=True)
        information[:, k] = [_mutual_information(b, n_bins, levels, len(values)) for b in bins]
    return information


def _mutual_information(a: np.ndarray, n_a: int, b: np.ndarray, n_b: int) -> float:
    """Mutual information of two arrays of integers, from 0 to `n_a` - 1 and 0 to `n_b` - 1.

    Given labels, :func:`sklearn.metrics.mutual_info_score` sorts them to find out which values
    occur. Counting pairs of known range is what makes all pairs of 128 codes affordable.
    """
    contingency = np.bincount(a * n_b + b, minlength=n_a * n_b).reshape(n_a, n_b)
    return float(mutual_info_score(None, None, contingency=contingency))
