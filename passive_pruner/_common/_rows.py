"""Tables as a network reads them: dense float32 rows in its units, a few at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from passive_pruner._common._columns import Columns
from passive_pruner._common._sample_weight import drawn_by_weight, effective_number
from passive_pruner._common._validation import unmasked

# Rows per chunk in which a table is read: the activations of a chunk stay in the cache of the
# processor.
CHUNK_ROWS = 1024
# Rows that tell how large the values of a column are beside their spread.
SAMPLE_ROWS = 1024
# Columns of them that are read at a time.
COLUMNS = 128


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
    origin : ndarray of shape (n_columns,), float64, or None, default=None
        What is subtracted from every row before it becomes float32.
    columns : Columns or None, default=None
        Makes the rows that are read from those of `X`: categories become one-hot.
    weights : ndarray of shape (n_samples,), float64, or None, default=None
        Weights of the rows, all above 0; None where all count alike.
    """

    def __init__(
        self,
        X,
        divisor: float = 1.0,
        origin: np.ndarray | None = None,
        columns: Columns | None = None,
        weights: np.ndarray | None = None,
    ):
        # np.asarray gives the plain array behind a memory map, which every row read would
        # otherwise be wrapped in again.
        self._is_sparse = issparse(X)
        self._X: Any = X if self._is_sparse else np.asarray(X)
        self._divisor = divisor
        self._origin = origin
        self._columns = columns
        self.weights = weights
        self.shape: tuple[int, int] = X.shape if columns is None else (len(X), columns.n_inputs)

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
        if self._origin is not None:
            rows = rows - self._origin
        # What is beyond the range of float32 becomes infinite, which whoever reads it looks for.
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32, copy=False)
        if self._divisor != 1:
            rows /= self._divisor
        return rows if self._columns is None else self._columns.inputs(rows)

    def _with(self, X, weights=None) -> "Rows":
        return Rows(X, self._divisor, self._origin, self._columns, weights)

    def part(self, rows: slice | np.ndarray) -> "Rows":
        """Return some rows, wrapped and not read."""
        return self._with(self._X[rows], None if self.weights is None else self.weights[rows])

    def reweighted(self, weights: np.ndarray | None) -> "Rows":
        """Return the same rows with these weights."""
        return self._with(self._X, weights)

    @property
    def n_effective(self) -> float:
        """Number of rows, or the effective number of those that have weights."""
        return len(self) if self.weights is None else effective_number(self.weights)

    def weights_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Weights of some rows, or None."""
        return None if self.weights is None else self.weights[rows]

    def pass_weight(self, rows: np.ndarray) -> tuple[float, int]:
        """Sum of the weights of what one pass over `rows` reads, and the number of these rows."""
        weights = self.weights_of(rows)
        return len(rows) if weights is None else float(weights.sum()), len(rows)

    def incomplete(self) -> np.ndarray:
        """Return the numbers of the rows that have missing cells."""
        if self._X.dtype.kind != "f":
            return np.empty(0, dtype=np.intp)
        if self._is_sparse:
            of_entries = np.repeat(np.arange(len(self)), np.diff(self._X.indptr))
            return np.unique(of_entries[np.isnan(self._X.data)])
        return np.flatnonzero(np.isnan(self._X).any(axis=1))

    def present(self) -> np.ndarray:
        """Tell which cells of a dense table of floats are there, as booleans."""
        return ~np.isnan(self._X)

    def filled(self, rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Return a dense copy of `X` with these cells where those of some rows are NaN."""
        X = self._X.toarray() if self._is_sparse else self._X.copy()
        X[rows] = np.where(np.isnan(X[rows]), cells, X[rows])
        return X

    def as_float32(self) -> "Rows":
        """Return the table with its values converted once and for all, unless that changes them."""
        if self._is_sparse or self._origin is not None or self._X.dtype != np.float64:
            return self
        with np.errstate(over="ignore"):
            return self._with(self._X.astype(np.float32), self.weights)

    def with_origin(self, origin: np.ndarray) -> "Rows":
        """Return the table with this subtracted from every row."""
        return Rows(self._X, self._divisor, origin, self._columns, self.weights)

    def lost_columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the columns of `X` whose values float32 cannot tell apart.

        A float32 number has a relative precision of 2**-24. In such a column that step, at the
        largest value, exceeds a thousandth of the standard deviation, as in a time stamp in
        seconds.

        Returns
        -------
        is_lost : ndarray of shape (n_columns,), bool
        mean : ndarray of shape (n_columns,), float64
            Means of the columns, without NaN, over at most 1024 rows that are drawn at random.
        """
        X = self._X
        if X.dtype != np.float64:
            return np.zeros(X.shape[1], dtype=bool), np.zeros(X.shape[1])
        if len(self) > SAMPLE_ROWS:
            X = X[_drawn(len(self), SAMPLE_ROWS, np.random.default_rng(0))]
        mean, deviation, largest = np.empty((3, X.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            for columns in gen_batches(X.shape[1], COLUMNS):
                values = X[:, columns].toarray() if self._is_sparse else X[:, columns]
                n_present = np.maximum(np.sum(~np.isnan(values), axis=0), 1)
                first = np.nan_to_num(values[0])
                centre = first + np.nansum(values - first, axis=0) / n_present
                square = np.nansum((values - centre) ** 2, axis=0)
                mean[columns], deviation[columns] = centre, np.sqrt(square / n_present)
                largest[columns] = np.fmax.reduce(np.abs(values), axis=0)
        is_lost = (deviation > 0) & (largest * 2.0**-24 > 1e-3 * deviation)
        return is_lost, mean

    def spans(self) -> np.ndarray:
        """Largest minus smallest value of every column, float64; NaN where all are missing."""
        if self._is_sparse:
            high, low = (m.toarray().ravel() for m in (self._X.max(axis=0), self._X.min(axis=0)))
        else:
            high, low = np.fmax.reduce(self._X, axis=0), np.fmin.reduce(self._X, axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            return high.astype(np.float64) - low.astype(np.float64)

    def draw(self, n: int, rng: np.random.Generator) -> "Rows":
        """Return `n` rows that are drawn at random and stand for the table, in their order.

        Not every so many rows: a table of hourly values has a period, and the first rows of a
        sorted one are not like the others. Of rows with weights it is `n` draws in proportion to
        these; a row that is drawn several times is there once, with their number as its weight.
        """
        if len(self) <= n:
            return self
        if self.weights is None:
            return self._with(self._X[_drawn(len(self), n, rng)])
        drawn = drawn_by_weight(self.weights, n, rng.random())
        rows, counts = np.unique(drawn, return_counts=True)
        return self._with(self._X[rows], counts.astype(np.float64))

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the whole table in order, as slices of at most `size` rows with their values."""
        for chunk in self.slices(size):
            yield chunk, self[chunk]

    def slices(self, size: int) -> list[slice]:
        """Return the whole table in order, as slices of at most `size` rows."""
        n = len(self)
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

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
    others_weight : (float, int), default=(0.0, 0)
        Where rows have weights, the sum of those in the other blocks, and their number.
    """

    def __init__(
        self,
        first: Rows,
        others: list[Callable[[], Rows | None]],
        others_weight: tuple[float, int] = (0.0, 0),
    ):
        super().__init__(first._X, first._divisor, first._origin, first._columns, first.weights)
        self._others = others
        self._others_weight = others_weight

    def pass_weight(self, rows):
        """Sum of the weights of what one pass over `rows` reads, and the number of these rows."""
        weight, n_rows = super().pass_weight(rows)
        return weight + self._others_weight[0], n_rows + self._others_weight[1]

    def parts(self, rows, rng):
        """Yield `rows` of the first block and all rows of the others, in a new order of blocks."""
        for number in rng.permutation(1 + len(self._others)):
            block = self if number == 0 else self._others[number - 1]()
            if block is not None:
                yield block, rows if number == 0 else np.arange(len(block))


def _drawn(n_rows: int, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.choice(n_rows, n, replace=False))


def byte_divisor(X: np.ndarray) -> float:
    """Tell what the bytes of images are divided by.

    Bytes of 0 to 255 are brought to the range from 0 to 1. Where all of them are 0 or 1 the images
    are binary, such as those of dSprites, and stay as they are.
    """
    return 1.0 if X.max() <= 1 else 255.0


def flat_images(X, image_shape: tuple[int, ...]):
    """Turn an array of images into rows, channel last; anything else is returned as it is.

    Parameters
    ----------
    X : array-like of shape (n_samples, H, W) or (n_samples, H, W, C), or rows
        Images; the first form has one channel.
    image_shape : tuple of int
        Height, width and number of channels that are expected.

    Raises
    ------
    ValueError
        If these are images of another shape.
    """
    image_shape = tuple(image_shape)
    shape = tuple(getattr(X, "shape", ()))[1:]
    if shape == image_shape or (len(shape) == 2 and (*shape, 1) == image_shape):
        return np.asarray(unmasked(X)).reshape(len(X), -1)
    if len(shape) > 1:
        advice = "Set image_shape to the (height, width, channels) of the images in X."
        if len(shape) == 3 and (*shape[1:], shape[0]) == image_shape:
            advice = "The channels of X come first; bring them last with numpy.moveaxis(X, 1, -1)."
        raise ValueError(
            f"X has images of shape {shape}, but image_shape={image_shape} expects height, width "
            f"and channels in this order. {advice}"
        )
    return X


def are_finite(*arrays: np.ndarray) -> bool:
    """Whether all numbers are finite: then their sum is, unless they are too large to add up."""
    with np.errstate(over="ignore", invalid="ignore"):
        return all(bool(np.isfinite(array.sum())) for array in arrays)
