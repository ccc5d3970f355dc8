"""A likelihood for every column of a table: the one that fits it, or the one that was asked for."""

from collections.abc import Mapping
from numbers import Integral

import numpy as np

from passive_pruner._common._cells import has_categories, names_of
from passive_pruner._common._column_kinds import learn_columns
from passive_pruner._common._columns import Columns
from passive_pruner._common._validation import as_table, refuse_frames
from passive_pruner.vae import Likelihood, Mixed
from passive_pruner.vae._likelihoods import LIKELIHOODS

_NAMES = {likelihood: name for name, likelihood in LIKELIHOODS.items()}


def is_by_column(likelihood) -> bool:
    """Whether this parameter leaves likelihoods to be chosen by what the columns are."""
    return (
        likelihood is None
        or isinstance(likelihood, Mapping)
        or (isinstance(likelihood, str) and likelihood == "auto")
    )


def learned_columns(encoder, X, sample_weight=None) -> Columns | None:
    """Look at the columns of training data.

    Parameters
    ----------
    encoder : VAEEncoder
        Its parameters say how.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Training data.
    sample_weight : ndarray of shape (n_samples,), optional
        Weights of the rows, all above 0.

    Returns
    -------
    columns : Columns or None
        None where all columns are read as numbers and share one likelihood.

    Raises
    ------
    ValueError
        If parameters contradict each other, or no likelihood describes a column.
    """
    refuse_frames(encoder, X)
    listed, likelihood = encoder.categorical_features, encoder.likelihood
    by_type = isinstance(listed, str) and listed == "from_dtype"
    is_listed = not (listed is None or by_type)
    if not is_by_column(likelihood):
        if is_listed:
            raise ValueError(
                f"likelihood={likelihood!r} describes all columns, those of categorical_features="
                f"{listed!r} too. Leave likelihood at None, or give a dict with the likelihoods of "
                "single columns."
            )
        return None
    if likelihood is None and not is_listed and not (by_type and has_categories(X)):
        return None
    asked = f"it has categorical_features={listed!r} and likelihood={likelihood!r}"
    X = as_table(encoder, X, asked)
    return learn_columns(
        encoder,
        X,
        categorical=None if by_type else _listed(listed if is_listed else [], names_of(X)),
        chosen={j: _name_of(one) for j, one in _chosen(likelihood, names_of(X)).items()},
        allow_missing=encoder.allow_missing,
        sample_weight=sample_weight,
    )


def likelihood_by_column(columns: Columns, likelihood) -> Likelihood:
    """Put the likelihoods of the columns of a table together.

    Columns that are Gaussian, and such of two values, are a part each; every other column is a
    part of its own.

    Parameters
    ----------
    columns : Columns
        What was learned about them.
    likelihood : dict, "auto" or None
        The parameter of the encoder, with the likelihoods that the user chose.
    """
    chosen = _chosen(likelihood, [column.name for column in columns.columns])
    together: dict[str, list[int]] = {"gaussian": [], "bernoulli": []}
    parts = []
    for j, (column, start) in enumerate(zip(columns.columns, columns.starts.tolist(), strict=True)):
        if column.n_inputs == 0:
            continue
        described = chosen.get(j, column.likelihood)
        if isinstance(described, str) and described in together:
            together[described].append(start)
        else:
            parts.append((described, list(range(start, start + column.n_inputs))))
    shared = [(LIKELIHOODS[name](), inputs) for name, inputs in together.items() if inputs]
    return Mixed([*shared, *parts])


def _chosen(likelihood, names):
    """Likelihoods of single columns that the user chose, by the numbers of the columns."""
    if not isinstance(likelihood, Mapping):
        return {}
    chosen = {}
    for key, value in likelihood.items():
        if not isinstance(value, Likelihood) and value not in LIKELIHOODS:
            raise ValueError(
                f"likelihood={{{key!r}: {value!r}}} is no likelihood: give one of "
                f"{sorted(LIKELIHOODS)} or a Likelihood instance."
            )
        j = _number_of(key, names, f"likelihood={{{key!r}: ...}}")
        if j in chosen:
            raise ValueError(f"likelihood has the column {names[j]!r} twice: {likelihood!r}.")
        chosen[j] = value
    return chosen


def _listed(listed, names):
    """Numbers of the columns that `categorical_features` lists: a mask, numbers or names."""
    keys = np.asarray(listed, dtype=object)
    what = f"categorical_features={listed!r}"
    if keys.ndim != 1:
        raise ValueError(f"{what} has {keys.ndim} dimensions: give a list.")
    is_mask = [isinstance(key, (bool, np.bool_)) for key in keys]
    if any(is_mask):
        if not all(is_mask) or len(keys) != len(names):
            raise ValueError(
                f"{what} is no mask of the {len(names)} columns of X, which has as many booleans: "
                "give one, or the numbers or names of the columns of categories."
            )
        return set(np.flatnonzero(keys.astype(bool)).tolist())
    wrong = [key for key in keys if not isinstance(key, (str, Integral))]
    if wrong:
        raise ValueError(
            f"{what} has {wrong[0]!r}, which is neither the number nor the name of a column, nor "
            "a boolean of a mask."
        )
    return {_number_of(key, names, what) for key in keys}


def _number_of(key, names, what):
    """Find the column that a parameter means: text is a name, a whole number a place."""
    if not isinstance(key, Integral) or isinstance(key, bool):
        if key in names:
            return names.index(key)
        raise ValueError(f"{what} names a column that X does not have; it has {names}.")
    n = len(names)
    if key in names and names.index(key) != key:
        raise ValueError(
            f"{what}: {key} is the name of a column whose place is {names.index(key)}. Whole "
            "numbers are places, as in scikit-learn; make names text, as with "
            "X.set_axis(X.columns.map(str), axis=1), to go by them."
        )
    if not -n <= key < n:
        raise ValueError(f"{what} has column {key}, but X has {n} columns: 0 to {n - 1}.")
    return int(key) % n


def _name_of(likelihood):
    return (
        likelihood
        if isinstance(likelihood, str)
        else _NAMES.get(type(likelihood), repr(likelihood))
    )
