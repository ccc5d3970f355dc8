"""Input validation shared by the estimators: scikit-learn's, with errors that name the fix."""

import numpy as np
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


def _encode_first(estimator, what):
    return (
        f"{type(estimator).__name__} takes numbers, but X has {what}. Encode such columns first, "
        "for example with sklearn.compose.ColumnTransformer or skrub.TableVectorizer."
    )
