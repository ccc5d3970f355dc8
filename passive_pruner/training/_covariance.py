"""Means and covariance of a table, in one pass; where cells are missing, by EM on drawn rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from passive_pruner._common._rows import CHUNK_ROWS, Rows
from passive_pruner.training._factor_analysis import Factors

# Rows that stand for a table with missing cells, which EM has to read again and again.
MAX_ROWS = 4096
# After five rounds the log-likelihood of rows with 40 % missing cells is within a tenth of a nat
# of its end, or half a nat where columns nearly determine each other.
ROUNDS = 8


@dataclass(frozen=True)
class Moments:
    """Moments of a table.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    covariance : ndarray of shape (n_features, n_features)
    n_samples : float
        Number of rows. With missing cells it is larger: a covariance in which missing cells have
        their expected values counts noise less than that of as many complete rows does.
    present : ndarray of shape (n_features,)
        Share of the cells that are present.
    """

    mean: np.ndarray
    covariance: np.ndarray
    n_samples: float
    present: np.ndarray


def moments(X: Rows, rows: np.ndarray, values: Callable[[np.ndarray], np.ndarray]) -> Moments:
    """Compute the moments of rows without missing cells.

    Parameters
    ----------
    X : Rows of shape (n_samples, n_features)
    rows : ndarray of int
        Numbers of the rows, as :meth:`Rows.parts` takes them.
    values : callable
        Brings rows to the values, in float64, whose moments are wanted.

    Returns
    -------
    moments : Moments
    """
    n, shift = 0, None
    for part, numbers in _chunks(X, rows):
        chunk = values(part[numbers])
        if shift is None:
            # Squares of what is far from 0 lose the digits that tell how it varies.
            shift = chunk.mean(axis=0)
            total, square = np.zeros_like(shift), np.zeros((len(shift), len(shift)))
        chunk -= shift
        total += chunk.sum(axis=0)
        square += chunk.T @ chunk
        n += len(chunk)
    mean = total / n
    return Moments(shift + mean, square / n - np.outer(mean, mean), n, np.ones(len(mean)))


def moments_with_missing(table: np.ndarray, fit: Callable[[Moments], Factors]) -> Moments:
    """Estimate the moments that rows would have without missing cells.

    The EM algorithm: a factor analysis of the moments so far tells what to expect of the missing
    cells and of their products, from which the moments follow. Covariances of the rows in which
    both cells are present would need no rounds, but nothing keeps them from being indefinite.

    Parameters
    ----------
    table : ndarray of shape (n_samples, n_features)
        Rows with NaN in missing cells.
    fit : callable
        Fits a factor analysis to moments.

    Returns
    -------
    moments : Moments
    """
    present = ~np.isnan(table)
    counts = np.maximum(present.sum(axis=0), 1)
    mean = np.nansum(table, axis=0) / counts
    variance = np.nansum((table - mean) ** 2, axis=0) / counts
    noise = np.where(variance > 0, variance, 1.0)
    result = _expected(table, present, mean, Factors(np.zeros((len(mean), 0)), noise, np.zeros(0)))
    for _ in range(ROUNDS if not present.all() else 0):
        result = _expected(table, present, result.mean, fit(result))
    return result


def sample(X: Rows, rows: np.ndarray) -> np.ndarray:
    """Draw at most 4096 rows at random, in one pass over :meth:`Rows.parts`."""
    rng = np.random.default_rng(0)
    keys, kept = np.empty(0), np.empty((0, X.shape[1]), np.float32)
    for part, numbers in _chunks(X, rows):
        new = rng.random(len(numbers))
        is_smaller = new < (keys.max() if len(keys) == MAX_ROWS else 1.0)
        keys = np.concatenate([keys, new[is_smaller]])
        kept = np.concatenate([kept, part[numbers[is_smaller]]])
        smallest = np.argsort(keys)[:MAX_ROWS]
        keys, kept = keys[smallest], kept[smallest]
    return kept


def _expected(table, present, mean, factors):
    """Moments with the expected values of missing cells, and of their products, under a model."""
    n, k = len(table), len(factors.gain)
    scaled = factors.loadings / factors.noise[:, np.newaxis]
    products = (factors.loadings[:, :, np.newaxis] * scaled[:, np.newaxis]).reshape(
        len(mean), k * k
    )
    filled = np.empty_like(table)
    total_posterior = np.zeros((k, k))
    for start in range(0, n, CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        centred = np.where(present[chunk], table[chunk] - mean, 0.0)
        precision = np.eye(k) + (present[chunk] @ products).reshape(len(centred), k, k)
        posterior = np.linalg.inv(precision)
        codes = np.einsum("njk,nk->nj", posterior, centred @ scaled)
        total_posterior += posterior.sum(axis=0)
        filled[chunk] = np.where(present[chunk], centred, codes @ factors.loadings.T)
    change = filled.mean(axis=0)
    filled -= change
    share = present.mean(axis=0)
    both_missing = (~present).T.astype(float) @ (~present) / n
    # The posterior of a row depends on which of its cells are missing; on average it is this.
    spread = factors.loadings @ (total_posterior / n) @ factors.loadings.T
    covariance = (
        filled.T @ filled / n + both_missing * spread + np.diag((1 - share) * factors.noise)
    )
    # A covariance of noise is damped to the share of pairs that are present, r^2, and its standard
    # deviation to r: it looks as it would in n / r^2 complete rows.
    return Moments(mean + change, covariance, n / max(share.mean(), 1 / n) ** 2, share)


def _chunks(X: Rows, rows: np.ndarray) -> Iterator[tuple[Rows, np.ndarray]]:
    for part, numbers in X.parts(rows, np.random.RandomState(0)):
        numbers = np.sort(numbers)
        for start in range(0, len(numbers), CHUNK_ROWS):
            yield part, numbers[start : start + CHUNK_ROWS]
