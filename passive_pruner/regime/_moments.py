"""Streaming, mergeable statistics of posterior means and variances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from passive_pruner.regime._entropy import column_entropy
from passive_pruner.regime._row_moments import merge_row_moments, row_moments

#: How the names of columns end that hold draws, and posterior variances.
SAMPLED_SUFFIX = "_sampled"
VARIANCE_SUFFIX = "_variance"

# Numbers in the float64 working copy of some rows: half a MiB, so that it stays in the cache
# between the passes over it, and the memory on top of the input does not depend on their number.
_BUFFER_SIZE = 2**16

# A variance that underflowed to zero would make the divergence infinite and, through the mean
# over rows, hide every other row; the smallest normal float32 caps it at 43 nats.
_SMALLEST_VARIANCE = np.finfo(np.float32).tiny

# With values from _SMALLEST_VARIANCE to this one, products of eight are in the range of float64.
_LARGEST_FACTOR = 1e38

# Halfway between the two states that a row of a polarised variable can be in.
_ACTIVE_VARIANCE = 0.5

# Fields that are means over rows, and so merge as weighted means.
_MEANS = ("code_offset", "mean_of_variance", "mean_of_log_variance", "active_share")


@dataclass(frozen=True, eq=False)
class LatentMoments:
    """Moments of a diagonal Gaussian posterior over the rows of a data set.

    Made by :meth:`from_batch` and added up by :meth:`merge`, so that batches of any size give
    the same moments as the whole data set at once. All arrays are float64 and read-only, all
    variances and covariances are those of the population (divided by the number of rows,
    ddof=0), all divergences are in nats. What needs posterior variances is NaN without them.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    sampled : bool
        Whether the codes are draws from the posterior instead of its means.
    code_origin : ndarray of shape (n_components,)
        Codes of the first row.
    code_offset : ndarray of shape (n_components,)
        Mean of the codes minus `code_origin`. Held apart, so that its error is relative to the
        spread of the codes, however large their mean.
    code_scatter : ndarray of shape (n_components, n_components)
        Sum over rows of the outer products of the centred codes.
    mean_of_variance : ndarray of shape (n_components,)
        Mean of the posterior variances.
    variance_scatter : ndarray of shape (n_components,)
        Sum over rows of the squares of the centred posterior variances.
    mean_of_log_variance : ndarray of shape (n_components,)
        Mean of the natural logarithm of the posterior variances.
    active_share : ndarray of shape (n_components,)
        Fraction of rows with a posterior variance below 0.5.
    entropy_power : ndarray of shape (n_components,)
        Variance of the normal distribution that has the differential entropy h of the codes,
        exp(2 h) / (2 pi e) [2]_, NaN unless it was asked for; never above the variance of the codes
        but for the error of the estimate. No sum over rows, it is lost by :meth:`merge`.
    row_moments : ndarray of shape (3, 4, n_components)
        For standard errors: mean and central moments of order 2 to 4, over at most 4096 rows of
        every batch, of the codes, the posterior variances and the divergence.
    code_scale : ndarray of shape (n_components,), default=None
        What turns these codes into such whose variance is what they explain, as
        `VAEEncoder.code_scale_`. None where that is not known.

    See Also
    --------
    passive_pruner.PassiveVariableRemover : Keeps the moments of its data in ``moments_``.

    Notes
    -----
    For posterior means mu, variances s2 and draws z = mu + sqrt(s2) eps, with independent
    standard normal eps::

        Cov(z_i, z_j) = Cov(mu_i, mu_j)            for i != j
        Var(z_j)      = Var(mu_j) + E[s2_j]

    in expectation over eps, so the moments of means give those of draws without drawing. Read
    the other way, the moments of draws give those of means up to the chance in these draws, which
    falls with the square root of the number of rows; a variance that comes out negative is 0.

    Batches are combined as in [1]_.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for Computing the Sample
       Variance: Analysis and Recommendations", The American Statistician 37(3), 1983.
    .. [2] C. E. Shannon, "A Mathematical Theory of Communication", Bell System Technical Journal
       27, 1948, section 21.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.regime import LatentMoments
    >>> mean = np.array([[1.0, 0.1], [-1.0, -0.1]])
    >>> variance = np.array([[0.02, 0.99], [0.04, 0.97]])
    >>> moments = LatentMoments.from_batch(mean, variance)
    >>> moments.variance_of_mean.round(2)
    array([1.  , 0.01])
    >>> moments.sampled_covariance.round(2)
    array([[1.03, 0.1 ],
           [0.1 , 0.99]])
    >>> moments.merge(moments).n_samples
    4
    """

    n_samples: int
    sampled: bool
    code_origin: np.ndarray
    code_offset: np.ndarray
    code_scatter: np.ndarray
    mean_of_variance: np.ndarray
    variance_scatter: np.ndarray
    mean_of_log_variance: np.ndarray
    active_share: np.ndarray
    entropy_power: np.ndarray
    row_moments: np.ndarray
    code_scale: np.ndarray | None = None

    def __post_init__(self):
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @classmethod
    def from_batch(
        cls,
        mean: ArrayLike,
        variance: ArrayLike | None = None,
        *,
        sampled: bool = False,
        entropy: bool = False,
    ) -> LatentMoments:
        """Moments of one batch.

        Parameters
        ----------
        mean : array-like of shape (n_samples, n_components)
            Posterior means, or draws from the posterior if `sampled`.
        variance : array-like of shape (n_samples, n_components), default=None
            Posterior variances.
        sampled : bool, default=False
            Whether `mean` holds draws from the posterior instead of its means.
        entropy : bool, default=False
            Whether to estimate `entropy_power`, which sorts every column and takes at least 5
            rows.

        Returns
        -------
        moments : LatentMoments

        Raises
        ------
        ValueError
            If an array is not a matrix of finite real numbers with at least one row and one
            column, if entries are masked, if the shapes differ, if a variance is negative, or if
            the name of a column of a DataFrame says that it holds something else.
        """
        _check_names(mean, variance, sampled)
        mean = _as_matrix("mean", mean)
        with np.errstate(over="ignore", invalid="ignore"):
            origin, offset, scatter = _centred_moments(mean, lambda rows: rows.T @ rows)
        if not (np.isfinite(origin).all() and np.isfinite(scatter).all()):
            raise ValueError(
                "mean holds NaN, infinity or values whose squares overflow float64; "
                "drop or impute these rows first."
            )
        if variance is None:
            unknown = np.full_like(origin, np.nan)
            of_variance = (unknown, unknown, unknown, unknown)
        else:
            of_variance = _variance_moments(mean.shape, _as_matrix("variance", variance))
        entropy_power = np.full_like(origin, np.nan)
        if entropy:
            h = column_entropy(np.asarray(mean, dtype=np.float64))
            entropy_power = np.exp(2 * h) / (2 * np.pi * np.e)
        spread = row_moments(
            mean,
            None if variance is None else np.asarray(variance),
            sampled=sampled,
            smallest_variance=float(_SMALLEST_VARIANCE),
        )
        return cls(
            len(mean),
            bool(sampled),
            origin,
            offset,
            scatter,
            *of_variance,
            entropy_power,
            spread,
        )

    def merge(self, other: LatentMoments) -> LatentMoments:
        """Moments of the rows of both, in any order and grouping up to float64 rounding.

        Parameters
        ----------
        other : LatentMoments
            Moments of further rows of the same variables.

        Returns
        -------
        moments : LatentMoments

        Raises
        ------
        ValueError
            If the two differ in the number of variables, in whether their codes are sampled, in
            whether variances are known, or in `code_scale`.
        """
        check_moments(other, "other")
        if self._kind != other._kind:
            raise ValueError(
                f"Cannot merge moments of {self._kind} with moments of {other._kind}: "
                "all batches must come from the same encoder with the same output."
            )
        unknown = np.empty(0)
        scale = unknown if self.code_scale is None else self.code_scale
        if not np.array_equal(scale, unknown if other.code_scale is None else other.code_scale):
            raise ValueError(
                "Cannot merge moments with different code_scale: it is that of one fitted encoder."
            )
        n_samples = self.n_samples + other.n_samples
        weight = other.n_samples / n_samples
        shift = {name: getattr(other, name) - getattr(self, name) for name in _MEANS}
        shift["code_offset"] += other.code_origin - self.code_origin
        # The scatter between the two batches around their common mean: n_a n_b / n per unit shift.
        between = self.n_samples * weight
        return LatentMoments(
            n_samples,
            self.sampled,
            code_origin=self.code_origin,
            code_scatter=self.code_scatter
            + other.code_scatter
            + between * np.outer(shift["code_offset"], shift["code_offset"]),
            variance_scatter=self.variance_scatter
            + other.variance_scatter
            + between * shift["mean_of_variance"] ** 2,
            entropy_power=np.full_like(self.entropy_power, np.nan),
            row_moments=merge_row_moments(
                self.row_moments, self.n_samples, other.row_moments, other.n_samples
            ),
            code_scale=self.code_scale,
            **{name: getattr(self, name) + weight * shift[name] for name in _MEANS},
        )

    @property
    def n_components(self) -> int:
        """Number of latent variables."""
        return len(self.code_origin)

    @property
    def has_variance(self) -> bool:
        """Whether posterior variances are known."""
        return not np.isnan(self.mean_of_variance).any()

    @property
    def code_mean(self) -> np.ndarray:
        """Mean of the codes, shape (n_components,)."""
        return self.code_origin + self.code_offset

    @property
    def mean_covariance(self) -> np.ndarray:
        """Covariance of the mean representation, shape (n_components, n_components)."""
        covariance = self.code_scatter / self.n_samples
        np.fill_diagonal(covariance, self.variance_of_mean)
        return covariance

    @property
    def sampled_covariance(self) -> np.ndarray:
        """Covariance of the sampled representation, shape (n_components, n_components)."""
        covariance = self.code_scatter / self.n_samples
        if not self.sampled:
            np.fill_diagonal(covariance, self.variance_of_mean + self.mean_of_variance)
        return covariance

    @property
    def mean_correlation(self) -> np.ndarray:
        """Correlation of the mean representation, shape (n_components, n_components).

        A constant variable is uncorrelated with all others.
        """
        return _correlation(self.mean_covariance)

    @property
    def sampled_correlation(self) -> np.ndarray:
        """Correlation of the sampled representation, shape (n_components, n_components)."""
        return _correlation(self.sampled_covariance)

    @property
    def variance_of_mean(self) -> np.ndarray:
        """Var(mu), the active units statistic, shape (n_components,)."""
        variance = self.code_scatter.diagonal() / self.n_samples
        return np.maximum(variance - self.mean_of_variance, 0) if self.sampled else variance

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """Share of the variance of all columns in the units of what they explain, (n_components,).

        Those are Var(mu), times the squares of `code_scale` where that is known. Without it the
        codes have to be in these units, as those of ``VAEEncoder(whiten=False)`` are.
        """
        variance = self.variance_of_mean
        if self.code_scale is not None:
            variance = variance * self.code_scale**2
        total = variance.sum()
        return variance / total if total > 0 else np.zeros_like(variance)

    @property
    def variance_of_variance(self) -> np.ndarray:
        """Var(s2), shape (n_components,)."""
        return self.variance_scatter / self.n_samples

    @property
    def kl(self) -> np.ndarray:
        """Mean of KL(N(mu, s2) || N(0, 1)) over rows in nats, shape (n_components,)."""
        # The mean of (mu^2 + s2 - 1 - ln s2) / 2, term by term; rounding must not turn the
        # divergence of a posterior equal to the prior negative.
        mean_square = self.variance_of_mean + self.code_mean**2
        kl = (mean_square + self.mean_of_variance - 1 - self.mean_of_log_variance) / 2
        return np.maximum(kl, 0)

    @property
    def reliability(self) -> np.ndarray:
        """Var(mu) / (Var(mu) + E[s2]), 0 for a constant code, shape (n_components,)."""
        total = self.variance_of_mean + self.mean_of_variance
        return np.divide(self.variance_of_mean, total, out=np.zeros_like(total), where=total != 0)

    @property
    def _kind(self) -> str:
        codes = "sampled" if self.sampled else "mean"
        variance = "with" if self.has_variance else "without"
        return f"{self.n_components} {codes} codes {variance} variances"


def check_moments(moments: object, name: str = "moments") -> None:
    """Raise a TypeError if `moments` are no :class:`LatentMoments`."""
    if not isinstance(moments, LatentMoments):
        raise TypeError(
            f"{name} must be LatentMoments, got {type(moments).__name__}. Make them by "
            "LatentMoments.from_batch(mean, variance), or take moments_ of a fitted "
            "PassiveVariableRemover."
        )


def _check_names(mean: ArrayLike, variance: ArrayLike | None, sampled: bool) -> None:
    """Raise a ValueError where the name of a column contradicts its place."""
    drawn = "draws from the posterior"
    for place, x, suffix, what in (
        ("mean", mean, VARIANCE_SUFFIX, "posterior variances, which come second"),
        ("mean", None if sampled else mean, SAMPLED_SUFFIX, f"{drawn}: pass sampled=True"),
        ("variance", variance, SAMPLED_SUFFIX, drawn),
    ):
        for name in map(str, getattr(x, "columns", ())):
            if name.endswith(suffix):
                raise ValueError(
                    f"{place} has the column {name!r}, whose name says that it holds {what}."
                )


def _correlation(covariance: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(covariance.diagonal())
    scale = np.outer(deviation, deviation)
    # Where the scale is NaN, so is the quotient: NaN != 0.
    correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale != 0)
    np.fill_diagonal(correlation, np.where(np.isnan(deviation), np.nan, 1))
    return correlation.clip(-1, 1)


def _as_matrix(name: str, x: ArrayLike) -> np.ndarray:
    if np.ma.is_masked(x):
        raise ValueError(
            f"{name} has {np.ma.count_masked(x)} masked entries; drop or impute these rows first."
        )
    x = np.asarray(x)
    if x.ndim != 2 or x.size == 0 or x.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be real numbers in an array of shape (n_samples, n_components) with at "
            f"least one row and column, got shape {x.shape} and dtype {x.dtype}."
        )
    return x


def _variance_moments(
    shape: tuple[int, ...], variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, scatter, mean logarithm and active share of the columns of `variance`."""
    if variance.shape != shape:
        raise ValueError(
            f"variance must have the shape of mean, {shape}, got {variance.shape}: "
            "every code needs its own posterior variance."
        )
    smallest, largest = np.inf, -np.inf
    log_sum, active = np.zeros(shape[1]), np.zeros(shape[1])
    ones = np.ones(_block_length(variance))
    for rows in _float64_blocks(variance):
        # A NaN goes through both, as in a minimum over all rows.
        smallest, largest = np.minimum(smallest, rows.min()), np.maximum(largest, rows.max())
        n_factors = 8 if largest <= _LARGEST_FACTOR else 1
        active += ones[: len(rows)] @ (rows < _ACTIVE_VARIANCE).astype(np.float64)
        log_sum += _sum_of_logs(np.maximum(rows, _SMALLEST_VARIANCE), n_factors)
    if not (smallest >= 0 and np.isfinite(largest)):
        raise ValueError(
            f"variance must be finite and >= 0, got values from {smallest:.3g} to "
            f"{largest:.3g}; pass variances, not their logarithms and not scaled."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        origin, offset, scatter = _centred_moments(
            variance, lambda rows: np.einsum("ij,ij->j", rows, rows)
        )
    if not np.isfinite(scatter).all():
        raise ValueError(
            f"variance holds values up to {largest:.3g}, whose squares overflow float64; the "
            "posterior variance of a trained encoder is about 1 at most."
        )
    return origin + offset, scatter, log_sum / len(variance), active / len(variance)


def _sum_of_logs(rows: np.ndarray, n_factors: int) -> np.ndarray:
    """Sum of ln over rows; one logarithm of a product of rows takes the place of one per row."""
    n_products = len(rows) // n_factors
    products = rows[:n_products].copy()
    for i in range(1, n_factors):
        products *= rows[i * n_products : (i + 1) * n_products]
    rest = rows[n_factors * n_products :]
    return np.log(products).sum(axis=0) + np.log(rest).sum(axis=0)


def _centred_moments(
    x: np.ndarray, second_moment: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row of `x`, mean of the rows minus it, and `second_moment` of the centred rows.

    One pass, around the mean c of the first block: with delta the mean of x - c over all n rows,
    the sum around the mean is the sum around c - n delta^2. The m rows of the first block alone
    hold m delta^2 of that sum, so the difference loses at most the factor n / m, and nothing to
    the size of the mean. Counted from the first row, a constant column has scatter exactly 0.
    """
    origin = x[0].astype(np.float64)
    block = x[: _block_length(x)]
    centre = origin + (block - origin).mean(axis=0)
    ones = np.ones(len(block))
    total, scatter = np.zeros_like(centre), np.zeros(())
    for rows in _float64_blocks(x):
        rows -= centre
        # The product with ones is the sum over rows, several times as fast as ndarray.sum.
        total += ones[: len(rows)] @ rows
        scatter = scatter + second_moment(rows)
    delta = total / len(x)
    scatter = scatter - len(x) * second_moment(delta[np.newaxis])
    return origin, centre - origin + delta, scatter


def _float64_blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of rows as float64, all in one buffer, which the caller may write to."""
    size = _block_length(x)
    buffer = np.empty((min(size, len(x)), x.shape[1]))
    for start in range(0, len(x), size):
        block = x[start : start + size]
        rows = buffer[: len(block)]
        np.copyto(rows, block)
        yield rows


def _block_length(x: np.ndarray) -> int:
    return max(1, _BUFFER_SIZE // x.shape[1])
