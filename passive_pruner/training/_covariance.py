"""Means and covariance of a table, in one pass; where cells are missing, by EM on drawn rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from passive_pruner._common._rows import CHUNK_ROWS, Rows
from passive_pruner._common._sample_weight import (
    drawn_by_weight,
    effective_number,
    weighted,
)
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
        Number of rows, or effective number of rows with weights. With missing cells it is larger: a
        covariance in which missing cells have their expected values counts noise less than that of
        as many complete rows does.
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
    n, squares, shift = 0, 0.0, None
    for part, numbers in _chunks(X, rows):
        chunk, weights = values(part[numbers]), part.weights_of(numbers)
        if shift is None:
            # Squares of what is far from 0 lose the digits that tell how it varies.
            shift = chunk.mean(axis=0)
            total, square = np.zeros_like(shift), np.zeros((len(shift), len(shift)))
        chunk -= shift
        if weights is None:
            total += chunk.sum(axis=0)
            square += chunk.T @ chunk
            n += len(chunk)
        else:
            total += weights @ chunk
            square += chunk.T @ (weights[:, np.newaxis] * chunk)
            n += weights.sum()
            squares += np.sum(weights**2)
    mean = total / n
    n_samples = n**2 / squares if squares else n
    return Moments(shift + mean, square / n - np.outer(mean, mean), n_samples, np.ones(len(mean)))


def moments_with_missing(
    table: np.ndarray,
    fit: Callable[[Moments], Factors],
    weights: np.ndarray | None = None,
) -> Moments:
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
    weights : ndarray of shape (n_samples,), optional
        Weights of the rows.

    Returns
    -------
    moments : Moments
    """
    present = ~np.isnan(table)
    counts = np.sum(weighted(present, weights), axis=0)
    counts = np.where(counts > 0, counts, 1)
    mean = np.nansum(weighted(table, weights), axis=0) / counts
    variance = np.nansum(weighted((table - mean) ** 2, weights), axis=0) / counts
    noise = np.where(variance > 0, variance, 1.0)
    factors = Factors(np.zeros((len(mean), 0)), noise, np.zeros(0))
    result = _expected(table, present, mean, factors, weights)
    for _ in range(ROUNDS if not present.all() else 0):
        result = _expected(table, present, result.mean, fit(result), weights)
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


def weighted_sample(X: Rows, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw some 4096 rows by their weights, or take all where there are no more of them.

    Returns
    -------
    table : ndarray of shape (n_drawn, n_features)
        Rows, each once.
    weights : ndarray of shape (n_drawn,)
        Their weights, in units of the mean weight of the rows.
    """
    rng = np.random.RandomState(0)
    total, n_rows = X.pass_weight(rows)
    kept, weights = [], []
    for part, numbers in X.parts(rows, rng):
        of_part: Any = part.weights_of(numbers)
        if n_rows > MAX_ROWS:
            n_drawn = MAX_ROWS * of_part.sum() / total
            drawn = drawn_by_weight(of_part, n_drawn, rng.random_sample())
            places, of_part = np.unique(drawn, return_counts=True)
            numbers = numbers[places]
        kept.append(part[numbers])
        weights.append(of_part * (1.0 if n_rows > MAX_ROWS else n_rows / total))
    return np.concatenate(kept), np.concatenate(weights)


def _expected(table, present, mean, factors, weights):
    """Moments with the expected values of missing cells, and of their products, under a model."""
    n, k = len(table), len(factors.gain)
    n_samples = n if weights is None else effective_number(weights)
    shares = None if weights is None else weights * (n / weights.sum())
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
        if shares is not None:
            posterior *= shares[chunk, np.newaxis, np.newaxis]
        total_posterior += posterior.sum(axis=0)
        filled[chunk] = np.where(present[chunk], centred, codes @ factors.loadings.T)
    change = weighted(filled, shares).mean(axis=0)
    filled -= change
    share = weighted(present, shares).mean(axis=0)
    both_missing = (~present).T.astype(float) @ weighted(~present, shares) / n
    # The posterior of a row depends on which of its cells are missing; on average it is this.
    spread = factors.loadings @ (total_posterior / n) @ factors.loadings.T
    covariance = (
        filled.T @ weighted(filled, shares) / n
        + both_missing * spread
        + np.diag((1 - share) * factors.noise)
    )
    # A covariance of noise is damped to the share of pairs that are present, r^2, and its standard
    # deviation to r: it looks as it would in n / r^2 complete rows.
    return Moments(mean + change, covariance, n_samples / max(share.mean(), 1 / n) ** 2, share)


def _chunks(X: Rows, rows: np.ndarray) -> Iterator[tuple[Rows, np.ndarray]]:
    for part, numbers in X.parts(rows, np.random.RandomState(0)):
        numbers = np.sort(numbers)
        for start in range(0, len(numbers), CHUNK_ROWS):
            yield part, numbers[start : start + CHUNK_ROWS]
