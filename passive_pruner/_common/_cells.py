"""Single columns of tables, read from pandas, polars and arrays and written back."""

import re
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np

from passive_pruner._common._validation import NotNumbersError, column_as_numbers, encode_first


class Cells(NamedTuple):
    """A column of a table.

    Attributes
    ----------
    kind : {"category", "boolean", "text", "number"}
        What its type says; for objects, what its cells are.
    dtype : str
        Name of its type in the library that the table is of; of a column of objects that are all
        integers, "object[int64]".
    values : pandas.Categorical or ndarray of float64
        Numbers where `kind` is "number", with NaN in missing cells.
    """

    kind: str
    dtype: str
    values: Any

    def as_categorical(self):
        """Return the values as a pandas.Categorical, numbers too."""
        return _factorized(self.values) if self.kind == "number" else self.values


@dataclass(frozen=True, eq=False)
class Column:
    """What was learned about one column.

    Attributes
    ----------
    name : str or int
        Its name, or its number in an array.
    likelihood : str
        Distribution of its cells, or "" for a column without any cell.
    because : str
        Why that one.
    dtype : str
        Name of its type.
    has_missing : bool
        Whether cells may be missing.
    categories : ndarray or None
        Where cells are read as places, what stands at these places.
    category_dtype : str
        Type of the categories, where `dtype` is one of declared categories.
    ordered : bool
        Whether declared categories have an order.
    """

    name: Any
    likelihood: str
    because: str
    dtype: str
    has_missing: bool
    categories: Any = None
    category_dtype: str = "object"
    ordered: bool = False

    @property
    def cell_type(self) -> str:
        """Name of the type of its cells, in small letters, without that of what holds them."""
        dtype = self.dtype.lower()
        if dtype.startswith(("sparse[", "object[")):
            dtype = dtype.partition("[")[2]
        return re.split(r"[\[\],]", dtype)[0]

    @property
    def n_inputs(self) -> int:
        """Number of inputs of a network that are made from it."""
        if self.likelihood == "categorical":
            return len(self.categories)
        return int(self.likelihood != "")


def container_of(X) -> str:
    """Name the kind of table that `X` is: "pandas", "polars" or "array"."""
    if not (hasattr(X, "columns") and hasattr(X, "dtypes")):
        return "array"
    return "pandas" if hasattr(X, "iloc") else "polars"


def names_of(X) -> list:
    """Names of the columns, or their numbers."""
    return list(X.columns) if hasattr(X, "columns") else list(range(X.shape[1]))


def column_of(X, j: int):
    """Return one column of a table, in the type that it has there."""
    if hasattr(X, "iloc"):
        return X.iloc[:, j]
    return X[X.columns[j]] if hasattr(X, "columns") else X[:, j]


def wrapped_like(X, values: np.ndarray):
    """Return numbers in a DataFrame if `X` is one, with its names and its index."""
    if container_of(X) == "array":
        return values
    if hasattr(X, "iloc"):
        return type(X)(values, columns=X.columns, index=X.index)
    return type(X)(values, schema=X.columns)


def with_cells_of(filled, X, present: np.ndarray):
    """Return a filled table with the cells that were there in `X`, digit for digit.

    Cells are read as float64, which does not hold every integer.

    Parameters
    ----------
    filled, X : DataFrame or ndarray of shape (n_samples, n_columns)
    present : ndarray of bool of shape (n_samples, n_columns)
    """
    container = container_of(X)
    if container == "array" or container != container_of(filled):
        return filled
    for j, name in enumerate(names_of(X)):
        given, column = column_of(X, j), column_of(filled, j)
        if given.dtype != column.dtype or not present[:, j].any():
            continue
        if container == "pandas":
            filled.isetitem(j, given.where(present[:, j], column))
        else:
            column = given.zip_with(type(given)(present[:, j]), column)
            filled = filled.with_columns(column.alias(name))
    return filled


def read_cells(estimator, X, j: int) -> Cells:
    """Read one column.

    Parameters
    ----------
    estimator : estimator instance
        The estimator that `X` is given to, which errors name.
    X : DataFrame or ndarray
        A table.
    j : int
        Number of the column.

    Raises
    ------
    ValueError
        If the cells are neither numbers nor categories; the message names the column.
    """
    name, column = names_of(X)[j], column_of(X, j)
    dtype = str(column.dtype)
    if dtype.startswith("Sparse["):
        column = column.sparse.to_dense()
    kind = kind_of(column)
    if dtype.startswith(("Categorical", "Enum")):
        dtype = dtype.partition("(")[0]
    if kind != "number":
        return Cells(kind, dtype, _as_categorical(column))
    if dtype == "object" and _are_integers(column):
        dtype = "object[int64]"
    try:
        return Cells(kind, dtype, column_as_numbers(estimator, name, column))
    except NotNumbersError as error:
        raise NotNumbersError(f"{error} {_way_out(X, name)}") from error


def _are_integers(column):
    from pandas.api.types import infer_dtype

    return infer_dtype(column, skipna=True) == "integer"


def kind_of(column) -> str:
    """Tell what a column is, as in :class:`Cells`; whatever is nothing else is a "number"."""
    from pandas.api.types import infer_dtype, is_bool_dtype, is_string_dtype

    dtype = column.dtype
    if hasattr(dtype, "is_numeric"):  # polars
        name = str(dtype)
        if name.startswith(("Categorical", "Enum")):
            return "category"
        return {"Boolean": "boolean", "String": "text"}.get(name, "number")
    if str(dtype) == "category" or str(dtype).startswith("dictionary<"):
        return "category"
    if str(dtype) == "object":
        found = infer_dtype(column, skipna=True)
        return {"string": "text", "boolean": "boolean"}.get(found, "number")
    if is_bool_dtype(dtype):
        return "boolean"
    return "text" if is_string_dtype(dtype) else "number"


def has_categories(X) -> bool:
    """Whether a frame has columns of categories, text or booleans; arrays have none."""
    if container_of(X) == "array":
        return False
    return any(kind_of(column_of(X, j)) != "number" for j in range(X.shape[1]))


def refusal(estimator, X, name, what: str) -> str:
    """Message about a column that no likelihood describes, with two ways out."""
    return f"{encode_first(estimator, f'column {name!r} of X {what}')} {_way_out(X, name)}"


def _way_out(X, name):
    drop = {"pandas": f"X.drop(columns=[{name!r}])", "polars": f"X.drop({name!r})"}
    return f"Or leave it out: {drop.get(container_of(X), f'numpy.delete(X, {name}, axis=1)')}."


def _as_categorical(column):
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return column.array
    if str(dtype).startswith("dictionary<"):
        import pyarrow as pa

        found = column.array.__arrow_array__()
        chunks = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
        found = chunks.unify_dictionaries().combine_chunks().to_pandas().array
        # Without an order they stand as they were met, which is a matter of the order of the rows.
        if found.ordered:
            return found
        return found.reorder_categories(found.categories.sort_values())
    if hasattr(dtype, "is_numeric"):
        declared = getattr(dtype, "categories", None) if str(dtype).startswith("Enum") else None
        if str(dtype).startswith(("Categorical", "Enum")):
            column = column.cast(str)
        values = column.to_numpy()
        if declared is not None:
            return pd.Categorical(values, categories=list(declared), ordered=True)
        return _factorized(values, sort=str(dtype).startswith("Categorical"))
    return _factorized(column)


def _factorized(values, *, sort=False):
    import pandas as pd

    codes, found = pd.factorize(values, sort=sort)
    return pd.Categorical.from_codes(codes, pd.Index(found))


def write_cells(container: str, column: Column, cells: np.ndarray, *, in_fit: bool = True):
    """Write a column in the type that it had.

    Parameters
    ----------
    container : {"pandas", "polars", "array"}
        What to make.
    column : Column
        What was learned about it.
    cells : ndarray of shape (n_samples,), float64
        Numbers, or places of categories. Missing only where no cell was present in fit.
    in_fit : bool, default=True
        Whether `container` is what the table in fit was. If not, the type is one that holds the
        same values there.

    Returns
    -------
    column : pandas.Series, polars.Series or ndarray
    """
    writers = {"pandas": _pandas_column, "polars": _polars_column}
    if not in_fit:
        writers = {"pandas": _new_pandas_column, "polars": _new_polars_column}
    write = writers.get(container)
    if not column.likelihood:
        empty = np.full(len(cells), None) if in_fit else cells
        return cells if write is None else write(column, empty)
    values = cells
    if column.categories is not None:
        values = column.categories[cells.astype(np.intp)]
    if column.cell_type.startswith(("int", "uint")) and values.dtype.kind == "f":
        values = _rounded(values, column.cell_type)
    elif column.cell_type == "float32":
        values = values.astype(np.float32)
    return values if write is None else write(column, values)


def _rounded(values, dtype):
    """Round to integers that the type can hold."""
    if dtype.endswith("128"):  # which numpy does not have: polars makes them of floats
        return np.rint(values if dtype == "int128" else values.clip(0))
    limits = np.iinfo(dtype)
    # The largest integers have no float: the one below is the last that is safe.
    top = np.nextafter(np.float64(limits.max), 0) if limits.bits == 64 else limits.max
    return np.clip(np.rint(values), limits.min, top).astype(limits.dtype)


def _pandas_column(column, values):
    import pandas as pd

    dtype = "object" if column.dtype.startswith("object[") else column.dtype
    if dtype == "category":
        declared = [] if column.categories is None else column.categories.astype(object)
        declared = pd.Index(declared, dtype=object).astype(column.category_dtype)
        dtype = pd.CategoricalDtype(declared, ordered=column.ordered)
    elif dtype.endswith("[pyarrow]"):
        dtype = _arrow_dtype(dtype)
        if column.dtype.startswith("dictionary<"):
            return _dictionary_column(column, values, dtype)
        values = _as_decimals(column, values)
    if values.dtype.kind in "OU":
        values = values.astype(object)
    return pd.Series(values).astype(dtype)


def _polars_column(column, values):
    import polars as pl

    dtype = getattr(pl, column.dtype, pl.Float64)
    if column.cell_type.startswith("decimal"):
        dtype = pl.Decimal(*_digits(column))
        values = _as_decimals(column, values)
    if column.dtype == "Enum":
        dtype = pl.Enum(column.categories.tolist())
    return pl.Series(values.tolist() if values.dtype.kind in "OU" else values).cast(dtype)


def _arrow_dtype(name):
    """Return the type of a pandas column that pyarrow holds, by its name.

    pandas itself takes "string[pyarrow]" for its own type of text, and no name with parameters.
    """
    import pandas as pd
    import pyarrow as pa

    if name == "string[pyarrow]":
        return pd.ArrowDtype(pa.string())
    decimal = re.fullmatch(r"(decimal\d+)\((\d+), (-?\d+)\)\[pyarrow\]", name)
    if decimal:
        kind, *digits = decimal.groups()
        return pd.ArrowDtype(getattr(pa, kind)(*map(int, digits)))
    of = re.fullmatch(r"dictionary<values=(\w+), indices=(\w+), ordered=(\d)>\[pyarrow\]", name)
    if of:
        values, places = (pd.api.types.pandas_dtype(f"{kind}[pyarrow]") for kind in of.groups()[:2])
        values = pa.string() if of[1] == "string" else values.pyarrow_dtype
        return pd.ArrowDtype(pa.dictionary(places.pyarrow_dtype, values, of[3] == "1"))
    return pd.api.types.pandas_dtype(name)


def _dictionary_column(column, values, dtype):
    """Write a column of categories that pyarrow holds, which pandas makes of text alone."""
    import pandas as pd
    import pyarrow as pa

    known = np.array([] if column.categories is None else column.categories, dtype=object)
    places = pd.Index(known).get_indexer(values.astype(object))
    of = dtype.pyarrow_dtype
    written = pa.DictionaryArray.from_arrays(
        pa.array(places, type=of.index_type, mask=places < 0),
        pa.array(known.tolist(), type=of.value_type),
        ordered=of.ordered,
    )
    return pd.Series(pd.arrays.ArrowExtensionArray(written))


def _digits(column):
    """Precision and scale of a type of decimal numbers: digits in all, and after the point."""
    return [int(digits) for digits in re.findall(r"-?\d+", column.dtype.partition("(")[2])]


def _as_decimals(column, values):
    """Round numbers to the decimals that a type of them can hold; others stay as they are."""
    if not column.cell_type.startswith("decimal") or values.dtype.kind != "f":
        return values
    precision, scale = _digits(column)
    unit = Decimal(1).scaleb(-scale)
    with localcontext(prec=100):
        top = (10**precision - 1) * unit
        rounded = [min(max(Decimal(v).quantize(unit), -top), top) for v in values.tolist()]
    return np.array([*rounded, None], dtype=object)[:-1]


def _new_pandas_column(column, values):
    import pandas as pd

    if column.cell_type in ("categorical", "enum"):
        return pd.Series(pd.Categorical(values, column.categories, ordered=column.ordered))
    return pd.Series(values.tolist() if values.dtype.kind in "OU" else values)


def _new_polars_column(column, values):
    import polars as pl

    is_text = values.dtype.kind in "OU"
    series = pl.Series(values.tolist() if is_text else values)
    if column.cell_type != "category" or not is_text:
        return series
    return series.cast(pl.Enum(column.categories.tolist()) if column.ordered else pl.Categorical)
