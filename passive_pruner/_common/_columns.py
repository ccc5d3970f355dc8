"""Tables of categories and numbers: what every column is, and how a network reads and writes it.

A table is held as one float64 number per cell: a number is itself, a category is its place among
those that were seen in fit, and NaN is a missing cell. A network reads *inputs* that are made
from these numbers a few rows at a time: one per category for columns that are one-hot, and one for
every other column.
"""

from functools import cached_property

import numpy as np

from passive_pruner._common._cells import container_of, names_of, read_cells, refusal, write_cells
from passive_pruner._common._validation import NotNumbersError
from passive_pruner._common._warnings import warn_user
from passive_pruner.exceptions import UnknownCategoryWarning


class Columns:
    """What was learned about the columns of a table, and the way to inputs and back.

    Parameters
    ----------
    columns : sequence of Column
        In the order of the table.
    container : {"pandas", "polars", "array"}
        What the table was.
    """

    def __init__(self, columns, container: str):
        self.columns = list(columns)
        self.container = container

    def __getstate__(self):
        return {"columns": self.columns, "container": self.container}  # what is cached is not saved

    def __len__(self):
        return len(self.columns)

    def __str__(self):
        """Table of the columns, their likelihoods and the reasons."""
        rows = [("column", "likelihood", "because")]
        rows += [(str(c.name), c.likelihood or "none", c.because) for c in self.columns]
        widths = [max(len(row[k]) for row in rows) for k in range(2)]
        return "\n".join(
            f"{name:<{widths[0]}}  {likelihood:<{widths[1]}}  {because}"
            for name, likelihood, because in rows
        )

    __repr__ = __str__

    @cached_property
    def n_inputs(self) -> int:
        """Number of inputs of a network."""
        return sum(column.n_inputs for column in self.columns)

    @cached_property
    def owner(self) -> np.ndarray:
        """Number of the column that every input is made from."""
        return np.repeat(np.arange(len(self)), [column.n_inputs for column in self.columns])

    @cached_property
    def starts(self) -> np.ndarray:
        """Number of the first input of every column."""
        return np.cumsum([0, *(column.n_inputs for column in self.columns)])[:-1]

    @cached_property
    def _one_hot(self):
        return np.flatnonzero([c.likelihood == "categorical" for c in self.columns])

    @cached_property
    def _single(self):
        return np.flatnonzero([c.likelihood not in ("", "categorical") for c in self.columns])

    @property
    def may_miss(self) -> bool:
        """Whether cells of some column may be missing."""
        return any(column.has_missing for column in self.columns)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs: of columns, and ``"column=category"`` of what is one-hot."""
        names = []
        for column in self.columns:
            if column.likelihood == "categorical":
                names += [f"{column.name}={category}" for category in column.categories]
            elif column.likelihood:
                names.append(str(column.name))
        return names

    def read(self, estimator, X, numbers=None) -> np.ndarray:
        """Return the cells of a table as numbers.

        Parameters
        ----------
        estimator : estimator instance
            The encoder that `X` is given to, which errors name. Its `handle_unknown` says what
            becomes of categories that were not seen; without `allow_missing_` none can be ignored.
        X : DataFrame or ndarray of shape (n_samples, n_columns)
            A table with these columns.
        numbers : ndarray of int of shape (n_samples,) or None, default=None
            By which errors call the rows; None counts from 0.

        Returns
        -------
        cells : ndarray of shape (n_samples, n_columns), float64

        Raises
        ------
        ValueError
            If a category is unknown, a cell is missing where none was in fit, a number is infinite
            or a cell is of another kind. The message names the column.
        """
        cells = np.empty((X.shape[0], len(self)))
        numbers = np.arange(X.shape[0]) if numbers is None else numbers
        for j, column in enumerate(self.columns):
            if not column.likelihood:
                cells[:, j] = np.nan
                continue
            found = read_cells(estimator, X, j)
            if column.categories is None:
                cells[:, j] = values = _as_numbers(estimator, X, column, found)
                if np.isinf(values).any():
                    row = numbers[np.argmax(np.isinf(values))]
                    raise ValueError(
                        f"Input X contains infinity, first in row {row} of column "
                        f"{column.name!r}. Scale, clip or drop such values."
                    )
                is_missing = np.isnan(values)
            else:
                cells[:, j], is_missing, unknown = _places(column, found)
                if len(unknown):
                    _handle_unknown(estimator, column, unknown)
            if not column.has_missing and is_missing.any():
                row = numbers[np.argmax(is_missing)]
                raise ValueError(
                    f"Input X contains NaN, first in row {row} of column {column.name!r}, which "
                    f"had no missing cell when {type(estimator).__name__} was fitted: fill such "
                    "cells first, for example with sklearn.impute.SimpleImputer, or fit with "
                    "allow_missing=True."
                )
        return cells

    def inputs(self, cells: np.ndarray) -> np.ndarray:
        """Make inputs from the cells of some rows.

        Parameters
        ----------
        cells : ndarray of shape (n_samples, n_columns)
            As :meth:`read` gives them.

        Returns
        -------
        inputs : ndarray of shape (n_samples, n_inputs), float32
            With NaN in all inputs of a cell that is missing.
        """
        inputs = np.zeros((len(cells), self.n_inputs), dtype=np.float32)
        inputs[:, self.starts[self._single]] = cells[:, self._single]
        if len(self._one_hot):
            places = cells[:, self._one_hot]
            is_missing = np.isnan(places)
            is_there = np.isfinite(places)
            columns = np.where(is_there, places, 0).astype(np.intp) + self.starts[self._one_hot]
            rows = np.arange(len(cells))[:, np.newaxis]
            inputs[rows, columns] = 1.0
            for k in np.flatnonzero(is_missing.any(axis=0)):
                start = self.starts[self._one_hot[k]]
                n = self.columns[self._one_hot[k]].n_inputs
                inputs[is_missing[:, k], start : start + n] = np.nan
        return inputs

    def cells(self, inputs: np.ndarray) -> np.ndarray:
        """Return the most probable categories and the numbers of decoded rows.

        Parameters
        ----------
        inputs : ndarray of shape (n_samples, n_inputs)
            Numbers, and probabilities of categories.

        Returns
        -------
        cells : ndarray of shape (n_samples, n_columns), float64
        """
        cells = np.full((len(inputs), len(self)), np.nan)
        for j, column in enumerate(self.columns):
            start = self.starts[j]
            if column.n_inputs == 0:
                continue
            if column.likelihood == "categorical":
                cells[:, j] = inputs[:, start : start + column.n_inputs].argmax(axis=1)
            elif column.categories is not None:
                cells[:, j] = inputs[:, start] >= 0.5
            else:
                cells[:, j] = inputs[:, start]
        return cells

    def table(self, cells: np.ndarray, index=None, like=None):
        """Make a table with the names, order, types and categories of that in fit.

        Parameters
        ----------
        cells : ndarray of shape (n_samples, n_columns), float64
            As :meth:`read` and :meth:`cells` give them.
        index : pandas.Index or None, default=None
            Index of a pandas DataFrame.
        like : DataFrame, ndarray or None, default=None
            A table of the library to make one of, with the names for it; None is that in fit.
            Types in another library are those that hold the same values there.

        Returns
        -------
        X : DataFrame or ndarray of shape (n_samples, n_columns)
        """
        container = self.container if like is None else container_of(like)
        columns = [
            write_cells(container, column, cells[:, j], in_fit=container == self.container)
            for j, column in enumerate(self.columns)
        ]
        names = names_of(like) if hasattr(like, "columns") else [c.name for c in self.columns]
        if container == "pandas":
            import pandas as pd

            frame = pd.concat(columns, axis=1)
            frame.columns = pd.DataFrame(columns=names).columns
            return frame if index is None else frame.set_axis(index, axis=0)
        if container == "polars":
            import polars as pl

            return pl.DataFrame([c.alias(n) for n, c in zip(names, columns, strict=True)])
        if all(column.dtype.kind in "fiub" for column in columns):
            return np.stack(columns, axis=1)
        return np.array(columns, dtype=object).T


def _as_numbers(estimator, X, column, found):
    if found.kind == "number":
        return found.values
    if found.kind == "boolean":
        numbers = np.asarray(found.values.categories, dtype=np.float64)
        return np.append(numbers, np.nan)[found.values.codes]
    first = _shown(found.values.categories[0])
    message = f"has categories, such as {first}, but had numbers in fit"
    raise NotNumbersError(refusal(estimator, X, column.name, message))


def _places(column, found):
    """Return the places of cells among the categories, what is missing, and what is unknown."""
    import pandas as pd

    values = found.as_categorical()
    known, given = column.categories, values.categories
    if known.dtype.kind not in "iuf":
        known, given = known.astype(object), given.astype(object)
    place = pd.Index(known).get_indexer(given).astype(np.float64)
    place[place < 0] = np.nan
    is_missing = values.codes < 0
    cells = np.append(place, np.nan)[values.codes]
    unknown = np.unique(values.codes[np.isnan(cells) & ~is_missing])
    return cells, is_missing, [values.categories[code] for code in unknown]


def _listed(values, most):
    shown = ", ".join(_shown(value) for value in values[:most])
    return f"[{shown}{', ...' * (len(values) > most)}]"


def _shown(value):
    """Write a value as people do: numpy's without its type, whole numbers without a dot."""
    value = value.item() if isinstance(value, np.generic) else value
    return repr(int(value) if isinstance(value, float) and value.is_integer() else value)


def _handle_unknown(estimator, column, unknown):
    found = f"Found unknown categories {_listed(unknown, 5)} in column {column.name!r}"
    if estimator.handle_unknown == "error":
        advice = "handle_unknown='ignore' takes such cells for missing."
        if column.because.startswith("two values"):
            advice = f"likelihood={{{column.name!r}: 'gaussian'}} reads the column as numbers."
        raise ValueError(f"{found}, which had {_listed(column.categories, 10)} in fit. {advice}")
    if not estimator.allow_missing_:
        raise ValueError(
            f"{found}, which handle_unknown='ignore' takes for missing cells, but the network was "
            "made without such. Fit anew: with this setting its encoder is told of them."
        )
    warn_user(f"{found}. They are taken for missing cells.", UnknownCategoryWarning)
