"""Validation whose errors name the fix, all-or-nothing fits, and seeds."""

import math
from contextlib import contextmanager

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import validate_data

# How numpy, pandas and polars spell the types of columns that hold dates, times and durations.
_DATE_TYPES = ("date", "time", "duration", "period")


class NotNumbersError(ValueError, TypeError):
    """Data with a cell that is no number.

    numpy answers some of them with a ValueError and others with a TypeError.
    """


def validate_numeric(estimator, X, **kwargs):
    """Validate `X` with scikit-learn's `validate_data` and explain what is no number.

    Columns of objects that hold only numbers are taken as numbers, their None and pandas.NA as
    missing cells. So are the masked cells of a masked array.

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
        If a column has something else than numbers, or missing cells where none are allowed; the
        message names the column. Also for whatever else `validate_data` refuses.
    """
    refuse_frames(estimator, X)
    X = _as_numbers(estimator, unmasked(X))
    try:
        # A value beyond the range of float32 becomes infinite in the cast; validate_data refuses
        # it with an error of its own, so numpy's warning would only come on top.
        with np.errstate(over="ignore"):
            return validate_data(estimator, X, **kwargs)
    except (OverflowError, TypeError, ValueError) as error:
        said = str(error)
        if "contains NaN" in said or "contains infinity" in said:
            raise ValueError(_not_finite(estimator, X, said, kwargs)) from error
        of_cells = ("could not convert", "setting an array element")
        is_of_cells = not isinstance(error, ValueError) or said.startswith(of_cells)
        if isinstance(X, np.ndarray) or issparse(X) or hasattr(X, "dtypes") or not is_of_cells:
            raise
        cells = _objects(X)  # of another container
        if cells.ndim != 2:
            raise NotNumbersError(
                f"Expected 2D array of numbers, got {type(X).__name__} instead ({error})."
            ) from error
        return validate_data(estimator, _as_numbers(estimator, cells), **kwargs)


@contextmanager
def explain_numbers(X, name: str, what: str):
    """Say which argument is at fault where numpy fails in the block to turn it into numbers.

    Parameters
    ----------
    X : object
        What was given.
    name : str
        What errors call it.
    what : str
        What was expected.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        of_cells = ("could not convert", "setting an array element")
        if isinstance(error, ValueError) and not str(error).startswith(of_cells):
            raise  # scikit-learn's own, which says what it expects
        raise NotNumbersError(
            f"{name} must be {what}, got a {type(X).__name__} ({error})."
        ) from error


def refuse_series(X):
    """Raise an error if `X` is a column of a DataFrame, a class, or a tensor numpy cannot read."""
    if isinstance(X, type):
        raise TypeError(f"Expected 2D array of numbers, got the class {X.__name__} instead.")
    if getattr(X, "requires_grad", False) or str(getattr(X, "dtype", "")) == "torch.bfloat16":
        raise NotNumbersError(
            "Expected 2D array of numbers, got a tensor that requires a gradient or is of "
            "bfloat16, which numpy does not read. Pass X.detach().float().numpy()."
        )
    if hasattr(X, "to_frame") and getattr(X, "ndim", 1) == 1:
        raise ValueError(
            f"Expected 2D array, got 1D array instead: a {type(X).__name__} named {X.name!r}. "
            "Reshape your data with X.to_frame(), or take columns as df[['a', 'b']]."
        )


def refuse_frames(estimator, X):
    """Raise a ValueError if `X` is a DataFrame that is no table, of whichever library.

    It is lazy, has no column, or columns that share a name; or it is one column alone.
    """
    refuse_series(X)
    if hasattr(X, "collect_schema") and not hasattr(X, "shape"):
        raise ValueError(
            f"{type(estimator).__name__} reads rows, which a {type(X).__name__} does not have yet: "
            "pass X.collect()."
        )
    if not (hasattr(X, "columns") and hasattr(X, "dtypes")):
        return
    names = list(X.columns)
    refuse_no_column(estimator, X.shape)
    twice = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    if twice:
        raise ValueError(
            f"X has more than one column of the name {', '.join(map(repr, twice))}, so that names "
            "do not tell its columns apart. Rename them, or keep the first of each with "
            "X.loc[:, ~X.columns.duplicated()]."
        )


def refuse_no_column(estimator, shape):
    """Raise a ValueError, as scikit-learn words it, for a table without any column."""
    if shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is "
            f"required by {type(estimator).__name__}."
        )


def unmasked(X):
    """Return a masked array as a plain one, with NaN where it is masked; all else as it is."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if not np.ma.is_masked(X):
        return X.data
    return X.astype(np.result_type(X.dtype, np.float32)).filled(np.nan)


def _as_numbers(estimator, X):
    """Turn columns of objects into numbers, and refuse those that hold anything else."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        return _frame_as_numbers(estimator, X)
    if isinstance(X, (list, tuple)) and _kind(X) not in "biuf":
        cells = _objects(X)
        return _as_numbers(estimator, cells) if cells.ndim == 2 else X
    if not isinstance(X, np.ndarray):
        return X
    if X.dtype.kind in "mM":
        raise NotNumbersError(encode_first(estimator, f"X has columns of type {X.dtype}"))
    if X.dtype.kind in "OSU" and X.ndim == 2 and X.size:
        return np.stack([_numbers(estimator, j, X[:, j]) for j in range(X.shape[1])], axis=1)
    return X


def _frame_as_numbers(estimator, X):
    changed = {}
    for j, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
        if not _is_number(dtype):
            column = X.iloc[:, j] if hasattr(X, "iloc") else X[name]
            changed[j] = column_as_numbers(estimator, name, column)
    if not changed:
        return X
    if not hasattr(X, "iloc"):
        return X.with_columns([type(X[X.columns[j]])(X.columns[j], v) for j, v in changed.items()])
    X = X.copy(deep=False)
    for j, values in changed.items():
        X.isetitem(j, values)
    return X


def _is_number(dtype):
    """Whether a type of a DataFrame's columns is one of real numbers or booleans."""
    from pandas.api.types import is_numeric_dtype

    if hasattr(dtype, "is_numeric"):  # polars, whose booleans are no numbers
        return dtype.is_numeric() or str(dtype) == "Boolean"
    return is_numeric_dtype(dtype) and dtype.kind != "c"


def column_as_numbers(estimator, name, column):
    """Return a column of pandas, polars or numpy as float64, with NaN where cells are missing.

    Raises
    ------
    NotNumbersError
        If a cell is no number; the message names the column.
    """
    dtype = column.dtype
    if str(dtype).lower().startswith(_DATE_TYPES):
        what = f"X has columns of type {dtype}, such as {name!r}"
        raise NotNumbersError(encode_first(estimator, what))
    if not _is_number(dtype):
        return _numbers(estimator, name, column)
    if hasattr(column, "iloc"):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if str(dtype).endswith("Int128"):  # which numpy does not have
        column = column.cast(float)
    return np.asarray(column, dtype=np.float64)


def _numbers(estimator, name, cells):
    """Return the cells of a column as float64, with NaN where they are missing."""
    cells = np.fromiter(cells, dtype=object, count=len(cells))
    # What numpy would turn into a number, silently or with no more than a warning.
    others = (np.complexfloating, np.datetime64, np.ndarray, np.timedelta64)
    values = np.full(len(cells), np.nan)
    if not any(issubclass(kind, others) for kind in set(map(type, cells))):
        try:
            return cells.astype(np.float64)
        except (OverflowError, TypeError, ValueError):
            pass  # some cell is missing or no number: look at them one by one
    for i, cell in enumerate(cells):
        if _is_missing(cell):
            continue
        try:
            if isinstance(cell, others):
                raise TypeError(f"it is of type {type(cell).__name__}")
            values[i] = float(cell)
        except (OverflowError, TypeError, ValueError) as error:
            shown = repr(cell) if len(repr(cell)) < 50 else f"{repr(cell)[:50]} ..."
            if isinstance(cell, str):
                what = f"column {name!r} of X has text or categories, such as {shown}"
                kinds = {type(one).__name__ for one in cells if not _is_missing(one)} - {"str"}
                if kinds:
                    what += f", beside {' and '.join(sorted(kinds))}: make all of them one type"
                elif hasattr(estimator, "categorical_features"):
                    what += ", which it reads from a DataFrame, or with likelihood='auto'"
            else:
                what = f"column {name!r} of X has cells that are no numbers, such as {shown}"
                what = f"{what} ({error})"
            raise NotNumbersError(encode_first(estimator, what)) from error
    return values


def _is_missing(cell):
    from pandas import NA

    return cell is None or cell is NA or (isinstance(cell, float) and math.isnan(cell))


def as_table(estimator, X, because: str):
    """Return a DataFrame as it is, and anything else as an array of two dimensions.

    `because` says what makes the estimator read columns one by one.
    """
    refuse_frames(estimator, X)
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        return X
    if issparse(X):
        raise TypeError(
            f"X is sparse, but {type(estimator).__name__} reads every column by itself: "
            f"{because}. Pass X.toarray(), or a DataFrame, whose columns may be sparse, such as "
            "pandas.DataFrame.sparse.from_spmatrix(X). One likelihood for all columns, such as "
            "'poisson', takes sparse data as it is."
        )
    X = unmasked(X)
    if not isinstance(X, np.ndarray):
        X = np.asarray(X) if _kind(X) in "biuf" else _objects(X)
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead.")
    refuse_no_column(estimator, X.shape)
    return X


def _kind(X):
    """Kind of the type that numpy takes the cells of a list for."""
    try:
        return np.asarray(X).dtype.kind
    except ValueError:  # rows, or cells that are lists, of several lengths
        return "O"


def _objects(X):
    """Return the cells of a list or another container as an array of objects."""
    try:
        return np.array(X, dtype=object)
    except ValueError:
        try:
            return np.stack([np.fromiter(row, dtype=object, count=len(row)) for row in X])
        except (TypeError, ValueError):
            return np.array(None)


def encode_first(estimator, what):
    """Message of an error about columns that are no numbers."""
    return (
        f"{type(estimator).__name__} takes numbers, but {what}. Encode such columns first, "
        "for example with sklearn.compose.ColumnTransformer or skrub.TableVectorizer."
    )


def _not_finite(estimator, X, error, kwargs):
    """Say where the first cell is that is not finite, and what to do about it."""
    names = getattr(X, "columns", None)
    with np.errstate(over="ignore"):
        X = check_array(
            X, dtype=kwargs.get("dtype", "numeric"), accept_sparse="coo", ensure_all_finite=False
        )
    is_nan = "contains NaN" in error
    bad = np.isnan if is_nan else np.isinf
    if issparse(X):
        entry = int(np.argmax(bad(X.data)))
        i, j = int(X.row[entry]), int(X.col[entry])
    else:
        i, j = (int(k) for k in np.unravel_index(np.argmax(bad(X)), X.shape))
    where = f"row {i} of column {j if names is None else names[j]!r}"
    if not is_nan:
        return f"{error.rstrip('.')}, first in {where}. Scale, clip or drop such values."
    fill = "fill missing cells first, for example with sklearn.impute.SimpleImputer"
    if hasattr(estimator, "allow_missing"):
        fill = f"pass allow_missing=True, which leaves them out of the likelihood, or {fill}"
    return (
        f"Input X contains NaN, first in {where}, which {type(estimator).__name__} does not take: "
        f"{fill}."
    )


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
