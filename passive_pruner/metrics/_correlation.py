"""How far a Gaussian is from the product of its marginals, given its covariance."""

import numpy as np
from numpy.typing import ArrayLike

from passive_pruner.metrics._validation import OF_DRAWS, check_covariance

# A column that is constant at c has a computed mean that differs from c, equally in every row: by
# up to 2e-11 * c over a million rows. Two such columns come out of np.cov with tiny variances and a
# correlation of exactly 1. Variances below this multiple of the largest one are not told from that.
_CONSTANT = 1e-20


def gaussian_total_correlation(cov: ArrayLike) -> float:
    r"""Compute the total correlation of a Gaussian with covariance `cov`.

    The total correlation [1]_ is the Kullback-Leibler divergence of a distribution from the
    product of its marginals. For a Gaussian with covariance :math:`\Sigma` and correlation matrix
    :math:`R` it has the closed form used in [2]_,

    .. math:: TC = \tfrac12 \Bigl(\sum_j \ln \Sigma_{jj} - \ln\det\Sigma\Bigr)
                 = -\tfrac12 \ln\det R,

    so it is 0 exactly when the variables are uncorrelated, and rescaling a variable leaves it
    unchanged.

    Parameters
    ----------
    cov : array-like of shape (n_components, n_components)
        Covariance matrix of the codes, for example ``np.cov(codes, rowvar=False)``.

    Returns
    -------
    total_correlation : float
        Total correlation in nats, at least 0. It is ``inf`` if a variable is a linear combination
        of others, which is always the case for the covariance of ``n_samples <= n_components``
        examples. A constant variable is independent of all others and contributes 0.

    Raises
    ------
    ValueError
        If `cov` is not square, symmetric, finite and positive semidefinite.

    Notes
    -----
    A correlation matrix is considered singular if its smallest eigenvalue is within rounding error
    of 0, by the convention of :func:`numpy.linalg.matrix_rank`. A variance is considered 0 if it is
    below 1e-20 times the largest one, which is about the variance of a constant due to rounding.

    References
    ----------
    .. [1] S. Watanabe, "Information theoretical analysis of multivariate correlation", IBM Journal
       of Research and Development 4(1), 1960.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> from passive_pruner.metrics import gaussian_total_correlation
    >>> round(gaussian_total_correlation([[1.0, 0.6], [0.6, 1.0]]), 4)
    0.2231
    >>> gaussian_total_correlation([[1.0, 2.0], [2.0, 4.0]])
    inf
    """
    cov, eps = check_covariance(cov)
    variance = np.diagonal(cov)
    varying = variance > _CONSTANT * variance.max()
    if not varying.any():
        return 0.0
    std = np.sqrt(variance[varying])
    correlation = cov[np.ix_(varying, varying)] / std / std[:, np.newaxis]
    np.fill_diagonal(correlation, 1.0)
    eigenvalues = np.linalg.eigvalsh(correlation)
    _check_semidefinite(eigenvalues, eps)
    if eigenvalues[0] <= len(eigenvalues) * eps * eigenvalues[-1]:
        return float("inf")
    # Never negative: the eigenvalues of a correlation matrix have mean 1, so by Jensen's inequality
    # their logarithms have a mean of at most 0. Only rounding gets past that.
    return max(0.0, -0.5 * float(np.log(eigenvalues).sum()))


def gaussian_wasserstein_correlation(cov: ArrayLike, normalized: bool = False) -> float:
    r"""Compute the squared 2-Wasserstein distance of a Gaussian from its product of marginals.

    With :math:`D` the diagonal of the covariance :math:`\Sigma`, the distance between the centred
    Gaussians [1]_ used in [2]_ is

    .. math:: W_2^2 = \operatorname{tr}\Sigma + \operatorname{tr}D
                    - 2 \operatorname{tr}\,(D^{1/2} \Sigma D^{1/2})^{1/2}.

    Unlike the total correlation it has the units of a variance, so that a variable of small
    variance contributes little however strongly it is correlated, and it is always finite.

    Parameters
    ----------
    cov : array-like of shape (n_components, n_components)
        Covariance matrix of the codes, for example ``np.cov(codes, rowvar=False)``.
    normalized : bool, default=False
        Whether to divide by the total variance, the trace of `cov`.

    Returns
    -------
    distance : float
        Squared distance, at least 0, in squared units of the codes, or without units if
        `normalized`. It is 0 if every variable is constant.

    Raises
    ------
    ValueError
        If `cov` is not square, symmetric, finite and positive semidefinite.

    References
    ----------
    .. [1] D. C. Dowson and B. V. Landau, "The Fréchet distance between multivariate normal
       distributions", Journal of Multivariate Analysis 12(3), 1982.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> from passive_pruner.metrics import gaussian_wasserstein_correlation
    >>> round(gaussian_wasserstein_correlation([[1.0, 0.6], [0.6, 1.0]]), 4)
    0.2053
    >>> round(gaussian_wasserstein_correlation([[1.0, 0.6], [0.6, 1.0]], normalized=True), 4)
    0.1026
    """
    cov, eps = check_covariance(cov)
    variance = np.diagonal(cov)
    largest = float(variance.max())
    if largest == 0:
        return 0.0
    # In units of the largest variance, so that products of two of them stay in range.
    cov, variance = cov / largest, variance / largest
    total_variance = float(variance.sum())
    std = np.sqrt(variance)
    # A similarity transform of Sigma D, whose square root is what the formula needs, but symmetric:
    # its eigenvalues are real and well conditioned.
    eigenvalues = np.linalg.eigvalsh(cov * std * std[:, np.newaxis])
    _check_semidefinite(eigenvalues, eps)
    distance = max(0.0, 2 * (total_variance - float(np.sqrt(eigenvalues.clip(min=0)).sum())))
    return distance / total_variance if normalized else distance * largest


def _check_semidefinite(eigenvalues: np.ndarray, eps: float) -> None:
    """Raise a ValueError if ascending `eigenvalues` are negative by more than rounding error."""
    if eigenvalues[0] < -np.sqrt(eps) * eigenvalues[-1]:
        raise ValueError(
            "cov is not positive semidefinite: scaled by its variances it has the eigenvalue "
            f"{eigenvalues[0]:.6g}, but a covariance matrix has none below 0. Compute all entries "
            "from the same rows; leaving out missing values pair by pair does not. " + OF_DRAWS
        )
