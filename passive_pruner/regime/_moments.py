"""Streaming, mergeable statistics of posterior means and variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from passive_pruner.regime._batch_moments import (
    SMALLEST_VARIANCE,
    centred_moments,
    variance_moments,
)
from passive_pruner.regime._entropy import column_entropy
from passive_pruner.regime._row_moments import merge_row_moments, row_moments
from passive_pruner.regime._sample_weight import checked_weights, effective_number

#: How the names of columns end that hold draws, and posterior variances.
SAMPLED_SUFFIX = "_sampled"
VARIANCE_SUFFIX = "_variance"

# Fields that are means over rows, and so merge as weighted means.
_MEANS = ("code_offset", "mean_of_variance", "mean_of_log_variance", "active_share")


@dataclass(frozen=True, eq=False)
class LatentMoments:
    """Moments of a diagonal Gaussian posterior over the rows of a data set.

    Create them with :meth:`from_batch` and add them up with :meth:`merge`: batches of any size give
    the same moments as the whole data set at once. All arrays are float64 and read-only, all
    variances and covariances are population values (divided by the number of rows, ddof=0), and all
    divergences are in nats. Statistics that need posterior variances are NaN without them.

    Parameters
    ----------
    n_samples : int or float
        Number of rows, or the sum of their weights.
    sampled : bool
        Whether the codes are draws from the posterior instead of its means.
    code_origin : ndarray of shape (n_components,)
        Codes of the first row.
    code_offset : ndarray of shape (n_components,)
        Mean of the codes minus `code_origin`. It is stored separately, so that its rounding error
        is relative to the spread of the codes, however large their mean.
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
        Variance of the normal distribution that has the differential entropy h of the codes, exp(2
        h) / (2 pi e) [2]_. It is NaN unless requested, and at most the variance of the codes up to
        the error of the estimate. As it is not a sum over rows, :meth:`merge` sets it to NaN.
    row_moments : ndarray of shape (3, 4, n_components)
        Mean and central moments of order 2 to 4 of the codes, the posterior variances and the
        divergence, used for standard errors. They are computed from at most 4096 rows of every
        batch, weighted by the squares of their weights.
    code_scale : ndarray of shape (n_components,), default=None
        Factors that scale the codes such that their variance is the variance that they explain, as
        `VAEEncoder.code_scale_`. None if unknown.
    effective_samples : float, default=None
        Value of `n_effective` if rows have weights, otherwise None.

    See Also
    --------
    passive_pruner.PassiveVariableRemover : Stores the moments of its data in ``moments_``.

    Notes
    -----
    For posterior means mu, variances s2 and draws z = mu + sqrt(s2) eps, with independent
    standard normal eps::

        Cov(z_i, z_j) = Cov(mu_i, mu_j)            for i != j
        Var(z_j)      = Var(mu_j) + E[s2_j]

    in expectation over eps, so the moments of draws follow from those of means without drawing.
    Conversely, the moments of means are estimated from those of draws, with an error that decreases
    with the square root of the number of rows; negative estimates of a variance are set to 0.

    Batches are combined as in [1]_.

    Weights are importance weights, such as survey weights or class weights. In all moments a row of
    weight w counts as w equal rows, and a row of weight 0 is ignored. It does not count as w
    *independent* rows: standard errors are those of `n_effective` rows, which does not depend on
    the unit of the weights. If rows represent several independent rows each, as in a table of
    counts, repeat them instead.

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

    n_samples: int | float
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
    effective_samples: float | None = None

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
        sample_weight: ArrayLike | None = None,
        sampled: bool = False,
        entropy: bool = False,
    ) -> LatentMoments:
        """Compute the moments of one batch.

        Parameters
        ----------
        mean : array-like of shape (n_samples, n_components)
            Posterior means, or draws from the posterior if `sampled`.
        variance : array-like of shape (n_samples, n_components), default=None
            Posterior variances.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        sampled : bool, default=False
            Whether `mean` holds draws from the posterior instead of its means.
        entropy : bool, default=False
            Whether to estimate `entropy_power`. This sorts every column, and needs at least 5 rows
            without weights.

        Returns
        -------
        moments : LatentMoments
            Moments of the batch.

        Raises
        ------
        ValueError
            If an array is not a matrix of finite real numbers with at least one row and one column,
            if entries are masked, if the shapes differ, if a variance is negative, or if the column
            names of a DataFrame contradict its use. If a weight is negative or not finite, if all
            weights are 0, or if their number is not the number of rows.
        """
        _check_names(mean, variance, sampled)
        mean = _as_matrix("mean", mean)
        variance = None if variance is None else _as_matrix("variance", variance)
        weights = effective = None
        if sample_weight is not None:
            weights = checked_weights(sample_weight, mean)
            if entropy:
                raise ValueError(
                    "The entropy of codes is estimated from the distances between rows, which "
                    "have no weights: leave out sample_weight, or choose another criterion."
                )
            _check_finite(mean)  # rows without weight too, as in StandardScaler
            counts = weights > 0
            mean, weights = mean[counts], weights[counts]
            if variance is not None and len(variance) == len(counts):
                variance = variance[counts]
            effective = effective_number(weights)
        with np.errstate(over="ignore", invalid="ignore"):
            origin, offset, scatter = centred_moments(mean, weights, lambda a, b: a.T @ b)
        _check_finite(origin, scatter)
        if variance is None:
            unknown = np.full_like(origin, np.nan)
            of_variance = (unknown, unknown, unknown, unknown)
        else:
            of_variance = variance_moments(mean.shape, variance, weights)
        entropy_power = np.full_like(origin, np.nan)
        if entropy:
            h = column_entropy(np.asarray(mean, dtype=np.float64))
            entropy_power = np.exp(2 * h) / (2 * np.pi * np.e)
        spread = row_moments(
            mean,
            variance,
            weights,
            sampled=sampled,
            smallest_variance=float(SMALLEST_VARIANCE),
        )
        return cls(
            len(mean) if weights is None else float(weights.sum()),
            bool(sampled),
            origin,
            offset,
            scatter,
            *of_variance,
            entropy_power,
            spread,
            effective_samples=effective,
        )

    def merge(self, other: LatentMoments) -> LatentMoments:
        """Combine the moments with those of further rows.

        The result does not depend on order and grouping, up to float64 rounding.

        Parameters
        ----------
        other : LatentMoments
            Moments of further rows of the same variables.

        Returns
        -------
        moments : LatentMoments
            Moments of the rows of both.

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
        has_weights = self.effective_samples is not None or other.effective_samples is not None
        if has_weights:
            # Sums of squared weights, whose unit is n_samples^2.
            squares = [(m.n_samples / n_samples) ** 2 / m.n_effective for m in (self, other)]
        else:
            squares = [self.n_samples, other.n_samples]
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
                self.row_moments, squares[0], other.row_moments, squares[1]
            ),
            code_scale=self.code_scale,
            effective_samples=1 / sum(squares) if has_weights else None,
            **{name: getattr(self, name) + weight * shift[name] for name in _MEANS},
        )

    @property
    def n_components(self) -> int:
        """Number of latent variables."""
        return len(self.code_origin)

    @property
    def n_effective(self) -> float:
        """Effective number of rows, (sum w)^2 / sum w^2.

        It equals `n_samples` if rows have no weights. L. Kish, "Survey Sampling", 1965, section
        11.7.
        """
        return self.n_samples if self.effective_samples is None else self.effective_samples

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

        The correlation of a constant variable with any other is 0.
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
        """Share of the explained variance of all variables, shape (n_components,).

        The explained variances are Var(mu), multiplied by the squares of `code_scale` if this is
        known. Otherwise the codes must be those of ``VAEEncoder(whiten=False)``.
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


def _check_finite(*arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(
            "mean holds NaN, infinity or values whose squares overflow float64; "
            "drop or impute these rows first."
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
    try:
        x = np.asarray(x)
    except (RuntimeError, TypeError, ValueError) as error:  # ragged, or a tensor of torch
        raise ValueError(
            f"{name} must be real numbers in an array of shape (n_samples, n_components), got a "
            f"{type(x).__name__} ({error})."
        ) from error
    if x.ndim != 2 or x.size == 0 or x.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be real numbers in an array of shape (n_samples, n_components) with at "
            f"least one row and column, got shape {x.shape} and dtype {x.dtype}."
        )
    return x
