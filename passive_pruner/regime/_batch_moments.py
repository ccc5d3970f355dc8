"""Moments of one batch of rows, in passes over blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

# Numbers in the float64 working copy of some rows: half a MiB, so that it stays in the cache
# between the passes over it, and the memory on top of the input does not depend on their number.
_BUFFER_SIZE = 2**16

# A variance that underflowed to zero would make the divergence infinite and, through the mean
# over rows, hide every other row; the smallest normal float32 caps it at 43 nats.
SMALLEST_VARIANCE = np.finfo(np.float32).tiny

# With values from SMALLEST_VARIANCE to this one, products of eight are in the range of float64.
_LARGEST_FACTOR = 1e38

# Halfway between the two states that a row of a polarised variable can be in.
_ACTIVE_VARIANCE = 0.5


def variance_moments(
    shape: tuple[int, ...], variance: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, scatter, mean logarithm and active share of the columns of `variance`.

    Parameters
    ----------
    shape : tuple of int
        Shape that it must have.
    variance : ndarray of shape (n_samples, n_components)
        Posterior variances.
    weights : ndarray of shape (n_samples,) or None
        Weights of the rows, all above 0.

    Raises
    ------
    ValueError
        If a value is no variance, or the shape is another one.
    """
    if variance.shape != shape:
        raise ValueError(
            f"variance must have the shape of mean, {shape}, got {variance.shape}: "
            "every code needs its own posterior variance."
        )
    smallest, largest = np.inf, -np.inf
    log_sum, active = np.zeros(shape[1]), np.zeros(shape[1])
    for rows, row_weights in _weighted_blocks(variance, weights):
        # A NaN goes through both, as in a minimum over all rows.
        smallest, largest = np.minimum(smallest, rows.min()), np.maximum(largest, rows.max())
        n_factors = 8 if largest <= _LARGEST_FACTOR else 1
        active += row_weights @ (rows < _ACTIVE_VARIANCE).astype(np.float64)
        rows = np.maximum(rows, SMALLEST_VARIANCE)
        if weights is None:
            log_sum += _sum_of_logs(rows, n_factors)
        else:
            log_sum += row_weights @ np.log(rows)
    if not (smallest >= 0 and np.isfinite(largest)):
        raise ValueError(
            f"variance must be finite and >= 0, got values from {smallest:.3g} to "
            f"{largest:.3g}; pass variances, not their logarithms and not scaled."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        origin, offset, scatter = centred_moments(
            variance, weights, lambda a, b: np.einsum("ij,ij->j", a, b)
        )
    if not np.isfinite(scatter).all():
        raise ValueError(
            f"variance holds values up to {largest:.3g}, whose squares overflow float64; the "
            "posterior variance of a trained encoder is about 1 at most."
        )
    total = len(variance) if weights is None else weights.sum()
    return origin + offset, scatter, log_sum / total, active / total


def _sum_of_logs(rows: np.ndarray, n_factors: int) -> np.ndarray:
    """Sum of ln over rows; one logarithm of a product of rows takes the place of one per row."""
    n_products = len(rows) // n_factors
    products = rows[:n_products].copy()
    for i in range(1, n_factors):
        products *= rows[i * n_products : (i + 1) * n_products]
    rest = rows[n_factors * n_products :]
    return np.log(products).sum(axis=0) + np.log(rest).sum(axis=0)


def centred_moments(
    x: np.ndarray,
    weights: np.ndarray | None,
    second_moment: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row of `x`, mean of the rows minus it, and the second moment of the centred rows.

    The second moment is ``second_moment(rows, rows)``, or with weights ``(rows, weighted rows)``,
    added up over blocks of rows.

    One pass, around the mean c of the first block: with delta the mean of x - c over all n rows,
    the sum around the mean is the sum around c - n delta^2. The m rows of the first block alone
    hold m delta^2 of that sum, so the difference loses at most the factor n / m, and nothing to
    the size of the mean. Counted from the first row, a constant column has scatter exactly 0.

    With weights the first block may weigh next to nothing, so c is the mean of all rows, from a
    pass of its own, and delta what that lost to rounding.
    """
    origin = x[0].astype(np.float64)
    if weights is None:
        block = x[: _block_length(x)]
        centre = origin + (block - origin).mean(axis=0)
    else:
        shares = weights / weights.sum()
        centre = origin + sum(w @ (rows - origin) for rows, w in _weighted_blocks(x, shares))
    total, scatter = np.zeros_like(centre), np.zeros(())
    for rows, row_weights in _weighted_blocks(x, weights):
        rows -= centre
        # The product with ones is the sum over rows, several times as fast as ndarray.sum.
        total += row_weights @ rows
        weighted = rows if weights is None else row_weights[:, np.newaxis] * rows
        scatter = scatter + second_moment(rows, weighted)
    n = len(x) if weights is None else weights.sum()
    delta = total / n
    scatter = scatter - n * second_moment(delta[np.newaxis], delta[np.newaxis])
    if weights is not None:  # the product of two matrices is symmetric but for rounding
        scatter = (scatter + scatter.T) / 2
    return origin, centre - origin + delta, scatter


def _weighted_blocks(
    x: np.ndarray, weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of rows as :func:`_float64_blocks` gives them, with their weights, or ones."""
    ones = np.ones(_block_length(x))
    start = 0
    for rows in _float64_blocks(x):
        stop = start + len(rows)
        yield rows, ones[: len(rows)] if weights is None else weights[start:stop]
        start = stop


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
