"""What the estimators share: validation whose errors name the fix, clean failure, seeds."""

from contextlib import contextmanager

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

# How numpy, pandas and polars spell the types of columns that hold dates, times and durations.
_DATE_TYPES = ("date", "time", "duration", "period")


def validate_numeric(estimator, X, **kwargs):
    """Validate `X` with scikit-learn's `validate_data` and explain columns that are not numbers.

    Parameters
    ----------
    estimator : estimator instance
        The estimator that `X` is given to.
    X : array-like or DataFrame
        Input data.
    **kwargs
        Passed to :func:`sklearn.utils.validation.validate_data`.

    Returns
    -------
    X : ndarray or sparse matrix
        The validated data.

    Raises
    ------
    ValueError
        If `X` has text, categorical or date columns, or anything `validate_data` refuses.
    """
    dtypes = getattr(X, "dtypes", [getattr(X, "dtype", None)])
    dates = {str(t) for t in dtypes if str(t).lower().startswith(_DATE_TYPES)}
    if dates:
        raise ValueError(_encode_first(estimator, f"columns of type {', '.join(sorted(dates))}"))
    try:
        # A value beyond the range of float32 becomes infinite in the cast; validate_data refuses
        # it with an error of its own, so numpy's warning would only come on top.
        with np.errstate(over="ignore"):
            return validate_data(estimator, X, **kwargs)
    except ValueError as error:
        prefix, _, value = str(error).partition("could not convert string to float: ")
        if prefix or not value:
            raise
        raise ValueError(
            _encode_first(estimator, f"text or categories, such as {value}")
        ) from error


def plain_array(estimator, X, dtype: type):
    """Return `X` if it is what `validate_data` would return for a fitted estimator, else None.

    For one row the general check takes longer than encoding it. This one recognises the case that
    a running service sees, and leaves every other, and every error, to the general one.

    Parameters
    ----------
    estimator : estimator instance
        The fitted estimator that `X` is given to.
    X : object
        Input data.
    dtype : type
        float32, to which float64 is converted, or float64, which takes both as they are.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features) or None
        Finite numbers of the fitted width.
    """
    if (
        type(X) is not np.ndarray
        or X.ndim != 2
        or X.dtype not in (np.float32, np.float64)
        or len(X) == 0
        or X.shape[1] != getattr(estimator, "n_features_in_", None)
        or hasattr(estimator, "feature_names_in_")
    ):
        return None
    # A sum that is finite has only finite terms; one that overflows says nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype is np.float32:
            X = X.astype(np.float32, copy=False)
        return X if np.isfinite(X.sum()) else None


def _encode_first(estimator, what):
    return (
        f"{type(estimator).__name__} takes numbers, but X has {what}. Encode such columns first, "
        "for example with sklearn.compose.ColumnTransformer or skrub.TableVectorizer."
    )


@contextmanager
def all_or_nothing(estimator):
    """Put an estimator back to its former state if the block raises: none is half-fitted."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def local_random_state(
    random_state: int | np.random.RandomState | None,
) -> np.random.RandomState:
    """Turn `random_state` into a generator, without ever touching numpy's global one.

    :func:`sklearn.utils.check_random_state` answers None with the global generator.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        None asks for a fresh generator, seeded by the operating system.

    Returns
    -------
    generator : RandomState instance
    """
    if random_state is None:
        return np.random.RandomState()
    return check_random_state(random_state)


def seed_from(random_state: int | np.random.RandomState | None) -> int:
    """Draw a seed from `random_state`, without ever touching numpy's global generator."""
    return int(local_random_state(random_state).randint(np.iinfo(np.int32).max))
