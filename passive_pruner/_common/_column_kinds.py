"""Which likelihood describes a column of a table, and why: what `likelihood="auto"` stands for."""

from collections.abc import Mapping, Set
from contextlib import suppress

import numpy as np
from scipy.stats import nbinom, norm, poisson

from passive_pruner._common._cells import Column, container_of, names_of, read_cells, refusal
from passive_pruner._common._columns import Columns
from passive_pruner._common._sample_weight import drawn_by_weight

# The limit of HistGradientBoostingClassifier. Text that has more is a name or a note.
MAX_CATEGORIES = 255
# Text, or numbers that are said to be categories, of at most so many different values are that in
# tables of any length; with more of them there have to be two rows for each, or text is a name or a
# note too, and numbers are measurements.
FEW_CATEGORIES = 20
# Values by which counts are told from other integers.
COUNTED_ROWS = 4096
# Counts begin at 0, or at 1 where nobody counts what is not there.
LARGEST_FIRST_COUNT = 1
# A negative binomial of less dispersion is a Poisson distribution.
LEAST_DISPERSION = 1e-4
# Likelihoods of columns of categories; the second takes at most two.
OF_CATEGORIES = ("categorical", "bernoulli")
# The largest count that the likelihoods of counts take: exp(20).
MAX_COUNT = 4.85e8


def learn_columns(
    estimator,
    X,
    *,
    categorical: Set[int] | None,
    chosen: Mapping[int, str],
    allow_missing: bool,
    sample_weight: np.ndarray | None = None,
) -> Columns:
    """Look at a table and choose a likelihood for each of its columns.

    Parameters
    ----------
    estimator : estimator instance
        The estimator that `X` is given to, which errors name.
    X : DataFrame or ndarray of shape (n_samples, n_columns)
        A table.
    categorical : set of int or None
        Numbers of the columns of categories; None goes by their types.
    chosen : mapping of int to str
        Likelihoods of columns, by their numbers, that are not chosen here.
    allow_missing : bool
        Whether cells may be missing in columns that have no missing cell here.
    sample_weight : ndarray of shape (n_samples,), optional
        Weights of the rows, all above 0.

    Raises
    ------
    ValueError
        If no likelihood describes a column; the message names it.
    """
    learned = []
    for j, name in enumerate(names_of(X)):
        asked = chosen.get(j, "")
        cells = read_cells(estimator, X, j)
        is_named = categorical is not None and j in categorical
        is_read_as_numbers = categorical is not None and not (is_named or asked in OF_CATEGORIES)
        if is_read_as_numbers and cells.kind in ("category", "text"):
            what = "has categories and is not among categorical_features"
            raise ValueError(refusal(estimator, X, name, what))
        is_category = is_named or cells.kind != "number" or asked == "categorical"
        described = estimator, X, name, cells, asked, allow_missing
        if is_category:
            learned.append(_of_categories(*described))
        else:
            learned.append(_of_numbers(*described, sample_weight))
    if not any(column.likelihood for column in learned):
        raise ValueError(
            f"No cell is present in the {len(learned)} columns of X: at least one column must have "
            "values."
        )
    return Columns(learned, container_of(X))


def _of_categories(estimator, X, name, cells, asked, allow_missing):
    values = cells.as_categorical()
    has_missing = allow_missing or bool((values.codes < 0).any())
    declares = cells.kind == "category"
    categories = values.categories
    if not declares:
        with suppress(TypeError):  # of several types, which is refused below
            categories = categories.sort_values()
    kinds = {type(value) for value in categories.tolist()}
    if not (kinds <= {str} or kinds <= {bool} or kinds <= {int, float}):
        of = " and ".join(sorted(kind.__name__ for kind in kinds))
        what = f"has categories of type {of}; make them text, as with .astype(str)"
        raise ValueError(refusal(estimator, X, name, what))
    n = len(categories)
    n_present = int((values.codes >= 0).sum())
    of_type = str(categories.dtype), bool(values.ordered)
    if n == 0:
        return Column(name, "", "no cell is present", cells.dtype, True, None, *of_type)
    is_read_of_cells = cells.kind in ("text", "number")
    if n > MAX_CATEGORIES or (is_read_of_cells and n > max(FEW_CATEGORIES, n_present / 2)):
        if cells.kind == "number":
            raise ValueError(
                f"Column {name!r} of X was to be read as categories, but has {n} different numbers "
                f"in {n_present} cells. Leave it out of categorical_features and likelihood, which "
                "then describe it as numbers, or bin it with sklearn.preprocessing."
                "KBinsDiscretizer."
            )
        where = f"declared for {len(values)} rows" if declares else f"in {n_present} cells"
        what = f"has {n} different categories {where}"
        if declares and n > len(np.unique(values.codes)):
            what += "; those that do not occur go with .cat.remove_unused_categories()"
        raise ValueError(refusal(estimator, X, name, what))
    likelihood = asked or ("bernoulli" if cells.kind == "boolean" or n == 2 else "categorical")
    if likelihood not in OF_CATEGORIES or (likelihood == "bernoulli" and n > 2):
        what = f"has {n} categories, for which likelihood={asked!r} is none"
        raise ValueError(refusal(estimator, X, name, what))
    if cells.kind == "boolean":
        categories, because = np.array([False, True]), "booleans"
    else:
        because = f"{'text' if cells.kind == 'text' else 'categories'} of {n} values"
    if asked:
        because = "as given"
    categories = np.array(categories.tolist())
    return Column(name, likelihood, because, cells.dtype, has_missing, categories, *of_type)


def _of_numbers(estimator, X, name, cells, asked, allow_missing, sample_weight):
    values = cells.values
    is_present = ~np.isnan(values)
    present = values[is_present]
    has_missing = allow_missing or len(present) < len(values)
    if not len(present):
        return Column(name, "", "no cell is present", cells.dtype, True)
    low, high = present.min(), present.max()
    has_two = low < high and bool(((present == low) | (present == high)).all())
    two = np.array([low, high]) if has_two and np.isfinite([low, high]).all() else None
    if asked:
        coded = two if asked == "bernoulli" else None
        return Column(name, asked, "as given", cells.dtype, has_missing, coded, "float64")
    if two is not None:
        because = f"two values, {low:.6g} and {high:.6g}"
        return Column(name, "bernoulli", because, cells.dtype, has_missing, two, "float64")
    likelihood, because = "gaussian", "numbers"
    if low >= 0 and high <= MAX_COUNT and low < high and (present == np.floor(present)).all():
        weights = None if sample_weight is None else sample_weight[is_present]
        if are_counts(present, weights):
            likelihood, because = "negative_binomial", "integers that are spread like counts"
        else:
            because = "integers that are not spread like counts"
    return Column(name, likelihood, because, cells.dtype, has_missing)


def are_counts(values: np.ndarray, weights: np.ndarray | None = None) -> bool:
    """Whether integers begin at 0 or 1 and are more probable as counts than as rounded numbers.

    Both distributions, a negative binomial and a normal one, have the mean and the variance of
    the values. Where the variance is below the mean, the first is a Poisson distribution. Grades
    and numbers on a scale have less variance, or none of the skew of counts; years, and weights
    in whole grams, begin far from 0.

    Parameters
    ----------
    values : ndarray of shape (n_samples,), float64
        Integers, none negative; at most 4096 of them, drawn at random, are compared.
    weights : ndarray of shape (n_samples,), optional
        Weights of the values, by which 4096 are drawn.
    """
    if values.min() > LARGEST_FIRST_COUNT:
        return False
    if weights is not None:
        values = values[drawn_by_weight(weights, COUNTED_ROWS, 0.5)]
    elif len(values) > COUNTED_ROWS:
        values = np.random.default_rng(0).choice(values, COUNTED_ROWS, replace=False)
    mean, variance = values.mean(), values.var()
    if variance == 0:
        return False
    dispersion = (variance - mean) / mean**2
    if dispersion > LEAST_DISPERSION:
        counts = nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).logpmf(values)
    else:
        counts = poisson(mean).logpmf(values)
    scale = np.sqrt(variance)
    rounded = np.log(_mass((values - mean) / scale, 0.5 / scale))
    return bool(counts.mean() > rounded.mean())


def _mass(z, half):
    """Return the normal probability of the intervals of half this width around z."""
    z = np.abs(z)  # on the left side, where small probabilities keep their digits
    return np.maximum(norm.cdf(half - z) - norm.cdf(-half - z), 1e-300)
