"""Factor analysis: the linear variational autoencoder, from which a network can start.

With a linear decoder z -> W z and Gaussian noise of one variance per column, psi, a variational
autoencoder is factor analysis (Lucas, Tucker, Grosse and Norouzi 2019, "Don't Blame the ELBO! A
Linear VAE Perspective on Posterior Collapse", NeurIPS; Tipping and Bishop 1999, "Probabilistic
Principal Component Analysis", section 2.1). With loadings rotated so that W' diag(1 / psi) W =
diag(g), the exact posterior of a row x is diagonal, with the mean W' (x / psi) / (1 + g) and the
variance 1 / (1 + g).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from sklearn.utils.extmath import svd_flip

# Most steps of the EM algorithm after every factor, and at the end, and the relative change of the
# noise variances in one step at which it ends sooner.
STEPS_PER_FACTOR = 100
LAST_STEPS = 50
TOLERANCE = 3e-4
# Smallest noise, as a share of the variance of its column. A column that others determine exactly
# (a Heywood case) has no maximum of the likelihood above 0; at a thousandth its row adds some
# 3.5 nats, which held-out rows do not pay back.
NOISE_FLOOR = 1e-3
# The 95 % quantile of the Tracy-Widom distribution of order 1.
TRACY_WIDOM_95 = 0.9793


@dataclass(frozen=True)
class Factors:
    """A factor analysis whose loadings have orthogonal columns in units of the noise.

    Attributes
    ----------
    loadings : ndarray of shape (n_features, n_factors)
        From the factor of largest gain to that of the smallest.
    noise : ndarray of shape (n_features,)
        Noise variances.
    gain : ndarray of shape (n_factors,)
        Signal-to-noise ratio g of every factor; its divergence from the prior is on average
        ln(1 + g) / 2 nats.
    """

    loadings: np.ndarray
    noise: np.ndarray
    gain: np.ndarray

    def posterior_map(self, beta: float = 1.0) -> np.ndarray:
        """Matrix from rows to posterior means, (n_factors, n_features).

        Where the divergence weighs `beta` times, the best mean is W' (x / psi) / (beta + g) and
        the best variance beta / (beta + g), by the derivatives of (x - W z)' diag(1 / psi)
        (x - W z) / 2 + beta KL.
        """
        return (self.loadings / self.noise[:, np.newaxis]).T / (beta + self.gain[:, np.newaxis])

    def rotated(self, present: np.ndarray | float = 1.0) -> "Factors":
        """Return the same model with W' diag(r / psi) W = diag(g), for shares r of cells present.

        The posterior of a row in which cells are missing at random then is diagonal on average.
        """
        if not self.loadings.shape[1]:
            return self
        scale = np.sqrt(np.maximum(present, np.finfo(float).eps) / self.noise)[:, np.newaxis]
        u, singular, vt = np.linalg.svd(self.loadings * scale, full_matrices=False)
        u, _ = svd_flip(u, vt)
        return Factors(u * singular / scale, self.noise, singular**2)


def factor_analysis(
    covariance: np.ndarray,
    n_samples: float,
    max_factors: int,
    *,
    noise_kind: str | np.ndarray = "per_feature",
) -> Factors:
    """Fit a factor analysis that has as many factors as the data shows.

    Factors are added one by one, along the direction in which the residual covariance exceeds the
    noise most, as long as it exceeds it by more than chance: by more than the largest eigenvalue
    that noise alone has in `n_samples` rows, at the 95 % quantile [1]_. That is parallel analysis
    [2]_ with the distribution of that eigenvalue in place of permutations [3]_, factor by factor,
    so that noise variances are never fitted around factors that are not there. After every
    factor, the EM algorithm [4]_ fits loadings and noise. Factors that do not exceed the noise by
    more than chance at the end are left out again.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Covariance of the data.
    n_samples : float
        Number of rows that it is of.
    max_factors : int
        Most factors.
    noise_kind : {"per_feature", "shared", "fixed"} or ndarray of int, default="per_feature"
        Whether every column has a noise variance of its own, or all have one, as in probabilistic
        PCA, or all have the noise variance 1. An array of shape (n_features,) has the same number
        for columns that share a noise variance, and -1 for those whose noise variance is 1.

    Returns
    -------
    factors : Factors
        The sign of a factor is such that its largest loading in absolute value is positive.

    References
    ----------
    .. [1] I. M. Johnstone, "On the distribution of the largest eigenvalue in principal components
       analysis", Annals of Statistics 29, 2001, theorem 1.1.
    .. [2] J. L. Horn, "A rationale and test for the number of factors in factor analysis",
       Psychometrika 30, 1965.
    .. [3] E. Dobriban and A. B. Owen, "Deterministic parallel analysis", JRSS B 81, 2019,
       arXiv:1711.04155.
    .. [4] D. B. Rubin and D. T. Thayer, "EM algorithms for ML factor analysis", Psychometrika 47,
       1982.
    """
    variance = covariance.diagonal().copy()
    n_features = len(variance)
    floor = NOISE_FLOOR * np.where(variance > 0, variance, 1.0)
    groups = _groups(noise_kind, n_features) if isinstance(noise_kind, str) else noise_kind
    noise = _noise(variance, floor, groups)
    loadings = np.zeros((n_features, 0))
    edge = largest_noise_eigenvalue(n_samples, n_features)
    while loadings.shape[1] < min(max_factors, n_features - 1):
        scale = np.sqrt(noise)
        residual = (covariance - loadings @ loadings.T) / np.outer(scale, scale)
        (top,), direction = eigh(residual, subset_by_index=[n_features - 1, n_features - 1])
        if top <= edge:
            break
        loadings = np.hstack([loadings, direction * np.sqrt(top - 1) * scale[:, np.newaxis]])
        noise = _noise(variance - np.sum(loadings**2, axis=1), 10 * floor, groups)
        loadings, noise = _em(covariance, loadings, noise, floor, groups, STEPS_PER_FACTOR)
    while loadings.shape[1]:
        loadings, noise = _em(covariance, loadings, noise, floor, groups, LAST_STEPS)
        factors = Factors(loadings, noise, np.zeros(loadings.shape[1])).rotated()
        # EM is slow where factors are strong. A factor that took up what the others had not
        # reached yet has nothing left in the end.
        is_real = 1 + factors.gain > edge
        if is_real.all():
            return factors
        loadings = factors.loadings[:, is_real]
    return Factors(loadings, noise, np.zeros(0))


def largest_noise_eigenvalue(n_samples: float, n_features: int) -> float:
    """95 % quantile of the largest eigenvalue of a covariance of standard normal noise."""
    a, b = np.sqrt(max(n_samples - 1, 1)), np.sqrt(n_features)
    spread = (a + b) * (1 / a + 1 / b) ** (1 / 3)
    return ((a + b) ** 2 + TRACY_WIDOM_95 * spread) / n_samples


def _em(covariance, loadings, noise, floor, groups, n_steps):
    variance = covariance.diagonal()
    identity = np.eye(loadings.shape[1])
    for _ in range(n_steps):
        scaled = loadings / noise[:, np.newaxis]
        posterior_covariance = np.linalg.inv(identity + loadings.T @ scaled)
        to_mean = posterior_covariance @ scaled.T
        cross = covariance @ to_mean.T
        loadings = np.linalg.solve(posterior_covariance + to_mean @ cross, cross.T).T
        former = noise
        noise = _noise(variance - np.sum(loadings * cross, axis=1), floor, groups)
        if np.all(np.abs(noise - former) <= TOLERANCE * former):
            break
    return loadings, noise


def _groups(noise_kind, n_features):
    if noise_kind == "per_feature":
        return np.arange(n_features)
    return np.full(n_features, 0 if noise_kind == "shared" else -1)


def pooled(noise: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Give columns of the same group their mean noise variance, and those of group -1 variance 1.

    Parameters
    ----------
    noise : ndarray of shape (n_features,)
    groups : ndarray of int of shape (n_features,)
    """
    _, numbers = np.unique(groups, return_inverse=True)
    means = np.bincount(numbers, noise) / np.bincount(numbers)
    return np.where(groups < 0, 1.0, means[numbers])


def _noise(residual, floor, groups):
    return pooled(np.maximum(residual, floor), groups)
