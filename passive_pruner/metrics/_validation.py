"""Checks shared by the metrics."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from passive_pruner._common._codes import SAMPLED_SUFFIX, VARIANCE_SUFFIX
from passive_pruner._common._validation import explain_numbers

# What errors say of matrices that no covariance matrix is like.
OF_DRAWS = (
    "The mean_covariance of LatentMoments of draws is an estimate, which for passive variables "
    "need not be a covariance matrix: make the moments from mean codes, or leave the passive "
    "variables out."
)
# Integers up to this one are float64 exactly.
_LARGEST_LEVEL = 2**53


def check_covariance(cov: ArrayLike) -> tuple[np.ndarray, float]:
    """Check that `cov` can be a covariance matrix.

    Parameters
    ----------
    cov : array-like of shape (n_components, n_components)
        Covariance matrix. A number is read as a matrix of one row, because that is what
        :func:`numpy.cov` returns for a single variable.

    Returns
    -------
    cov : ndarray of shape (n_components, n_components), float64
        The exactly symmetric matrix.
    eps : float
        Machine epsilon of the type that `cov` came in: its entries are known to about this
        relative precision at best.

    Raises
    ------
    ValueError
        If `cov` is not square, not finite, not symmetric, or has an entry that no covariance
        matrix can have.
    """
    with explain_numbers(cov, "cov", "a square matrix of real numbers"):
        given = np.atleast_2d(np.asarray(unmasked(cov, "cov")))
    if given.dtype.kind not in "fiub":
        raise ValueError(
            f"cov has dtype {given.dtype}, but a covariance matrix holds real numbers. Pass "
            "np.cov(codes, rowvar=False)."
        )
    if given.ndim != 2 or given.shape[0] != given.shape[1] or given.size == 0:
        raise ValueError(
            f"cov has shape {np.shape(cov)}, but a covariance matrix is square. Pass "
            "np.cov(codes, rowvar=False), which has one row and one column per code."
        )
    eps = float(np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps)
    matrix = given.astype(np.float64)
    check_finite(matrix, "cov", "Compute it from rows that hold finite codes only.")
    variance = np.diagonal(matrix)
    if variance.min() < 0:
        j = int(variance.argmin())
        raise ValueError(
            f"cov[{j}, {j}] = {variance[j]:.6g}, but a variance is not negative. Pass "
            "np.cov(codes, rowvar=False)."
        )
    # Both tolerances are relative to sqrt(Var_i Var_j), so that neither depends on the units.
    std = np.sqrt(variance)
    scale = np.outer(std, std)
    slack = np.sqrt(eps) * scale
    asymmetry = np.abs(matrix - matrix.T)
    if (asymmetry > slack).any():
        i, j = divmod(int((asymmetry - slack).argmax()), len(matrix))
        raise ValueError(
            f"cov[{i}, {j}] = {matrix[i, j]:.6g} and cov[{j}, {i}] = {matrix[j, i]:.6g}, but a "
            "covariance matrix is symmetric. Pass np.cov(codes, rowvar=False), or "
            "(cov + cov.T) / 2 if the difference is rounding error."
        )
    excess = np.abs(matrix) - scale - slack
    if (excess > 0).any():
        i, j = divmod(int(excess.argmax()), len(matrix))
        raise ValueError(
            f"|cov[{i}, {j}]| = {abs(matrix[i, j]):.6g} is larger than sqrt(cov[{i}, {i}] * "
            f"cov[{j}, {j}]) = {scale[i, j]:.6g}, which no covariance matrix allows. Pass "
            "np.cov(codes, rowvar=False). " + OF_DRAWS
        )
    # Each half first: the sum of two entries near the end of float64 would be infinite.
    return matrix / 2 + matrix.T / 2, eps


def check_codes(
    codes: ArrayLike,
    name: str = "codes",
    *,
    min_samples: int = 2,
    min_components: int = 1,
    means_only: bool = False,
) -> np.ndarray:
    """Check that `codes` is a finite matrix of numbers and return it as float64.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Codes.
    name : str, default="codes"
        What errors call them.
    min_samples : int, default=2
        Smallest number of rows that the caller can work with.
    min_components : int, default=1
        Smallest number of columns that the caller can work with.
    means_only : bool, default=False
        Whether the caller reads posterior means and no draws.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_components), float64

    Raises
    ------
    ValueError
        If `codes` is anything else, or a table with columns whose names say that they hold
        variances, or draws where `means_only`.
    """
    _check_names(codes, name, means_only)
    # scikit-learn counts dates and durations as numbers, and NaT as a large negative one.
    dtype = getattr(codes, "dtype", None)
    if getattr(dtype, "kind", None) in ("m", "M"):
        raise ValueError(f"{name} must be real numbers, got {dtype}.")
    with explain_numbers(codes, name, "real numbers of shape (n_samples, n_components)"):
        matrix: np.ndarray = check_array(
            unmasked(codes, name),
            dtype=np.float64,
            ensure_all_finite=False,
            ensure_min_samples=min_samples,
            input_name=name,
        )
    check_finite(matrix, name, "Leave such rows out, or use an encoder whose codes are finite.")
    if matrix.shape[1] < min_components:
        raise ValueError(
            f"{name} has {matrix.shape[1]} column, but this metric compares codes with each "
            f"other. Pass at least {min_components} columns."
        )
    return matrix


def check_factors(
    factors: ArrayLike,
    n_samples: int,
    name: str = "factors",
    *,
    min_factors: int = 1,
    continuous: bool = False,
) -> np.ndarray:
    """Check that `factors` is a finite matrix with one row per row of codes.

    Parameters
    ----------
    factors : array-like of shape (n_samples, n_factors)
        Generative factors.
    n_samples : int
        Number of rows of the codes that the factors belong to.
    name : str, default="factors"
        What errors call them.
    min_factors : int, default=1
        Smallest number of columns that the caller can work with.
    continuous : bool, default=False
        Whether factors may take values that are not integers.

    Returns
    -------
    factors : ndarray of shape (n_samples, n_factors), int64, or float64 if `continuous`
    """
    matrix: np.ndarray = check_array(
        unmasked(factors, name), dtype=np.float64, ensure_all_finite=False, input_name=name
    )
    check_finite(matrix, name, "Leave such rows out, here and in the codes.")
    if len(matrix) != n_samples:
        raise ValueError(
            f"{name} has {len(matrix)} rows and the codes have {n_samples}. Pass one row of "
            "factors for every row of codes, in the same order."
        )
    if matrix.shape[1] < min_factors:
        raise ValueError(
            f"{name} has {matrix.shape[1]} column, but this metric compares factors with each "
            f"other. Pass at least {min_factors} columns."
        )
    if continuous:
        return matrix
    fractional = matrix != np.rint(matrix)
    if fractional.any():
        i, j = np.argwhere(fractional)[0]
        raise ValueError(
            f"{name}[{i}, {j}] = {matrix[i, j]:g}, but the levels of a discrete factor are "
            "integers. Number the levels with np.unique(column, return_inverse=True), or bin a "
            "continuous factor with np.digitize."
        )
    largest = np.abs(matrix).max()
    if largest >= _LARGEST_LEVEL:
        raise ValueError(
            f"{name} holds the level {largest:.17g} in absolute value, and from 2**53 on float64 "
            "does not tell integers apart. Number the levels with np.unique(column, "
            "return_inverse=True)."
        )
    return matrix.astype(np.int64)


def unmasked(x: ArrayLike, name: str) -> ArrayLike:
    """Return `x` unless it is a masked array with masked entries, which others would read."""
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ValueError(
            f"{name} is a masked array with {np.ma.count_masked(x)} masked entries, which cannot "
            "be left out one by one. Drop or impute these rows first."
        )
    return x


def _check_names(codes, name, means_only):
    suffixes = {VARIANCE_SUFFIX: "posterior variances"}
    if means_only:
        suffixes[SAMPLED_SUFFIX] = "draws from the posterior"
    for suffix, what in suffixes.items():
        found = [c for c in getattr(codes, "columns", ()) if str(c).endswith(suffix)]
        if found:
            wanted = "posterior means" if means_only else "codes"
            raise ValueError(
                f"{name} must hold {wanted}, but the name of column {found[0]!r} says that it "
                f"holds {what}. Leave out such columns, or take the codes of an encoder with "
                'output="mean" and add_variance=False.'
            )


def check_varying(factors: np.ndarray, name: str = "factors") -> None:
    """Raise a ValueError if a column of `factors` takes a single value.

    Parameters
    ----------
    factors : ndarray of shape (n_samples, n_factors)
        Generative factors.
    name : str, default="factors"
        What the error calls them.
    """
    constant = np.flatnonzero(np.ptp(factors, axis=0) == 0)
    if constant.size:
        j = constant[0]
        raise ValueError(
            f"Column {j} of {name} takes the single value {factors[0, j]:g}, and nothing can be "
            "measured about a factor that does not vary. Leave this column out, or use more rows."
        )


def check_finite(matrix: np.ndarray, name: str, remedy: str) -> None:
    """Raise a ValueError that shows the first entry of `matrix` that is NaN or infinite.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_columns)
        Matrix of floats.
    name : str
        What the error calls the matrix.
    remedy : str
        Sentence that tells the reader what to do.
    """
    finite = np.isfinite(matrix)
    if not finite.all():
        i, j = np.argwhere(~finite)[0]
        raise ValueError(f"{name}[{i}, {j}] is {matrix[i, j]}, but it must be finite. {remedy}")
