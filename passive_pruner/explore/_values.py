"""All numbers that the page shows, for every criterion and threshold."""

from base64 import b64encode
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _num_samples

from passive_pruner._remover import PassiveVariableRemover
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.plots._inputs import (
    decode_traversals,
    find_encoder,
    image_shape_of,
    steps_of,
    variable_names,
)
from passive_pruner.regime import CRITERIA, report
from passive_pruner.regime._criteria import is_kept
from passive_pruner.regime._criterion import NEGLIGIBLE, TYPES, UNDECIDED
from passive_pruner.regime._units import looks_whitened

#: Thresholds of the slider: 0, which keeps everything, and three to six per factor of ten.
THRESHOLDS = (
    0, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07,
    0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0,
)  # fmt: skip
#: Most rows that are looked at, as many as the paper takes.
MAX_ROWS = 10_000
# More columns than this have no room for their names.
_MAX_FEATURES = 60
# Values that a variable takes in a traversal, in standard deviations of its prior.
_TRAVERSAL = np.linspace(-2, 2, 9)


def compute_values(
    estimator, X, y=None, *, thresholds=None, cv=5, scoring=None, image_shape=None
) -> dict[str, Any]:
    """Compute what the page shows; parameters as in :func:`explore`.

    Returns
    -------
    values : dict
        Made of dicts, lists, strings, numbers and None. Variables are in the encoder's order.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    n_given = _num_samples(X)
    if y is not None and _num_samples(y) != n_given:
        raise ValueError(
            f"X has {n_given} rows and y has {_num_samples(y)}; pass one target per row of X, in "
            "the same order."
        )
    if n_given > MAX_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(n_given, MAX_ROWS, replace=False))
        X, y = _safe_indexing(X, rows), None if y is None else _safe_indexing(y, rows)
        cv = _folds_of_rows(cv, rows, n_given)
    parts = find_encoder("explore", estimator, X, needs="moments")
    encoder = parts.encoder
    criterion, threshold, drop, alpha = _rule(parts.remover)
    thresholds = _checked_thresholds(thresholds, threshold)
    moments = encoder.moments(parts.X, entropy=True)
    d = moments.n_components
    score = None
    if y is not None:
        codes = encoder.transform(parts.X)
        score = _Score(codes, y, _after_encoder(estimator, parts), cv, scoring)
    criteria = {
        name: {
            **_description(name, moments, alpha),
            **_per_threshold(name, thresholds, drop, alpha, moments, score),
        }
        for name, rule in CRITERIA.items()
        # What variables explain is not known of every encoder.
        if rule.compares_with_prior or not looks_whitened(moments)
    }
    evidence = report(moments, [""] * d).drop(columns="type")
    return _plain(
        {
            "encoder": type(encoder).__name__,
            "output": encoder.output,
            "n_rows": moments.n_samples,
            "n_rows_given": n_given,
            "n_features": encoder.n_features_in_,
            "names": variable_names(encoder),
            "types": [*TYPES, NEGLIGIBLE, UNDECIDED],
            "drop": drop,
            "alpha": alpha,
            "start": {"criterion": criterion, "threshold": float(threshold)},
            "thresholds": thresholds,
            "criteria": criteria,
            "report": {name: evidence[name].to_numpy() for name in evidence},
            "correlation": {
                "mean": moments.mean_correlation,
                "sampled": moments.sampled_correlation,
            },
            "score": None if score is None else score.description,
            "traversal": _traversal(encoder, d, image_shape, parts.feature_names),
        }
    )


def _rule(remover):
    """Return criterion, threshold, types to drop and alpha: as fitted, or the defaults."""
    if remover is None:
        remover = PassiveVariableRemover()
        threshold = CRITERIA[remover.criterion].threshold
        return remover.criterion, threshold, remover.drop, remover.alpha
    return remover.criterion_, remover.threshold_, remover.drop_, remover.alpha_


def _checked_thresholds(steps, threshold):
    """Return the steps of the slider: those given, that of the remover, and 0."""
    steps = THRESHOLDS if steps is None else steps
    thresholds = np.unique(np.array([0.0, threshold, *steps], dtype=np.float64))
    if wrong := [t for t in thresholds if not (np.isfinite(t) and t >= 0)]:
        raise ValueError(f"Thresholds must be finite and at least 0, got {wrong[0]:g}.")
    return thresholds


def _folds_of_rows(cv, rows, n_given):
    """Folds that were given by numbers of all rows, in numbers of the rows that were drawn."""
    if cv is None or isinstance(cv, Integral) or hasattr(cv, "split"):
        return cv
    # Indexing turns masks into numbers as well.
    every = np.arange(n_given)
    return [[np.flatnonzero(np.isin(rows, every[part])) for part in fold] for fold in cv]


def _description(criterion, moments, alpha):
    """Say what the criterion is; a variable whose value is above the threshold is not passive."""
    rule = CRITERIA[criterion]
    return {
        "title": rule.title,
        "words": rule.words,
        "symbol": rule.distance_symbol + (f" ({rule.unit})" if rule.unit else ""),
        "knows": rule.types if alpha is None else [*rule.types, UNDECIDED],
        "values": rule.distance(moments),
    }


def _per_threshold(criterion, thresholds, drop, alpha, moments, score):
    """Types, kept variables, total correlations in nats and scores, an entry per threshold."""
    rows = []
    for threshold in thresholds:
        types = CRITERIA[criterion](moments, threshold, alpha=alpha, drop=drop)
        kept = is_kept(types, threshold, drop)
        row = {"types": types, "kept": kept}
        for kind in ("mean", "sampled"):
            covariance = getattr(moments, f"{kind}_covariance")[np.ix_(kept, kept)]
            # Where nothing is left the remover raises, and there is nothing to correlate or score.
            total = gaussian_total_correlation(covariance) if kept.any() else None
            row[f"total_correlation_{kind}"] = total
        row["score"], row["standard_error"] = (
            score(kept) if score is not None and kept.any() else (None, None)
        )
        rows.append(row)
    return {name: [row[name] for row in rows] for name in rows[0]}


def _after_encoder(estimator, parts):
    """Return the unfitted steps that predict from codes, or None."""
    steps = list(steps_of(estimator))
    last = parts.encoder if parts.remover is None else parts.remover
    rest = steps[next(i for i, step in enumerate(steps) if step is last) + 1 :]
    if rest and (is_classifier(rest[-1]) or is_regressor(rest[-1])):
        return make_pipeline(*map(clone, rest))
    return None


class _Score:
    """Cross-validated score of kept variables; each set of variables is scored once.

    All sets are scored on the same folds, or their scores could not be compared.
    """

    def __init__(self, codes, y, predictor, cv, scoring):
        y = np.asarray(y)
        if predictor is None:
            continuous = type_of_target(y).startswith("continuous")
            last = Ridge() if continuous else LogisticRegression(max_iter=1000)
            predictor = make_pipeline(StandardScaler(), last)
        folds = check_cv(cv, y, classifier=is_classifier(predictor))
        self._folds = list(folds.split(codes, y))
        if len(self._folds) < 2:
            raise ValueError(f"cv must give at least 2 folds, got {len(self._folds)}.")
        self._codes, self._y, self._predictor = codes, y, predictor
        self._scoring, self._known = scoring, {}
        default = "accuracy" if is_classifier(predictor) else "R²"
        self.description = {
            "name": scoring if isinstance(scoring, str) else "score" if scoring else default,
            "predictor": ", ".join(type(step).__name__ for _, step in predictor.steps),
            "n_folds": len(self._folds),
        }

    def __call__(self, kept):
        """Mean over folds and its standard error."""
        if (key := kept.tobytes()) not in self._known:
            scores = cross_val_score(
                self._predictor,
                _safe_indexing(self._codes, np.flatnonzero(kept), axis=1),
                self._y,
                cv=self._folds,
                scoring=self._scoring,
                error_score="raise",
            )
            self._known[key] = (scores.mean(), scores.std() / np.sqrt(len(scores) - 1))
        return self._known[key]


def _traversal(encoder, n_components, image_shape, feature_names):
    """Decode each variable over its prior while the others stay at its mean, 0."""
    if not hasattr(encoder, "inverse_transform"):
        return None
    decoded = decode_traversals(encoder, _TRAVERSAL, np.zeros(n_components))
    # How far a variable moves a decoded value at most, in the units of the data.
    change = np.ptp(decoded, axis=1)
    result = {"steps": _TRAVERSAL, "largest_change": change.max(axis=1)}
    shape = image_shape_of(encoder, image_shape)
    if shape is not None:
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ValueError(
                "image_shape must be (height, width) or (height, width, channels), got "
                f"{tuple(shape)}."
            )
        if np.prod(shape) != decoded.shape[2]:
            raise ValueError(
                f"image_shape={tuple(shape)} has {np.prod(shape)} values, but the encoder decodes "
                f"rows of {decoded.shape[2]}."
            )
        low, high = decoded.min(), decoded.max()
        pixels = np.rint(255 * (decoded - low) / (high - low or 1)).astype(np.uint8)
        return {**result, "shape": shape, "pixels": b64encode(pixels.tobytes()).decode()}
    names = feature_names or [str(i) for i in range(decoded.shape[2])]
    # Of wide tables the columns that change most, in their order.
    shown = np.sort(np.argsort(-change.max(axis=0), kind="stable")[:_MAX_FEATURES])
    return {**result, "features": [names[i] for i in shown], "decoded": decoded[..., shown]}


def _plain(value):
    """Turn arrays into lists, numbers into those of JSON, which has no NaN and no infinity."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.7g}") if np.isfinite(value) else None
    return value
