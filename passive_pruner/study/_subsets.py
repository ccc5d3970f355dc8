"""What subsets of the latent variables, chosen by their type, are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _num_samples

from passive_pruner._common._typing import MatrixLike, keeps_type
from passive_pruner._common._validation import seed_from
from passive_pruner.metrics import (
    effective_rank,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    mutual_information_score,
)
from passive_pruner.regime import LatentMoments, variance
from passive_pruner.regime._criteria import ACTIVE, MIXED, PASSIVE, TYPES
from passive_pruner.study._seeds import seed_unset

if TYPE_CHECKING:
    import pandas as pd

#: Subset -> the types whose variables it holds.
SUBSETS = {
    "full": TYPES,
    "active": (ACTIVE,),
    "mixed": (MIXED,),
    "passive": (PASSIVE,),
    "active+mixed": (ACTIVE, MIXED),
    "active+passive": (ACTIVE, PASSIVE),
    "mixed+passive": (MIXED, PASSIVE),
    "random": (),
}

#: Columns of the table, in their order.
COLUMNS = [
    "representation", "subset", "n_variables", "standardised",
    "metric", "estimator", "factor", "value",
]  # fmt: skip

# Examples of a class that a split and the folds of a cross-validation within it can share.
_MIN_EXAMPLES = 10


@keeps_type(
    validate_params(
        {
            "estimators": [Mapping, None],
            "subsets": ["array-like", None],
            "scale": ["array-like"],
            "threshold": [Interval(Real, 0, None, closed="left")],
            "n_examples": [Interval(Integral, 1, None, closed="left")],
            "test_size": [Interval(Real, 0, 1, closed="neither")],
            "random_state": ["random_state"],
        },
        prefer_skip_nested_validation=True,
    )
)
def evaluate_subsets(
    encoder: Any,
    X: MatrixLike,
    factors: Any,
    *,
    estimators: Mapping | None = None,
    subsets: Sequence[str] | None = None,
    scale: Sequence[bool] = (False, True),
    threshold: float = 0.1,
    n_examples: int = 10_000,
    test_size: float = 0.3,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """Evaluate subsets of active, mixed and passive variables, as in "Be More Active!".

    The variables get the types of :func:`passive_pruner.regime.variance`. Then every subset of
    the variables, in the mean and in the sampled representation, is described by metrics, and
    classifiers or regressors are trained on it for every factor.

    Parameters
    ----------
    encoder : object with a method ``posterior``
        Fitted encoder such as :class:`passive_pruner.VAEEncoder`; ``posterior(X)`` returns the
        means and the variances, each of shape (n_samples, n_components).
    X : array-like of shape (n_samples, ...)
        Data in the format of the encoder.
    factors : array-like or DataFrame of shape (n_samples,) or (n_samples, n_factors)
        Targets or generative factors. They are classes, unless they are floats that are not whole
        or repeat too rarely to be classes.
    estimators : dict of str to estimator, default=None
        Estimators that are trained on the codes, by name. By default "logistic_regression"
        (LogisticRegressionCV) and "gradient_boosting" (HistGradientBoostingClassifier), for
        continuous factors "ridge" (RidgeCV) and "gradient_boosting"
        (HistGradientBoostingRegressor). An empty dict trains none.
    subsets : sequence of str, default=None
        Some of "full", "active", "mixed", "passive", "active+mixed", "active+passive",
        "mixed+passive" and "random"; by default all. "random" does not use the codes: it predicts
        uniformly random classes, or the mean of numbers.
    scale : sequence of bool, default=(False, True)
        Whether the codes are standardised before metrics are computed and estimators are trained.
        With both values, both variants are evaluated.
    threshold : float, default=0.1
        Tolerance of the rule for types; finite and at least 0. It has no unit, because the prior
        has unit variance.
    n_examples : int, default=10000
        Maximum number of rows, at least 1. From larger data this number of rows is drawn at random.
        The paper uses 10,000.
    test_size : float, default=0.3
        Share of these rows that is held out to test the estimators, between 0 and 1.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of rows, of their split, of the draws from the posterior, and of
        estimators whose `random_state` is None.

    Returns
    -------
    table : DataFrame
        One row per value, with the columns

        ``representation``
            "mean" or "sampled"; "none" for the subset "random".
        ``subset``, ``n_variables``
            Name of the subset, and number of its variables.
        ``standardised``
            Whether the codes were standardised.
        ``metric``
            "total_correlation" (nats), "wasserstein_correlation" (normalised by the total
            variance), "mutual_information" (mean over pairs of codes, in nats) or
            "effective_rank", of the whole subset; "train_score" or "test_score", what the
            ``score`` of the estimator gives, such as accuracy.
        ``estimator``, ``factor``
            Name of the estimator, "uniform" for the subset "random", and name or number of the
            column of `factors`; missing for metrics of the whole subset.
        ``value``
            Value of the metric.

    Raises
    ------
    ValueError
        If a parameter is out of its range, a subset is unknown, `X` and `factors` differ in
        length, or a class has less than 10 examples.

    Notes
    -----
    The table has no rows for a subset without variables, nor for a factor that takes a single
    value. The mutual information of a single variable is NaN.

    Correlations of the sampled representation are exact: they follow from the moments of the
    posterior, see :class:`passive_pruner.regime.LatentMoments`. Mutual information, effective rank
    and scores use one draw per row.

    Total correlation and mutual information do not depend on the scale of the codes. Penalised
    estimators do: in the mean representation the values of passive variables are so small that
    these variables only have an effect after standardisation.

    References
    ----------
    L. Bonheme and M. Grzes, "Be More Active! Understanding the Differences between Mean and
    Sampled Representations of Variational Autoencoders", JMLR 2023, arXiv:2109.12679.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.study import evaluate_subsets
    >>> X, y = load_wine(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> encoder = VAEEncoder(max_steps=300, random_state=0).fit(X)
    >>> table = evaluate_subsets(
    ...     encoder, X, y, estimators={"logistic": LogisticRegression()}, random_state=0
    ... )
    >>> total_correlation = table[(table.metric == "total_correlation") & ~table.standardised]
    >>> total_correlation.pivot(index="subset", columns="representation", values="value").shape[1]
    2
    """
    import pandas as pd

    chosen = list(SUBSETS) if subsets is None else list(dict.fromkeys(subsets))
    if unknown := [name for name in chosen if name not in SUBSETS]:
        raise ValueError(f"Unknown subset {unknown[0]!r}; choose from {', '.join(SUBSETS)}.")
    if not len(scale) or any(standardised not in (True, False) for standardised in scale):
        raise ValueError(f"scale must hold True, False or both, got {scale!r}.")
    scale = list(dict.fromkeys(map(bool, scale)))
    targets = pd.DataFrame(factors)
    if np.ndim(factors) == 1 and getattr(factors, "name", None) is None:
        targets.columns = ["y"]
    n_samples = _num_samples(X)
    if len(targets) != n_samples:
        raise ValueError(
            f"X has {n_samples} rows and factors has {len(targets)}; pass one row of factors per "
            "row of X, in the same order."
        )
    rng = np.random.default_rng(seed_from(random_state))
    rows = np.sort(rng.permutation(n_samples)[:n_examples])
    if len(rows) < n_samples:
        X, targets = _safe_indexing(X, rows), targets.iloc[rows]
    mean, variances = map(np.asarray, encoder.posterior(X))
    moments = LatentMoments.from_batch(mean, variances)
    types = variance(moments, threshold)
    sampled = mean + np.sqrt(variances) * rng.standard_normal(mean.shape, dtype=np.float32)
    representations = {
        "mean": (mean, moments.mean_covariance),
        "sampled": (sampled, moments.sampled_covariance),
    }
    seed = int(rng.integers(2**31))
    problems = [
        _Problem(str(name), y.to_numpy(), estimators, test_size, seed)
        for name, y in targets.items()
        if y.nunique() > 1
    ]

    records: list[dict] = []
    for representation, (codes, covariance) in representations.items():
        known: dict[tuple[int, ...], list[dict]] = {}
        for subset in chosen:
            variables = tuple(np.flatnonzero(np.isin(types, SUBSETS[subset])).tolist())
            if not variables:
                continue
            # Subsets with the same variables are measured once.
            if variables not in known:
                known[variables] = _measure(
                    codes[:, variables], covariance[np.ix_(variables, variables)], scale, problems
                )
            head = {"representation": representation, "subset": subset}
            records += [{**head, "n_variables": len(variables), **r} for r in known[variables]]
    if "random" in chosen:
        head = {"representation": "none", "subset": "random", "estimator": "uniform"}
        records += [
            {**head, "n_variables": 0, "standardised": False, **r}
            for problem in problems
            for r in problem.scores(problem.guess, np.zeros((len(rows), 1)))
        ]
    return pd.DataFrame(records, columns=COLUMNS)


class _Problem:
    """A factor to predict, the rows to train and test on, and who tries."""

    def __init__(self, factor, y, estimators, test_size, seed):
        self.factor, self.y, self.seed = factor, y, seed
        values, counts = np.unique(y, return_counts=True)
        rare = counts.min() < _MIN_EXAMPLES
        continuous = type_of_target(y).startswith("continuous") or (rare and y.dtype.kind == "f")
        if rare and not continuous:
            raise ValueError(
                f"Class {values[counts.argmin()]} of factor {factor!r} has {counts.min()} "
                f"examples, but every class needs {_MIN_EXAMPLES} to be trained and tested on. "
                "Merge or leave out rare classes; if the factor is a number, pass floats."
            )
        self.estimators = _defaults(continuous) if estimators is None else estimators
        self.guess = DummyRegressor() if continuous else DummyClassifier(strategy="uniform")
        self.train, self.test = train_test_split(
            np.arange(len(y)),
            test_size=test_size,
            random_state=seed,
            stratify=None if continuous else y,
        )

    def scores(self, estimator, codes):
        estimator = seed_unset(clone(estimator), self.seed)
        estimator.fit(codes[self.train], self.y[self.train])
        for metric, rows in (("train_score", self.train), ("test_score", self.test)):
            value = float(estimator.score(codes[rows], self.y[rows]))
            yield {"metric": metric, "factor": self.factor, "value": value}


def logistic_regression(**parameters):
    """Make a LogisticRegressionCV for few columns and many rows.

    Second-order steps are several times as fast there as the default solver.
    """
    if "use_legacy_attributes" in signature(LogisticRegressionCV).parameters:
        # Since scikit-learn 1.8 this is how an L2 penalty is asked for without a warning.
        parameters = {"l1_ratios": (0,), "use_legacy_attributes": False, **parameters}
    return LogisticRegressionCV(solver="newton-cholesky", scoring="accuracy", **parameters)


def _defaults(continuous):
    if continuous:
        return {
            "ridge": RidgeCV(alphas=np.logspace(-3, 3, 7)),
            "gradient_boosting": HistGradientBoostingRegressor(),
        }
    return {
        "logistic_regression": logistic_regression(cv=5),
        "gradient_boosting": HistGradientBoostingClassifier(),
    }


def _measure(codes, covariance, scale, problems):
    """Describe a subset of the variables, given its codes and their covariance."""
    records = []
    for standardised in scale:
        x, cov = codes, covariance
        if standardised:
            x = StandardScaler().fit_transform(codes)
            deviation = np.sqrt(covariance.diagonal())
            deviation = np.where(deviation > 0, deviation, 1)
            cov = covariance / np.outer(deviation, deviation)
        values = {
            "total_correlation": gaussian_total_correlation(cov),
            "wasserstein_correlation": gaussian_wasserstein_correlation(cov, normalized=True),
            "mutual_information": mutual_information_score(x) if x.shape[1] > 1 else np.nan,
            "effective_rank": effective_rank(x),
        }
        head = {"standardised": bool(standardised)}
        records += [{**head, "metric": name, "value": v} for name, v in values.items()]
        for problem in problems:
            for name, estimator in problem.estimators.items():
                model = make_pipeline(StandardScaler(), estimator) if standardised else estimator
                records += [{**head, "estimator": name, **r} for r in problem.scores(model, codes)]
    return records
