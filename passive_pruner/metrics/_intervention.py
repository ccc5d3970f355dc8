"""Disentanglement measured by intervention: hold one factor fixed and watch the codes."""

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression

from passive_pruner._common._parameters import check_number
from passive_pruner._common._validation import local_random_state
from passive_pruner.metrics._validation import check_codes, check_factors

# Images that are drawn and encoded at a time: enough to amortise a call of the encoder, few enough
# to fit in memory (200 MB for 64 x 64 images of 3 float32 channels).
_CHUNK = 4096
# Most images of one batch, which are in memory together.
_MOST_IMAGES = 32_768


class FactorDataset(Protocol):
    """Protocol of a data set with known factors, as needed by the intervention metrics.

    Any object with these two methods can be used. It must have at least 2 factors and an image for
    every combination of their levels, because the metrics overwrite one column of the result of
    `sample_factors` with a level from another row.

    Examples
    --------
    Images of 4 by 4 pixels, one of them lit, whose row and column are the factors:

    >>> import numpy as np
    >>> class Pixel:
    ...     def sample_factors(self, n, random_state):
    ...         return random_state.randint(4, size=(n, 2))
    ...     def images(self, factors):
    ...         row, column = np.eye(4)[factors].swapaxes(0, 1)
    ...         return row[:, :, np.newaxis] * column[:, np.newaxis, :]
    >>> Pixel().images(np.array([[0, 2]]))
    array([[[0., 0., 1., 0.],
            [0., 0., 0., 0.],
            [0., 0., 0., 0.],
            [0., 0., 0., 0.]]])
    """

    def sample_factors(self, n: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw factors independently of each other.

        Parameters
        ----------
        n : int
            Number of rows to draw.
        random_state : RandomState instance
            Source of all randomness.

        Returns
        -------
        factors : ndarray of shape (n, n_factors), int
            Levels of the factors.
        """
        ...

    def images(self, factors: np.ndarray) -> np.ndarray:
        """Return one image per row of factors.

        Parameters
        ----------
        factors : ndarray of shape (n, n_factors), int
            Levels of the factors.

        Returns
        -------
        images : ndarray of shape (n, ...)
            Images in the format of the encoder.
        """
        ...


def factor_vae_score(
    encode: Callable[[np.ndarray], np.ndarray],
    dataset: FactorDataset,
    *,
    batch_size: int = 64,
    n_train: int = 10_000,
    n_test: int = 5_000,
    n_variance: int = 10_000,
    std_threshold: float = 0.05,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    """Compute the FactorVAE score: accuracy of predicting which factor is held fixed.

    In a batch of images that agree in one factor, the code with the smallest variance relative to
    its variance over the data set casts a vote for that factor. A majority vote per code makes a
    classifier of codes into factors, and the score is its accuracy on new batches (section 4 of
    [1]_). Sizes and threshold are by default those of [2]_.

    Parameters
    ----------
    encode : callable
        Function of images to codes of shape (n, n_components), such as the `transform` method of a
        fitted encoder.
    dataset : FactorDataset
        Object with the methods ``sample_factors(n, random_state)`` and ``images(factors)``.
    batch_size : int, default=64
        Number of images that agree in a factor.
    n_train : int, default=10_000
        Number of batches that vote.
    n_test : int, default=5_000
        Number of batches that measure the accuracy.
    n_variance : int, default=10_000
        Number of images that the variances over the data set are estimated from.
    std_threshold : float, default=0.05
        Codes with a smaller standard deviation over the data set are excluded, because a variance
        relative to nearly 0 is noise.
    random_state : int, RandomState instance or None, default=None
        Draws factors.

    Returns
    -------
    score : float
        Accuracy between 0 and 1; about 1 / n_factors for uninformative codes, and 0 if no code
        reaches `std_threshold`.

    Raises
    ------
    ValueError
        If `dataset` or `encode` return matrices of the wrong shape or with values that are not
        finite, there is one factor only, or a size is too small.

    References
    ----------
    .. [1] H. Kim and A. Mnih, "Disentangling by factorising", ICML 2018, arXiv:1802.05983.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.metrics import factor_vae_score
    >>> class Grid:
    ...     def sample_factors(self, n, random_state):
    ...         return random_state.randint(5, size=(n, 2))
    ...     def images(self, factors):
    ...         return factors / 4
    >>> factor_vae_score(lambda images: images, Grid(), n_train=100, n_test=100, random_state=0)
    1.0
    """
    _check_parts(encode, dataset)
    check_number(batch_size, "batch_size", Integral, min_val=2, max_val=_MOST_IMAGES)
    check_number(n_train, "n_train", Integral, min_val=1)
    check_number(n_test, "n_test", Integral, min_val=1)
    check_number(n_variance, "n_variance", Integral, min_val=2)
    check_number(std_threshold, "std_threshold", Real, min_val=0)
    rng = local_random_state(random_state)

    draws = [
        _encode(encode, dataset, _sample_factors(dataset, n, rng)) for n in _chunks(n_variance, 1)
    ]
    codes = np.concatenate(draws)
    # Relative to the first row a constant code is exactly 0, whatever its mean is rounded to.
    variance = np.var(codes - codes[0], axis=0, ddof=1)
    kept = (variance > 0) & (np.sqrt(variance) >= std_threshold)
    if not kept.any():
        return 0.0

    def count_votes(n_batches: int) -> np.ndarray:
        """Count batches per fixed factor and code of least variance."""
        votes = []
        for n in _chunks(n_batches, batch_size):
            factors = _sample_factors(dataset, n * batch_size, rng).reshape(n, batch_size, -1)
            batch, fixed = np.arange(n), rng.randint(factors.shape[-1], size=n)
            factors[batch, :, fixed] = factors[batch, :1, fixed]
            codes = _encode(encode, dataset, factors.reshape(n * batch_size, -1))
            codes = codes[:, kept].reshape(n, batch_size, -1)
            quietest = (codes.var(axis=1, ddof=1) / variance[kept]).argmin(axis=1)
            counts = np.zeros((factors.shape[-1], codes.shape[-1]), dtype=np.int64)
            np.add.at(counts, (fixed, quietest), 1)
            votes.append(counts)
        return np.sum(votes, axis=0)

    majority = count_votes(n_train).argmax(axis=0)
    votes = count_votes(n_test)
    return float(votes[majority, np.arange(votes.shape[1])].sum() / n_test)


def beta_vae_score(
    encode: Callable[[np.ndarray], np.ndarray],
    dataset: FactorDataset,
    *,
    batch_size: int = 64,
    n_train: int = 10_000,
    n_test: int = 5_000,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    """Compute the BetaVAE score: accuracy of predicting which factor two images share.

    The absolute difference of the codes of two images that agree in one factor, averaged over a
    batch of such pairs, is a feature vector, and the factor is its class. The score is the accuracy
    of a linear classifier on new batches (section 3 of [1]_). Sizes are by default those of [2]_,
    and the classifier is logistic regression as there.

    Parameters
    ----------
    encode : callable
        Function of images to codes of shape (n, n_components), such as the `transform` method of a
        fitted encoder.
    dataset : FactorDataset
        Object with the methods ``sample_factors(n, random_state)`` and ``images(factors)``.
    batch_size : int, default=64
        Number of pairs that a feature vector is averaged over.
    n_train : int, default=10_000
        Number of feature vectors that the classifier is fitted to.
    n_test : int, default=5_000
        Number of feature vectors that measure the accuracy.
    random_state : int, RandomState instance or None, default=None
        Draws factors.

    Returns
    -------
    score : float
        Accuracy between 0 and 1, about 1 / n_factors for uninformative codes, such as constant
        ones. It can reach 1 even if no code represents one of the factors, which is why [3]_
        proposes the FactorVAE score.

    Raises
    ------
    ValueError
        If `dataset` or `encode` return matrices of the wrong shape or with values that are not
        finite, there is one factor only, or a size is too small.

    References
    ----------
    .. [1] I. Higgins et al., "beta-VAE: learning basic visual concepts with a constrained
       variational framework", ICLR 2017, https://openreview.net/forum?id=Sy2fzU9gl.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.
    .. [3] H. Kim and A. Mnih, "Disentangling by factorising", ICML 2018, arXiv:1802.05983.

    Examples
    --------
    >>> import numpy as np
    >>> from passive_pruner.metrics import beta_vae_score
    >>> class Grid:
    ...     def sample_factors(self, n, random_state):
    ...         return random_state.randint(5, size=(n, 2))
    ...     def images(self, factors):
    ...         return factors / 4
    >>> beta_vae_score(lambda images: images, Grid(), n_train=100, n_test=100, random_state=0)
    1.0
    """
    _check_parts(encode, dataset)
    check_number(batch_size, "batch_size", Integral, min_val=1, max_val=_MOST_IMAGES)
    check_number(n_train, "n_train", Integral, min_val=2)
    check_number(n_test, "n_test", Integral, min_val=1)
    rng = local_random_state(random_state)

    def draw(n_points: int) -> tuple[np.ndarray, np.ndarray]:
        """Return feature vectors and the factor that each one was drawn with."""
        points, labels = [], []
        for n in _chunks(n_points, 2 * batch_size):
            factors = _sample_factors(dataset, n * batch_size * 2, rng)
            factors = factors.reshape(n, batch_size, 2, -1)
            batch, fixed = np.arange(n), rng.randint(factors.shape[-1], size=n)
            factors[batch, :, 1, fixed] = factors[batch, :, 0, fixed]
            codes = _encode(encode, dataset, factors.reshape(n * batch_size * 2, -1))
            codes = codes.reshape(n, batch_size, 2, -1)
            points.append(np.abs(codes[:, :, 0] - codes[:, :, 1]).mean(axis=1))
            labels.append(fixed)
        return np.concatenate(points), np.concatenate(labels)

    classifier = LogisticRegression(max_iter=1000).fit(*draw(n_train))
    return float(classifier.score(*draw(n_test)))


def _check_parts(encode, dataset) -> None:
    """Raise a TypeError that names what is no function and no data set."""
    if not callable(encode):
        raise TypeError(
            f"encode must be a function from images to codes, such as encoder.transform, got "
            f"{type(encode).__name__}."
        )
    for method in ("sample_factors", "images"):
        if not callable(getattr(dataset, method, None)):
            raise TypeError(
                f"dataset must have the methods sample_factors and images, as that of "
                f"passive_pruner.datasets.make_sprites has, got {type(dataset).__name__}."
            )


def _chunks(n_items: int, images_per_item: int) -> Iterator[int]:
    """Split `n_items` into numbers of items that have about `_CHUNK` images each."""
    size = max(1, _CHUNK // images_per_item)
    for start in range(0, n_items, size):
        yield min(size, n_items - start)


def _sample_factors(dataset: FactorDataset, n: int, rng: np.random.RandomState) -> np.ndarray:
    """Return `n` rows of factors that may be written to."""
    factors = dataset.sample_factors(n, rng)
    return check_factors(factors, n, "dataset.sample_factors(n, random_state)", min_factors=2)


def _encode(
    encode: Callable[[np.ndarray], np.ndarray], dataset: FactorDataset, factors: np.ndarray
) -> np.ndarray:
    """Return the codes of the images of `factors`, as float64."""
    codes = check_codes(encode(dataset.images(factors)), "encode(images)", min_samples=1)
    if len(codes) != len(factors):
        raise ValueError(
            f"encode returned {len(codes)} rows for {len(factors)} images. Pass a function that "
            "returns one row of codes per image."
        )
    return codes
