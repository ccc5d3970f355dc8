"""Images with known factors: an image for every combination of levels, found by its index."""

from collections.abc import Sequence
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from passive_pruner._common._parameters import check_number
from passive_pruner._common._validation import explain_numbers, local_random_state


class FactorImages:
    """Images in the order of their factors, read on demand.

    There is one image for every combination of the levels of the factors, and the last factor
    varies fastest. It is a :class:`~passive_pruner.metrics.FactorDataset`, so
    :func:`~passive_pruner.metrics.factor_vae_score` and
    :func:`~passive_pruner.metrics.beta_vae_score` take it.

    Parameters
    ----------
    images : indexable of shape (n_images, ...)
        Container with a length, from which an ndarray of indices selects images: an ndarray, a
        memory map, or an object of your own that reads or computes the images.
    factors : sequence of str
        Names of the factors.
    factor_sizes : sequence of int
        Number of levels of each factor, at least 2; their product is n_images.

    Raises
    ------
    TypeError
        If `factors` are not names or `factor_sizes` are not integers.
    ValueError
        If names, sizes and number of images contradict each other.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.datasets import FactorImages
    >>> images = np.arange(6).reshape(6, 1, 1)
    >>> data = FactorImages(images, factors=("row", "column"), factor_sizes=(2, 3))
    >>> data.factors_of([0, 4])
    array([[0, 0],
           [1, 1]])
    >>> data.images([[1, 1]])
    array([[[4]]])
    """

    def __init__(self, images: Any, factors: Sequence[str], factor_sizes: Sequence[int]):
        self._images = images
        self.factors = tuple(factors)
        if isinstance(factors, str) or not all(isinstance(f, str) for f in self.factors):
            raise TypeError(f"factors must be a sequence of names, got {factors!r}.")
        if not all(isinstance(size, Integral) for size in factor_sizes):
            raise TypeError(f"factor_sizes must be integers, got {factor_sizes!r}.")
        self.factor_sizes = tuple(int(size) for size in factor_sizes)
        if len(self.factors) != len(self.factor_sizes) or not self.factors:
            raise ValueError(
                f"{len(self.factors)} names of factors and {len(self.factor_sizes)} sizes. Pass "
                "one size per name, and at least one of each."
            )
        if min(self.factor_sizes) < 2:
            raise ValueError(
                f"factor_sizes={self.factor_sizes}, but a factor has at least 2 levels. Leave out "
                "what does not vary."
            )
        if prod(self.factor_sizes) != len(images):
            raise ValueError(
                f"There are {len(images)} images, but factor_sizes={self.factor_sizes} has "
                f"{prod(self.factor_sizes)} combinations. Pass one image for each."
            )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{f}: {n}" for f, n in zip(self.factors, self.factor_sizes, strict=True))
        return f"<{len(self)} images of shape {self.image_shape}; factors {sizes}>"

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self._images[np.arange(*key.indices(len(self)))]
        indices = self._checked_indices(key)
        return self._images[indices] if indices.ndim else self._images[indices[np.newaxis]][0]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self[0].shape

    def factors_of(self, indices: ArrayLike) -> np.ndarray:
        """Return the factors of the images at `indices`.

        Parameters
        ----------
        indices : array-like of shape (n,), int or bool
            Indices of images, or a mask of all of them.

        Returns
        -------
        factors : ndarray of shape (n, n_factors), int64
            Levels of the factors, from 0. For a single index, of shape (n_factors,).

        Raises
        ------
        IndexError
            If an index is out of range or is not an integer.
        """
        levels = np.unravel_index(self._checked_indices(indices), self.factor_sizes)
        return np.stack(levels, axis=-1)

    def indices_of(self, factors: ArrayLike) -> np.ndarray:
        """Return the indices of the images with these factors.

        Parameters
        ----------
        factors : array-like of shape (n, n_factors), int
            Levels of the factors, from 0.

        Returns
        -------
        indices : ndarray of shape (n,), int64
            Indices of the images.

        Raises
        ------
        ValueError
            If there is a wrong number of columns, or a level that its factor does not have.
        """
        levels = check_array(factors, dtype=None, ensure_min_samples=0, input_name="factors")
        if levels.shape[1] != len(self.factors):
            raise ValueError(
                f"factors has {levels.shape[1]} columns. Pass one for each of {self.factors}."
            )
        if levels.dtype.kind not in "iu":
            raise ValueError(f"factors are of type {levels.dtype}, but levels are integers.")
        wrong = (levels < 0) | (levels >= self.factor_sizes)
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            raise ValueError(
                f"factors[{i}, {j}] = {levels[i, j]}, but the levels of {self.factors[j]!r} run "
                f"from 0 to {self.factor_sizes[j] - 1}."
            )
        return np.ravel_multi_index(tuple(levels.T), self.factor_sizes)

    def images(self, factors: ArrayLike) -> np.ndarray:
        """Return the images with these factors.

        Parameters
        ----------
        factors : array-like of shape (n, n_factors), int
            Levels of the factors, from 0.

        Returns
        -------
        images : ndarray of shape (n, ...)
            The same as indexing with ``indices_of(factors)``.

        Raises
        ------
        ValueError
            If there is a wrong number of columns, or a level that its factor does not have.
        """
        return self._images[self.indices_of(factors)]

    def sample_factors(
        self, n: int, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray:
        """Draw factors uniformly and independently of each other, with replacement.

        Parameters
        ----------
        n : int
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws.

        Returns
        -------
        factors : ndarray of shape (n, n_factors), int64
            Levels of the factors, from 0.

        Raises
        ------
        TypeError, ValueError
            If `n` is not an integer, or is negative.
        """
        check_number(n, "n", Integral, min_val=0)
        rng = local_random_state(random_state)
        return rng.randint(self.factor_sizes, size=(n, len(self.factors)), dtype=np.int64)

    def sample(
        self, n: int, random_state: int | np.random.RandomState | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw images with replacement, and return them with their factors.

        Parameters
        ----------
        n : int
            Number of images.
        random_state : int, RandomState instance or None, default=None
            Source of the draws.

        Returns
        -------
        images : ndarray of shape (n, ...)
            Drawn images.
        factors : ndarray of shape (n, n_factors), int64
            Levels of the factors, from 0.

        Raises
        ------
        TypeError, ValueError
            If `n` is not an integer, or is negative.
        """
        factors = self.sample_factors(n, random_state)
        return self.images(factors), factors

    def _checked_indices(self, indices: ArrayLike) -> np.ndarray:
        """Return non-negative indices in range; a mask becomes the indices of its true entries."""
        with explain_numbers(indices, "indices", "integers, a slice or a mask"):
            given = np.asarray(indices)
        if given.dtype == bool and given.shape == (len(self),):
            return np.flatnonzero(given)
        if given.size == 0:
            return np.zeros(0, dtype=np.int64)
        if given.dtype.kind not in "iu" or given.ndim > 1:
            raise IndexError(
                f"The index is an array of {given.dtype} of shape {given.shape}. Pass an integer, "
                f"a slice, integers in one dimension, or a mask of length {len(self)}."
            )
        wrong = (given < -len(self)) | (given >= len(self))
        if wrong.any():
            raise IndexError(
                f"Index {given[wrong].flat[0]} is out of range for {len(self)} images."
            )
        return np.where(given < 0, given + len(self), given).astype(np.int64)
