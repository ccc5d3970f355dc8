"""Moments of order 1 to 4 over some of the rows, from which standard errors are told."""

import numpy as np

# Standard errors need no more digits than so many rows give, and their cost must not grow with
# the data.
MAX_ROWS = 4096


def row_moments(
    codes: np.ndarray,
    variances: np.ndarray | None,
    weights: np.ndarray | None,
    *,
    sampled: bool,
    smallest_variance: float,
) -> np.ndarray:
    """Mean and central moments over rows of the codes, of s2 and of the divergence.

    Parameters
    ----------
    codes, variances : ndarray of shape (n_samples, n_components)
        Means of the posterior, or draws if `sampled`, and its variances or None. At most 4096
        rows are used, drawn at random, the same ones for every array of as many rows.
    weights : ndarray of shape (n_samples,) or None
        Weights w of the rows. The variance of a weighted mean is the sum of w^2 (x - m)^2 over
        (sum w)^2, so that rows count, and are drawn, by w^2.
    sampled : bool
        Whether `codes` are draws.
    smallest_variance : float
        Variances below count as this one, so that the divergence is finite.

    Returns
    -------
    moments : ndarray of shape (3, 4, n_components)
        First axis: codes, posterior variances, divergence. Second axis: mean, and central moments
        of order 2 to 4. NaN where variances are needed.
    """
    shares = None
    if weights is not None:
        shares = (weights / weights.max()) ** 2
        shares /= shares.sum()
    if len(codes) > MAX_ROWS:
        rng = np.random.default_rng(0)
        if shares is None:
            rows = np.sort(rng.choice(len(codes), MAX_ROWS, replace=False, shuffle=False))
        else:
            rows, shares = rng.choice(len(codes), MAX_ROWS, p=shares), None
        codes, variances = codes[rows], None if variances is None else variances[rows]
    moments = np.full((3, 4, codes.shape[1]), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        mu = codes.astype(np.float64)
        moments[0] = _moments_of(mu, shares)
        if variances is not None:
            s2 = variances.astype(np.float64)
            moments[1] = _moments_of(s2, shares)
            # In expectation over the draw z, z^2 = mu^2 + s2.
            square = mu**2 if sampled else mu**2 + s2
            divergence = (square - 1 - np.log(np.maximum(s2, smallest_variance))) / 2
            moments[2] = _moments_of(divergence, shares)
    return moments


def _moments_of(x: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    def average(values):
        return values.mean(axis=0) if shares is None else shares @ values

    mean = average(x)
    centred = x - mean
    square = centred**2
    return np.stack([mean, *map(average, (square, square * centred, square**2))])


def about(moments: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean square and mean fourth power of the distances from a centre that is not the mean.

    Parameters
    ----------
    moments : ndarray of shape (4, n_components)
        Mean and central moments of order 2 to 4.
    centre : ndarray of shape (n_components,)
    """
    mean, m2, m3, m4 = moments
    shift = mean - centre
    return m2 + shift**2, m4 + 4 * shift * m3 + 6 * shift**2 * m2 + shift**4


def merge_row_moments(a: np.ndarray, n_a: float, b: np.ndarray, n_b: float) -> np.ndarray:
    """Moments of `n_a` and `n_b` rows together, or of rows with these sums of squared weights.

    P. Pébay, "Formulas for Robust, One-Pass Parallel Computation of Covariances and Arbitrary-Order
    Statistical Moments", Sandia report SAND2008-6212, 2008: the pairwise formulas of order 2 to 4,
    divided by the number of rows.
    """
    p, q = n_a / (n_a + n_b), n_b / (n_a + n_b)
    (a1, a2, a3, a4), (b1, b2, b3, b4) = a.swapaxes(0, 1), b.swapaxes(0, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        shift = b1 - a1
        mean = a1 + q * shift
        m2 = p * a2 + q * b2 + p * q * shift**2
        m3 = p * a3 + q * b3 + p * q * shift * ((p - q) * shift**2 + 3 * (b2 - a2))
        m4 = (
            p * a4
            + q * b4
            + p * q * shift**4 * (1 - 3 * p * q)
            + 6 * p * q * shift**2 * (q * a2 + p * b2)
            + 4 * p * q * shift * (b3 - a3)
        )
    return np.stack([mean, m2, m3, m4], axis=1)
