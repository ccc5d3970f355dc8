"""Whether other trainings find the same variables: what is the data, and what is the seed."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples, check_is_fitted

from passive_pruner import VAEEncoder
from passive_pruner._common._dask import is_dask
from passive_pruner._common._parameters import check_number
from passive_pruner._common._typing import MatrixLike, RandomState
from passive_pruner._common._validation import local_random_state
from passive_pruner.regime import CRITERIA
from passive_pruner.regime._criteria import NEGLIGIBLE, PASSIVE, is_kept

if TYPE_CHECKING:
    import pandas as pd

# Rows on which types are read and variables are matched: a correlation is known to 0.01 from so
# many.
MATCHED_ROWS = 10_000
# Trainings on each half of the rows; what differs between them is the seed.
N_SEEDS = 2


class TypeStability(NamedTuple):
    """Result of :func:`type_stability`.

    Attributes
    ----------
    variables : DataFrame with one row per variable of the reference, index "variable"
        ``type``
            Type in the reference training.
        ``share_kept``
            Share of the trainings in which the matching variable is kept, from 0 to 1.
        ``correlation``
            Median over trainings of the absolute correlation of the variable with the matching one,
            from 0 to 1.
        ``changes_by_seed``, ``changes_by_half``
            Share of the pairs of trainings of which only one keeps the variable: among pairs on the
            same half of the rows, and among pairs on different halves, which also have different
            seeds.
    trainings : DataFrame with one row per training, index "training"
        ``half``
            Number of the half of the rows that was used for training.
        ``n_components``, ``n_kept``
            Number of variables, and number of variables that are kept.
        ``n_changed``
            Number of variables of the reference that are kept in only one of the two trainings.
    seed_share, data_share : float
        Shares of the differences between trainings that are due to the seed and to the choice of
        rows. They add up to 1, and are NaN if all trainings keep the same variables.
    """

    variables: pd.DataFrame
    trainings: pd.DataFrame
    seed_share: float
    data_share: float

    def __str__(self):
        d, share = len(self.variables), self.variables["share_kept"]
        n_kept = (~self.variables["type"].isin([PASSIVE, NEGLIGIBLE])).sum()
        counts = self.trainings["n_kept"]
        by_seed, by_half = self.variables[["changes_by_seed", "changes_by_half"]].mean()
        lines = [
            f"{d} latent variables, {n_kept} kept in the reference; {counts.min()} to "
            f"{counts.max()} in {len(counts)} trainings on halves of the rows.",
            f"Two trainings disagree about {by_half:.1%} of the variables on different halves, "
            f"about {by_seed:.1%} on the same half.",
        ]
        if not np.isnan(self.seed_share):
            lines.append(
                f"Of what differs, {self.seed_share:.0%} is the seed and {self.data_share:.0%} the "
                "choice of rows."
            )
        undecided = share.index[(share > 0) & (share < 1)]
        names = ", ".join(map(str, undecided)) or "none"
        lines.append(f"Kept in some trainings and not in others: {names}.")
        return "\n".join(lines)


def type_stability(
    encoder: Any,
    X: MatrixLike,
    n_fits: int = 10,
    *,
    criterion: str = "active_units",
    threshold: float | None = None,
    random_state: RandomState = None,
    n_jobs: int | None = None,
) -> TypeStability:
    """Measure how stable types are across trainings on random halves of the rows.

    The types of one fitted encoder depend on the seed and on the rows. This function trains
    `n_fits` encoders on random halves of the rows, two on each half with different seeds.
    Differences between these two are due to the seed, and further differences between halves are
    due to the data.

    Parameters
    ----------
    encoder : VAEEncoder or Pipeline
        Encoder to train, or a pipeline of which the steps up to the encoder are fitted on the same
        half. If it is fitted, its variables are the reference; otherwise the reference is trained
        on all rows. It is cloned and not changed.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows, in memory.
    n_fits : int, default=10
        Number of trainings besides the reference; even and at least 4.
    criterion : str, default="active_units"
        Criterion for types, as in :class:`passive_pruner.PassiveVariableRemover`.
    threshold : float, default=None
        Threshold of the criterion, finite and at least 0. None is 0.01 under "explained_variance"
        and 0.1 under all others.
    random_state : int, RandomState instance or None, default=None
        Seed of the halves and of the seeds of the trainings.
    n_jobs : int or None, default=None
        Number of trainings that run in parallel, as in scikit-learn. The result does not depend on
        it.

    Returns
    -------
    stability : TypeStability
        Named tuple of the tables `variables` and `trainings` and of the shares `seed_share` and
        `data_share`. ``print`` shows a summary in words.

    Raises
    ------
    TypeError
        If `encoder` is neither a :class:`passive_pruner.VAEEncoder` nor a pipeline with one.
    ValueError
        If `n_fits` is odd or below 4, if the criterion is unknown, if `X` has fewer than 4 rows, or
        if it is a dask collection.

    Notes
    -----
    For all trainings, types and matches are determined on the same rows, at most 10,000 that are
    drawn at random from `X`. The variables of every training are matched one to one with those of
    the reference such that the sum of absolute correlations is maximal
    (:func:`scipy.optimize.linear_sum_assignment`); the sign of a latent variable is arbitrary. The
    correlations are those of sampled codes, that is, those of the means times ``sqrt(r_i r_j)``
    with reliabilities r. With correlations of means, passive variables could be matched with active
    ones, because their small means are correlated with those of others.

    If another training rotates a variable into two others, it has no match of high correlation:
    check `correlation` before you interpret `share_kept`.

    The share of the seed is the ratio of the sums of `changes_by_seed` and of `changes_by_half`, at
    most 1. For an indicator of 0 or 1 these are twice the variance within halves and twice the
    total variance. A training on half of the rows may need fewer variables than one on all,
    whatever the seed.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.study import type_stability
    >>> from passive_pruner.vae import MLP
    >>> encoder = VAEEncoder(6, architecture=MLP((16,)), max_steps=100, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), encoder)
    >>> stability = type_stability(pipe, load_wine().data, n_fits=4, random_state=0)
    >>> bool(stability.variables["share_kept"].between(0, 1).all())
    True
    >>> stability.trainings["half"].tolist()
    [0, 0, 1, 1]
    """
    import pandas as pd

    pipe = _up_to_encoder(encoder)
    _check(X, n_fits, criterion)
    threshold = CRITERIA[criterion].threshold if threshold is None else threshold
    rng = local_random_state(random_state)
    n = _num_samples(X)
    shown = _safe_indexing(X, np.sort(rng.permutation(n)[:MATCHED_ROWS]))
    halves = [np.sort(rng.permutation(n)[: n // 2]) for _ in range(n_fits // N_SEEDS)]
    seed, *seeds = rng.randint(2**31 - 1, size=1 + n_fits).tolist()
    try:
        check_is_fitted(pipe[-1])
        reference = _look(pipe, shown, criterion, threshold)
    except NotFittedError:
        reference = _train(pipe, X, None, seed, shown, criterion, threshold)
    half = np.repeat(np.arange(len(halves)), N_SEEDS)
    fits = Parallel(n_jobs=n_jobs)(
        delayed(_train)(pipe, X, halves[h], s, shown, criterion, threshold)
        for h, s in zip(half, seeds, strict=True)
    )
    matches = [_match(reference, fit) for fit in fits]
    kept = np.array([match[0] for match in matches])
    differs = kept[:, np.newaxis] != kept
    same_half = half[:, np.newaxis] == half
    by_seed = differs[same_half & ~np.eye(n_fits, dtype=bool)].mean(axis=0)
    by_half = differs[~same_half].mean(axis=0)
    seed_share = float(min(by_seed.sum() / by_half.sum(), 1)) if by_half.any() else np.nan
    variables = pd.DataFrame(
        {
            "type": reference.types,
            "share_kept": kept.mean(axis=0),
            "correlation": np.median([match[1] for match in matches], axis=0),
            "changes_by_seed": by_seed,
            "changes_by_half": by_half,
        },
        index=pd.RangeIndex(len(reference.types), name="variable"),
    )
    trainings = pd.DataFrame(
        {
            "half": half,
            "n_components": [len(fit.kept) for fit in fits],
            "n_kept": [int(fit.kept.sum()) for fit in fits],
            "n_changed": (kept != reference.kept).sum(axis=1),
        },
        index=pd.RangeIndex(n_fits, name="training"),
    )
    return TypeStability(variables, trainings, seed_share, 1 - seed_share)


class _Look(NamedTuple):
    """What one training says about the rows that all are looked at with."""

    types: np.ndarray
    kept: np.ndarray
    mean: np.ndarray
    reliability: np.ndarray


def _up_to_encoder(encoder):
    """Return a pipeline that ends with the encoder, sharing its steps."""
    if isinstance(encoder, VAEEncoder):
        return Pipeline([("encoder", encoder)])
    if isinstance(encoder, Pipeline):
        at = [i for i, (_, step) in enumerate(encoder.steps) if isinstance(step, VAEEncoder)]
        if len(at) == 1:
            return encoder[: at[0] + 1]
    found = type(encoder).__name__
    if isinstance(encoder, Pipeline):
        found += f" of {', '.join(type(step).__name__ for _, step in encoder.steps)}"
    raise TypeError(
        f"type_stability trains a VAEEncoder, or a Pipeline with one among its steps, got {found}. "
        "Of nested pipelines pass the one that holds it, of a search its best_estimator_."
    )


def _check(X, n_fits, criterion):
    check_number(n_fits, "n_fits", Integral, min_val=1)
    if n_fits < 2 * N_SEEDS or n_fits % N_SEEDS:
        raise ValueError(
            f"n_fits must be even and at least {2 * N_SEEDS}, for two trainings on each of at "
            f"least two halves, got {n_fits}."
        )
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {sorted(CRITERIA)}, got {criterion!r}.")
    if is_dask(X):
        raise ValueError(
            "X is a dask collection, of which no rows can be drawn. Pass rows in memory, such as "
            "X.compute() or a sample of it."
        )
    if _num_samples(X) < 4:
        raise ValueError(
            f"X has {_num_samples(X)} rows; their halves are trained on, for which at least 4 are "
            "needed."
        )


def _train(pipe, X, rows, seed, shown, criterion, threshold):
    """Train a clone on some rows, all if None, and look at it."""
    pipe = clone(pipe)
    pipe[-1].set_params(random_state=seed)
    pipe.fit(X if rows is None else _safe_indexing(X, rows))
    return _look(pipe, shown, criterion, threshold)


def _look(pipe, X, criterion, threshold):
    encoder = pipe[-1]
    if len(pipe) > 1:
        X = pipe[:-1].transform(X)
    rule = CRITERIA[criterion]
    moments = encoder.moments(X, entropy="entropy_power" in rule.statistics)
    types = rule(moments, threshold)
    kept = is_kept(types, threshold, (PASSIVE,))
    return _Look(types, kept, encoder.posterior(X).mean, moments.reliability)


def _match(reference, fit):
    """Find which variable of another training is which of the reference.

    Returns
    -------
    kept : ndarray of shape (n_components,), bool
        Whether the variable that matches is kept; False where none is left.
    correlation : ndarray of shape (n_components,)
        Absolute correlation of the means with those of the variable that matches.
    """
    correlation = np.abs(_standardized(reference.mean).T @ _standardized(fit.mean))
    correlation /= len(fit.mean)
    weight = np.sqrt(np.outer(reference.reliability, fit.reliability))
    at, of = linear_sum_assignment(correlation * weight, maximize=True)
    kept, matched = np.zeros(len(reference.kept), dtype=bool), np.zeros(len(reference.kept))
    kept[at], matched[at] = fit.kept[of], correlation[at, of]
    return kept, matched


def _standardized(mean):
    mean = mean.astype(np.float64)
    mean -= mean.mean(axis=0)
    spread = mean.std(axis=0)
    return np.divide(mean, spread, where=spread > 0, out=np.zeros_like(mean))
