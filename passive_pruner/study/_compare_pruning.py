"""Whether removing passive variables helps a pipeline of the user, measured on their own data."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import HasMethods, StrOptions, validate_params
from sklearn.utils.validation import _check_method_params, _num_samples

from passive_pruner._common._typing import MatrixLike, keeps_type
from passive_pruner._common._validation import seed_from
from passive_pruner._common._warnings import warn_user
from passive_pruner.study._comparison import Comparison, FoldScores, compare_folds
from passive_pruner.study._parts import find_parts, with_steps
from passive_pruner.study._routing import requested, requested_by_step, route
from passive_pruner.study._scale import note_on_scale
from passive_pruner.study._seeds import seed_unset


@keeps_type(
    validate_params(
        {
            "pipe": [HasMethods("fit")],
            "cv": ["cv_object"],
            "scoring": [StrOptions(set(get_scorer_names())), callable, None],
            "thresholds": ["array-like"],
            "random_state": ["random_state"],
            "params": [dict, None],
        },
        prefer_skip_nested_validation=True,
    )
)
def compare_pruning(
    pipe: Any,
    X: MatrixLike,
    y: ArrayLike,
    *,
    cv: Any = 5,
    scoring: str | Callable | None = None,
    thresholds: Sequence[float] = (0.1,),
    random_state: int | np.random.RandomState | None = None,
    params: dict | None = None,
) -> Comparison:
    """Measure by cross-validation whether removing passive variables helps a pipeline.

    In every fold the encoder is trained once. The steps after it are trained on all variables, and
    for every threshold on the variables that the remover keeps and on the same number of random
    variables. The latter show whether it matters which variables are removed.

    Parameters
    ----------
    pipe : Pipeline, or search such as GridSearchCV over one
        Pipeline, fitted or not; it is not changed. It must contain a
        :class:`~passive_pruner.PassiveVariableRemover`, whose `criterion` and `drop` determine the
        removed variables, or an encoder with a method ``posterior``, after which a remover is
        inserted. All steps after the remover, including scalers, are fitted for every selection of
        variables. For a search, its `estimator` with its `best_params_` is used.
    X : array-like or DataFrame of shape (n_samples, ...)
        Data in the format of the pipeline.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Classes or numbers to predict, or the labels that clusters are compared with.
    cv : int, cross-validation generator or iterable, default=5
        Cross-validation splits. An int is the number of folds, which are stratified if `y` holds
        classes and the pipeline is not a regressor.
    scoring : str or callable, default=None
        Score, where higher is better, as in :func:`sklearn.model_selection.cross_val_score`. None
        means the method ``score`` of a classifier or regressor. Other pipelines need a score that
        is comparable between different numbers of variables, such as "adjusted_rand_score".
    thresholds : array-like of float of shape (n_thresholds,), default=(0.1,)
        Thresholds of the remover, at least 0, in the units of its criterion. 0.1 is a large
        threshold for "explained_variance".
    random_state : int, RandomState instance or None, default=None
        Seed of the random subsets, and of steps whose `random_state` is None. These get another
        seed in every fold, but the same seed for all selections of variables.
    params : dict, default=None
        Metadata, as in :func:`sklearn.model_selection.cross_validate`: "groups" for the splitter,
        and fit parameters of steps such as "clf__sample_weight" or, if metadata routing is enabled,
        the requested names.

    Returns
    -------
    table : DataFrame
        One row per threshold, with the columns

        ``threshold``
            Threshold of the remover.
        ``n_kept``
            Mean number of kept variables over folds.
        ``score_all``, ``score_pruned``, ``score_random``
            Mean test scores over folds: with all variables, with the kept variables, and with a
            random subset of the same size. NaN if there is no score in some fold, because all
            variables are removed or a step after the remover raises an error.
        ``difference``
            Mean of `score_pruned` minus `score_all` over folds.
        ``standard_error``
            Standard error of the difference, paired over folds and corrected for the overlap of the
            training rows [1]_. NaN with a single fold.
        ``verdict``
            "helps" or "hurts" if the difference is above or below 0 by a two-sided t test with this
            error and k - 1 degrees of freedom for k splits, at a familywise level of 5 % over all
            thresholds (Holm's correction [2]_); otherwise "undecided". A difference that is the
            same in all folds is "undecided" as well.

        The printed table is followed by ``table.notes``, a tuple of str with remarks on this
        comparison. ``table.fewest`` is the threshold with the fewest variables within one standard
        error of the highest score, see :func:`one_standard_error_rule`; threshold 0, which keeps
        all variables, is included. ``table.without_encoder`` is a dict of mean scores over folds of
        the steps after the remover, trained on the input columns of the encoder ("columns") and on
        as many of their principal components as there are variables ("PCA"); NaN if these steps
        cannot be trained on them. Results of pandas operations on the table, such as a selection of
        rows, are ordinary DataFrames.

    Raises
    ------
    ValueError
        If the pipeline has neither remover nor encoder, several removers, or no step after them, if
        the grid of an unfitted search has other parameters than a threshold, if `scoring` is None
        and the pipeline is neither a classifier nor a regressor, or `scoring` needs predictions
        that the pipeline cannot make, or if a threshold is not a number of at least 0. Errors of
        the encoder and of the remover are raised, and errors of later steps if all fits of a fold
        fail.

    Warns
    -----
    FitFailedWarning
        If steps after the remover raise an error in some fits.

    See Also
    --------
    one_standard_error_rule : Choose the threshold by the same rule in GridSearchCV.
    passive_pruner.plots.ThresholdDisplay : Plot the results of a search over thresholds.

    Notes
    -----
    With differences d of k splits, with n_train and n_test rows each, the squared standard error
    is (1/k + n_test/n_train) Var(d), where Var has k - 1 in its denominator. Without the second
    term it would be the standard error of independent differences, and the false positive rate of
    the test would exceed its level [1]_.

    The three scores differ only in the columns that the later steps are trained on: the seeds are
    the same, and thresholds that keep the same variables in a fold share a fit. The random subsets
    of one fold are nested, and differ between folds.

    Columns of posterior variances are used by the remover only and never passed on, not even for
    `score_all`.

    Callbacks of the pipeline, such as a ProgressBar, are called during the training of every fold,
    and the `memory` of the pipeline caches the encoders.

    A fitted search has chosen its parameters on all rows, including the test rows of this
    comparison, and for one threshold. To choose a parameter, such as a penalty, within each fold
    and for each selection of variables, use a search as the last step of the pipeline.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52,
       2003, pages 239-281.
    .. [2] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal
       of Statistics 6, 1979, pages 65-70.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import PassiveVariableRemover, VAEEncoder
    >>> from passive_pruner.study import compare_pruning
    >>> from passive_pruner.vae import MLP
    >>> X, y = load_wine(return_X_y=True)
    >>> pipe = make_pipeline(
    ...     StandardScaler(),
    ...     VAEEncoder(16, architecture=MLP((32,)), max_steps=100),
    ...     PassiveVariableRemover(),
    ...     StandardScaler(),
    ...     KMeans(3, n_init=3),
    ... )
    >>> compare_pruning(pipe, X, y, scoring="adjusted_rand_score", random_state=0)
     threshold n_kept score_all score_pruned score_random difference standard_error verdict
           0.1    ...
    Fewest variables within one standard error of the highest score: threshold 0.1, ... of 16.
    Without the encoder: ... on its columns, ... on as many principal components of them.
    """
    values = _check_thresholds(thresholds)
    parts = find_parts(pipe)
    if scoring is None and not (is_classifier(parts.pipeline) or is_regressor(parts.pipeline)):
        raise ValueError(
            f"scoring=None takes {type(parts.pipeline[-1]).__name__}.score, which need not be "
            "comparable between different numbers of variables. Pass scoring, such as "
            '"adjusted_rand_score" to compare clusters with the labels y.'
        )
    last = parts.pipeline[-1]
    if isinstance(scoring, str) and not any(hasattr(last, name) for name in _METHODS):
        raise ValueError(
            f"{type(last).__name__} has no method 'predict', so that scoring={scoring!r} cannot "
            "score test rows. Use a model that has one, such as KMeans among clusterers, or a "
            "callable scoring."
        )
    if y is None:
        raise ValueError("y=None leaves nothing to score by: pass classes, numbers or labels.")
    scorer = check_scoring(parts.pipeline, scoring=scoring)
    X, y = indexable(X, y)
    rng = np.random.default_rng(seed_from(random_state))
    splitter = check_cv(cv, y, classifier=not is_regressor(parts.pipeline))
    routed = route(params, parts, splitter, scorer)
    folds = []
    for train, test in splitter.split(X, y, **routed.split):
        rows, test_rows = (
            Rows(
                _safe_indexing(X, chosen),
                _safe_indexing(y, chosen),
                _check_method_params(X, params=metadata, indices=chosen),
            )
            for chosen, metadata in ((train, routed.fit), (test, routed.score))
        )
        folds.append(_compare_fold(parts, rows, test_rows, scorer, values, rng))
    if not folds:
        raise ValueError(f"cv={cv!r} makes no split; at least one is needed.")
    _warn_of_failures(folds)
    return compare_folds(folds, values, note_on_scale(parts.after[0]))


# What scorers with a name ask a model for the answers to rows that it was not fitted on.
_METHODS = ("predict", "predict_proba", "decision_function")


class Rows(NamedTuple):
    """Rows of a fold, and what comes with them."""

    X: Any
    y: Any
    params: dict


def _check_thresholds(thresholds):
    try:
        values = np.asarray(thresholds, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"thresholds must hold at least one number, finite and at least 0, got {thresholds!r}."
        )
    return values


def _compare_fold(parts, train, test, scorer, thresholds, rng):
    """Train the encoder of one fold, and what is behind it for every choice of variables."""
    fold = seed_unset(clone(parts.pipeline), int(rng.integers(2**31)))
    # The last step of a pipeline is not cached: one that does nothing lets a `memory` of the user
    # keep the encoder, and find those that a search has left there.
    steps = [*fold.steps[: parts.at], ("codes to compare", "passthrough")]
    head, remover, tail = with_steps(fold, steps), fold[parts.at], fold[parts.at + 1 :]
    codes = head.fit_transform(train.X, train.y, **requested(head, "fit_transform", train.params))
    params = requested(tail, "fit", train.params)
    weights = requested_by_step(fold, fold.steps[parts.at][0], train.params)
    everything = clone(remover).set_params(threshold=0).fit(codes, **weights)
    kept = [
        _kept(clone(remover).set_params(threshold=float(t)), codes, weights) for t in thresholds
    ]
    codes, codes_test = everything.transform(codes), everything.transform(head.transform(test.X))
    order = rng.permutation(codes.shape[1])
    scores, failures = {(): np.nan}, []

    def score(columns):
        columns = tuple(np.sort(columns).tolist())
        if columns not in scores:
            scores[columns] = np.nan
            try:
                model = clone(tail).fit(_safe_indexing(codes, columns, axis=1), train.y, **params)
                chosen = _safe_indexing(codes_test, columns, axis=1)
                scores[columns] = _number(scorer(model, chosen, test.y, **test.params))
            except Exception as error:
                failures.append(error)
        return scores[columns]

    all_variables, pruned = score(order), [score(columns) for columns in kept]
    with warnings.catch_warnings():
        # Variables that are drawn at random may all be constant: nothing that a user could change.
        warnings.simplefilter("ignore", ConvergenceWarning)
        random = [score(order[: len(columns)]) for columns in kept]
    results = FoldScores(
        n_train=_num_samples(train.X),
        n_test=_num_samples(test.X),
        n_components=len(order),
        n_kept=[len(columns) for columns in kept],
        all_variables=all_variables,
        pruned=pruned,
        random=random,
        failures=failures,
        without_encoder=_score_without_encoder(
            head, tail, train, test, scorer, params, n_components=len(order)
        ),
    )
    if failures and np.isnan(list(scores.values())).all():
        raise failures[0]
    return results


def _score_without_encoder(head, tail, train, test, scorer, params, n_components):
    """Score the last steps on what the encoder reads, and on principal components of it."""
    scores = {"columns": np.nan, "PCA": np.nan}
    at = next((i for i, (_, step) in enumerate(head.steps) if hasattr(step, "posterior")), None)
    if at is None or getattr(head[at], "encode", head) is None:
        return scores  # None: the rows are posteriors already
    read, read_test = train.X, test.X
    for _, step in head.steps[:at]:
        if step not in (None, "passthrough"):
            read, read_test = step.transform(read), step.transform(read_test)
    if np.ndim(read) != 2:
        return scores
    components = PCA(min(n_components, *read.shape), random_state=0)
    for name, before in (("columns", "passthrough"), ("PCA", components)):
        # An encoder may read what other models do not, such as missing cells and categories.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = Pipeline([("columns to compare", before), *clone(tail).steps])
            scores[name] = float(
                scorer(model.fit(read, train.y, **params), read_test, test.y, **test.params)
            )
    return scores


def _kept(remover, codes, weights):
    """Columns that a remover keeps; none where it raises an error because none is left."""
    remover.partial_fit(codes, **weights)  # which, other than fit, leaves that error to get_support
    try:
        return remover.get_support(indices=True)
    except ValueError:
        return np.array([], dtype=int)


def _warn_of_failures(folds):
    failures = [failure for fold in folds for failure in fold.failures]
    if failures:
        warn_user(
            f"{len(failures)} fits failed, and the scores that they belong to are NaN. The first "
            f"error was {type(failures[0]).__name__}: {failures[0]}",
            FitFailedWarning,
        )


def _number(score):
    """Return a score that is a number, also as an array of one; anything else is an error."""
    if np.ndim(score) == 0 and np.asarray(score).dtype.kind in "biuf":
        return float(score)
    raise ValueError(f"scoring must return a number, got {score!r} of type {type(score).__name__}.")
