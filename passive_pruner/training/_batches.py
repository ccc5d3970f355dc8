"""Batches of rows for the network, from data that is never converted or copied as a whole."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse


class Rows:
    """A table that is kept as it is and read as dense float32 rows, a few at a time.

    ``rows[index]``, for a slice or an array of row numbers, is a new array in C order: a torch
    tensor can share its memory even where the table is a read-only memory map.

    Parameters
    ----------
    X : ndarray, memmap, CSR matrix or CSR array of shape (n_samples, n_columns)
        Numbers of any type: sparse data stays sparse, and bytes stay bytes.
    divisor : float, default=1.0
        What every value that is read is divided by; 255 brings 8-bit images to the range from
        0 to 1.
    """

    def __init__(self, X, divisor: float = 1.0):
        # np.asarray gives the plain array behind a memory map, which every row read would
        # otherwise be wrapped in again.
        self._is_sparse = issparse(X)
        self._X: Any = X if self._is_sparse else np.asarray(X)
        self._divisor = divisor
        self.shape: tuple[int, int] = X.shape

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        if self._is_sparse:
            # Two compiled passes over the entries of these rows; writing them out by hand from
            # `indptr` is not faster, and it would have to add up duplicate entries as well.
            rows = self._X[index].toarray()
        elif isinstance(index, slice):
            rows = self._X[index].copy()
        else:
            rows = self._X.take(index, axis=0)
        rows = rows.astype(np.float32, copy=False)
        if self._divisor != 1:
            rows /= self._divisor
        return rows

    def part(self, rows: slice) -> "Rows":
        """Return some rows, wrapped and not read."""
        return Rows(self._X[rows], self._divisor)

    def first(self, n: int) -> "Rows":
        """Return the first `n` rows, wrapped and not read."""
        return Rows(self._X[:n], self._divisor)

    def chunks(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the whole table in order, as slices of at most `size` rows with their values."""
        for start in range(0, len(self), size):
            chunk = slice(start, min(start + size, len(self)))
            yield chunk, self[chunk]

    def parts(
        self, rows: np.ndarray, rng: np.random.RandomState
    ) -> Iterator[tuple["Rows", np.ndarray]]:
        """Yield the tables, with the numbers of their rows, that one pass over `rows` reads."""
        yield self, rows


class BlockedRows(Rows):
    """The first block of a table whose other blocks are read again in every pass over the rows.

    All methods but :meth:`parts` see the first block alone.

    Parameters
    ----------
    first : Rows
        The first block.
    others : list of callables without arguments
        Each reads a block and returns its `Rows`, or None if it is empty. One at a time is kept.
    """

    def __init__(self, first: Rows, others: list[Callable[[], Rows | None]]):
        vars(self).update(vars(first))
        self._others = others

    def parts(self, rows, rng):
        """Yield `rows` of the first block and all rows of the others, in a new order of blocks."""
        for number in rng.permutation(1 + len(self._others)):
            block = self if number == 0 else self._others[number - 1]()
            if block is not None:
                yield block, rows if number == 0 else np.arange(len(block))


def permuted_batches(
    X: Rows, rows: np.ndarray, batch_size: int, rng: np.random.RandomState
) -> Iterator[torch.Tensor]:
    """Yield batches of `rows` of `X` without end, in a new order in every pass.

    The rows of a pass are spread evenly over its batches: dropping a short last batch would leave
    none where there are fewer rows than `batch_size`, and a last batch of a single row breaks
    batch normalisation.
    """
    while True:
        for part, numbers in X.parts(rows, rng):
            n_batches = -(-len(numbers) // batch_size)
            bounds = np.linspace(0, len(numbers), n_batches + 1).astype(int)
            order = rng.permutation(numbers)
            for start, stop in pairwise(bounds):
                yield torch.from_numpy(part[order[start:stop]])


def flat_images(X, image_shape: tuple[int, ...]):
    """Turn an array of images into rows, channel last; anything else is returned as it is.

    Parameters
    ----------
    X : array-like of shape (n_samples, H, W) or (n_samples, H, W, C), or rows
        Images; the first form has one channel.
    image_shape : tuple of int
        Height, width and number of channels that are expected.
    """
    image_shape = tuple(image_shape)
    shape = getattr(X, "shape", ())[1:]
    if shape == image_shape or (len(shape) == 2 and (*shape, 1) == image_shape):
        return np.asarray(X).reshape(len(X), -1)
    return X
