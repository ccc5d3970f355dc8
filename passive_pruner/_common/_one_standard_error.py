"""The fewest variables whose score is within one standard error of the highest."""

import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np


def one_standard_error_rule(cv_results: Mapping[str, Any]) -> int:
    """Choose the fewest variables within one standard error of the highest score.

    Use it as `refit` of a ``GridSearchCV`` over the threshold of a
    :class:`~passive_pruner.PassiveVariableRemover`. If scores of thresholds differ by less than
    their standard error, cross-validation cannot distinguish them, and which one is highest is due
    to chance. Among these thresholds the rule selects the one that keeps the fewest variables, as
    for the size of trees [1]_ and for models in general [2]_.

    Parameters
    ----------
    cv_results : dict
        The `cv_results_` of a search with a single score, over a parameter named ``threshold``,
        such as ``prune__threshold`` or ``model__prune__threshold``. Thresholds are numbers.

    Returns
    -------
    best_index : int
        Index of the selected candidate. Its other parameters are those of the candidate with the
        highest score; if that candidate has no threshold, it is selected itself.

    Raises
    ------
    ValueError
        If the grid does not have exactly one ``threshold``, if a threshold is not a number, if a
        `drop` of the grid includes "mixed", if the search has several scores, or if no score is a
        number.

    See Also
    --------
    compare_pruning : Report the threshold of this rule; it trains the encoder less often.
    passive_pruner.plots.ThresholdDisplay : Plot a search, with the thresholds within the error.

    Notes
    -----
    The standard error of the mean over k folds is s / sqrt(k), where s is the standard deviation
    over folds with k - 1 in its denominator. With a single fold it is unknown, and only candidates
    with the highest score are considered.

    For a given encoder, the number of kept variables never increases with the threshold under any
    criterion, so the largest threshold keeps the fewest. The exception is ``drop=("passive",
    "mixed")``: variables that are neither passive nor active are mixed, and with a small threshold
    few variables are passive or active. In this case use :func:`compare_pruning`, which counts the
    kept variables.

    With `refit` given as a callable, a search has no `best_score_`. ``HalvingGridSearchCV`` does
    not call it, but takes the highest score.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen and C. Stone, "Classification and Regression Trees",
       1984, section 3.4.3.
    .. [2] T. Hastie, R. Tibshirani and J. Friedman, "The Elements of Statistical Learning", 2nd
       edition 2009, section 7.10.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from passive_pruner import PassiveVariableRemover
    >>> from passive_pruner.study import one_standard_error_rule
    >>> X, y = load_iris(return_X_y=True)
    >>> remover = PassiveVariableRemover(criterion="explained_variance")
    >>> pipe = make_pipeline(remover, LogisticRegression(max_iter=1000))
    >>> grid = {"passivevariableremover__threshold": [0, 0.05, 0.1, 0.14]}
    >>> search = GridSearchCV(pipe, grid, refit=one_standard_error_rule).fit(X, y)
    >>> search.best_params_
    {'passivevariableremover__threshold': 0.1}
    """
    scores, errors = scores_of(cv_results)
    name = threshold_parameter(cv_results)
    best = highest(scores)
    if name not in cv_results["params"][best]:
        return best
    rows, thresholds = rows_of_best(cv_results["params"], name, best)
    drop = cv_results["params"][rows[0]].get(f"{name.removesuffix('threshold')}drop", ())
    if "mixed" in drop:
        raise ValueError(
            f"With drop={drop!r} a larger threshold need not keep fewer variables, so cv_results_ "
            "do not tell the fewest: use passive_pruner.study.compare_pruning, which counts them."
        )
    return int(rows[fewest_within_error(scores[rows], errors[rows], None, thresholds)])


def highest(scores):
    """Position of the first of the highest scores.

    Raises
    ------
    ValueError
        If no score is a finite number.
    """
    finite = np.isfinite(scores)
    if not finite.any():
        raise ValueError("No candidate has a score: all of them are NaN or infinite.")
    return int(np.argmax(np.where(finite, scores, -np.inf)))


def within_error(scores, errors):
    """Tell which scores are within one standard error of the highest.

    Parameters
    ----------
    scores, errors : ndarray of shape (n_candidates,)
        Scores, NaN where there is none, and their standard errors, NaN where they are unknown.

    Returns
    -------
    within : ndarray of shape (n_candidates,), bool
    """
    best = highest(scores)
    return scores >= scores[best] - np.nan_to_num(errors[best])


def fewest_within_error(scores, errors, n_kept, thresholds):
    """Position of the smallest `n_kept` within the error; of several the largest threshold.

    Parameters
    ----------
    scores, errors : ndarray of shape (n_candidates,)
        As for :func:`within_error`.
    n_kept : ndarray of shape (n_candidates,) or None
        Number of variables of each candidate. None if it is unknown: the largest threshold keeps
        the fewest.
    thresholds : ndarray of shape (n_candidates,)
        Threshold of each candidate.

    Returns
    -------
    index : int
    """
    within = np.flatnonzero(within_error(scores, errors))
    counts = np.zeros(len(within)) if n_kept is None else np.asarray(n_kept)[within]
    return int(within[np.lexsort((-np.asarray(thresholds)[within], counts))[0]])


def standard_error(scores):
    """Estimate the errors of means over folds, given scores of shape (n_folds, ...)."""
    if len(scores) < 2:
        return np.full(np.shape(scores)[1:], np.nan)
    return np.std(scores, axis=0, ddof=1) / np.sqrt(len(scores))


def scores_of(cv_results, metric=None):
    """Mean scores of the candidates of a search and their standard errors over folds.

    Raises
    ------
    ValueError
        If these are no results of a search, or if it has no such metric, or several if `metric` is
        None.
    """
    if not isinstance(cv_results, Mapping) or "params" not in cv_results:
        raise ValueError(
            "cv_results must be the attribute cv_results_ of a search that is fitted, got "
            f"{type(cv_results).__name__} without 'params'."
        )
    known = [k[len("mean_test_") :] for k in cv_results if k.startswith("mean_test_")]
    if metric is None:
        metric = "score"
        if metric not in known:
            raise ValueError(
                f"The search has several scores, {known}, and the rule takes one: pass a single "
                "`scoring` to the search."
            )
    if metric not in known:
        raise ValueError(f"metric must be one of {known}, got {metric!r}.")
    mean = np.asarray(cv_results[f"mean_test_{metric}"], dtype=float)
    folds = [k for k in cv_results if re.fullmatch(rf"split\d+_test_{re.escape(metric)}", k)]
    if len(folds) < 2:
        return mean, np.full(len(mean), np.nan)
    # That of cv_results_ is the population's.
    spread = np.asarray(cv_results[f"std_test_{metric}"], dtype=float)
    return mean, spread / np.sqrt(len(folds) - 1)


def threshold_parameter(cv_results):
    """Name of the parameter of the grid that is a threshold.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    names = {name for params in cv_results["params"] for name in params}
    found = [n for n in sorted(names) if n.rpartition("__")[2] == "threshold"]
    if len(found) != 1:
        raise ValueError(
            "The search must be over one parameter 'threshold', such as 'prune__threshold', found "
            f"{found or 'none'} among {sorted(names)}."
        )
    return found[0]


def rows_of_best(params, name, best_index):
    """Candidates that differ from the best one in their threshold only.

    Parameters
    ----------
    params : list of dict
        Parameters of the candidates.
    name : str
        Name of the threshold among them.
    best_index : int
        Position of the best candidate.

    Returns
    -------
    rows : ndarray of int
        Positions, with rising thresholds.
    thresholds : ndarray of float

    Raises
    ------
    ValueError
        If a threshold is None or no number.
    """
    best = params[best_index]
    rows = [i for i, p in enumerate(params) if name in p and _differ_in(p, best) <= {name}]
    for value in (params[i][name] for i in rows):
        if value is None:
            raise ValueError(
                f"{name}=None is the default of the criterion, whose place among the other "
                "thresholds cannot be seen: write it as a number."
            )
        if not isinstance(value, Real):
            raise ValueError(f"{name} must be a number in all candidates, got {value!r}.")
    rows.sort(key=lambda i: params[i][name])
    return np.array(rows), np.array([params[i][name] for i in rows], dtype=float)


def _differ_in(params, others):
    """Names of the parameters that two candidates do not share; values may be arrays."""
    return {
        name
        for name in params.keys() | others.keys()
        if name not in params
        or name not in others
        or not (params[name] is others[name] or np.array_equal(params[name], others[name]))
    }
