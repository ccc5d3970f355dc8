"""The table of a comparison: differences, their errors and verdicts, and what is said of them."""

from __future__ import annotations

import html
import textwrap
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from passive_pruner._common._one_standard_error import fewest_within_error, standard_error

# Level of the tests behind the verdicts, for all rows of a table together.
_LEVEL = 0.05


class FoldScores(NamedTuple):
    """Scores of one fold; lists have one entry per threshold."""

    n_train: int
    n_test: int
    n_components: int
    n_kept: list[int]
    all_variables: float
    pruned: list[float]
    random: list[float]
    failures: list[Exception]
    without_encoder: dict[str, float]


class Comparison(pd.DataFrame):
    """A DataFrame that is followed by notes where it is shown.

    Attributes
    ----------
    notes : tuple of str
        What is to be known of the comparison.
    fewest : float
        Threshold with the fewest variables within one standard error of the highest score.
    without_encoder : dict of str to float
        Scores on the columns that the encoder reads, and on their principal components.
    """

    _metadata: ClassVar[list[str]] = ["notes", "fewest", "without_encoder"]
    notes: tuple[str, ...]
    fewest: float
    without_encoder: dict[str, float]

    def __repr__(self):
        table = self.to_string(index=False, float_format="{:.4g}".format)
        return "\n".join([table, *(textwrap.fill(note, 100) for note in self.notes)])

    def _repr_html_(self):
        table = super()._repr_html_()
        if table is None:
            return None
        return table + "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)


def compare_folds(folds: list[FoldScores], thresholds: np.ndarray, note: str | None) -> Comparison:
    """Make the table of the folds; `note` is what else is to be known."""
    n_kept = np.array([fold.n_kept for fold in folds])
    all_variables = np.array([fold.all_variables for fold in folds])
    pruned = np.array([fold.pruned for fold in folds])
    with np.errstate(invalid="ignore"):  # scores may be infinite, and their difference NaN
        difference = pruned - all_variables[:, np.newaxis]
    share = np.mean([fold.n_test / fold.n_train for fold in folds])
    error = corrected_standard_error(difference, share)
    table = Comparison(
        {
            "threshold": thresholds,
            "n_kept": n_kept.mean(axis=0),
            "score_all": all_variables.mean(),
            "score_pruned": pruned.mean(axis=0),
            "score_random": np.mean([fold.random for fold in folds], axis=0),
            "difference": difference.mean(axis=0),
            "standard_error": error,
            "verdict": verdicts(difference.mean(axis=0), error, len(folds)),
        }
    )
    n_components = np.mean([fold.n_components for fold in folds])
    scores = np.column_stack([all_variables, pruned])
    counts, values = np.array([n_components, *table["n_kept"]]), np.array([0, *thresholds])
    notes = []
    table.fewest = np.nan
    if np.isfinite(means := scores.mean(axis=0)).any():
        chosen = fewest_within_error(means, standard_error(scores), counts, values)
        table.fewest = float(values[chosen])
        notes.append(
            "Fewest variables within one standard error of the highest score: threshold "
            f"{values[chosen]:g}, {counts[chosen]:.3g} of {n_components:.3g}."
        )
    table.without_encoder = {
        name: float(np.mean([fold.without_encoder[name] for fold in folds]))
        for name in folds[0].without_encoder
    }
    where = {"columns": "on its columns", "PCA": "on as many principal components of them"}
    known = [
        f"{score:.4g} {where[name]}"
        for name, score in table.without_encoder.items()
        if np.isfinite(score)
    ]
    if known:
        notes.append(f"Without the encoder: {', '.join(known)}.")
    for threshold, empty in zip(thresholds, (n_kept == 0).sum(axis=0), strict=True):
        if empty:
            notes.append(
                f"Threshold {threshold:g} leaves no variable in {empty} of {len(folds)} folds, "
                "where the pipeline cannot be fitted: it has no score."
            )
    notes += [
        f"Threshold {threshold:g} makes the same difference in all folds, from which no error can "
        "be told: undecided."
        for threshold in np.asarray(thresholds)[(error == 0) & (difference.mean(axis=0) != 0)]
    ]
    table.notes = (*notes, note) if note else tuple(notes)
    return table


def corrected_standard_error(difference, test_share):
    """Estimate the standard error of mean differences over folds that share training rows.

    C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003,
    section 3: the variance of the mean over k folds is estimated by
    (1/k + n_test/n_train) Var(d).

    Parameters
    ----------
    difference : ndarray of shape (n_folds, n_thresholds)
        Differences of scores.
    test_share : float
        n_test / n_train.

    Returns
    -------
    error : ndarray of shape (n_thresholds,)
        NaN with a single fold.
    """
    k = len(difference)
    return standard_error(difference) * np.sqrt(1 + k * test_share)


def verdicts(difference, error, n_folds):
    """Name what the differences show, by t tests with Holm's correction.

    Parameters
    ----------
    difference, error : ndarray of shape (n_thresholds,)
        Mean differences over folds and their standard errors. An error of 0 tells nothing:
        scores of few rows are coarse, and may differ alike in all folds by chance.
    n_folds : int
        Number of folds.

    Returns
    -------
    verdicts : ndarray of shape (n_thresholds,), str
        "helps", "hurts" or "undecided".
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * student.sf(np.abs(difference / error), n_folds - 1)
    p[error == 0] = np.nan
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested])]
    # The i-th smallest of m is compared with level / (m - i), until the first that is not below.
    below = p[order] <= _LEVEL / np.arange(len(order), 0, -1)
    shown = np.zeros(len(p), dtype=bool)
    shown[order[np.logical_and.accumulate(below)]] = True
    return np.where(shown, np.where(difference > 0, "helps", "hurts"), "undecided")
