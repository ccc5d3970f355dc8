"""A likelihood for every column of a table: the one that fits it, or the one that was asked for."""

from collections.abc import Mapping
from numbers import Integral

from sklearn.utils._indexing import _get_column_indices

from passive_pruner._common._cells import has_categories, names_of
from passive_pruner._common._column_kinds import learn_columns
from passive_pruner._common._columns import Columns
from passive_pruner._common._validation import as_table
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


def learned_columns(encoder, X) -> Columns | None:
    """Look at the columns of training data.

    Parameters
    ----------
    encoder : VAEEncoder
        Its parameters say how.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Training data.

    Returns
    -------
    columns : Columns or None
        None where all columns are read as numbers and share one likelihood.

    Raises
    ------
    ValueError
        If parameters contradict each other, or no likelihood describes a column.
    """
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
    X = as_table(encoder, X)
    return learn_columns(
        encoder,
        X,
        categorical=None if by_type else set(_get_column_indices(X, listed) if is_listed else ()),
        chosen={j: _name_of(one) for j, one in _chosen(likelihood, names_of(X)).items()},
        allow_missing=encoder.allow_missing,
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
        if key in names:
            j = names.index(key)
        elif isinstance(key, Integral) and -len(names) <= key < len(names):
            j = int(key) % len(names)
        else:
            raise ValueError(
                f"likelihood={{{key!r}: ...}} names a column that X does not have; it has {names}."
            )
        if j in chosen:
            raise ValueError(f"likelihood has the column {names[j]!r} twice: {likelihood!r}.")
        chosen[j] = value
    return chosen


def _name_of(likelihood):
    return (
        likelihood
        if isinstance(likelihood, str)
        else _NAMES.get(type(likelihood), repr(likelihood))
    )
