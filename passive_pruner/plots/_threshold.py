"""What the threshold of the remover costs and what it saves."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier, is_regressor

from passive_pruner._common._one_standard_error import (
    fewest_within_error,
    highest,
    rows_of_best,
    scores_of,
    threshold_parameter,
    within_error,
)
from passive_pruner._common._parameters import check_number
from passive_pruner._remover import PassiveVariableRemover
from passive_pruner.plots._inputs import find_parts
from passive_pruner.plots._style import ACCENT, TYPE_COLORS, make_axes, require_matplotlib
from passive_pruner.regime import CRITERIA
from passive_pruner.regime._criteria import is_kept


class ThresholdDisplay:
    """Cross-validated score and number of kept variables against the threshold.

    Create it with :meth:`from_estimator` or :meth:`from_cv_results`.

    Parameters
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Thresholds in ascending order.
    mean_score : ndarray of shape (n_thresholds,)
        Mean of the score over folds.
    standard_error : ndarray of shape (n_thresholds,)
        Standard error of that mean.
    n_kept : dict of str to ndarray of shape (n_thresholds,), default=None
        Number of kept variables of each type at each threshold. None does not plot them.
    n_components : int, default=None
        Number of latent variables.
    best_threshold : float, default=None
        Threshold that the search selected, if any. It need not have the highest plotted score, as a
        search may use another score or a rule.
    score_name : str, default="score"
        Name of the score.

    Attributes
    ----------
    axes_ : ndarray of Axes
        Axes of the score and, if known, of the number of kept variables.
    figure_ : Figure
        Figure that contains the axes.
    scores_ : ErrorbarContainer
        Scores with error bars of one standard error.
    bars_ : dict of str to BarContainer
        Stacked bars of the numbers of kept variables of each type.
    counts_ : list of Text
        Total numbers of kept variables, above the bars.
    best_lines_ : list of Line2D
        Dotted lines at the selected threshold.
    within_error_ : ndarray of shape (n_thresholds,), bool
        Mask of the thresholds whose score is within one standard error of the highest. The scores
        cannot distinguish them; the title lists them.
    fewest_threshold_ : float
        Largest of those thresholds within one standard error that keep the fewest variables, or the
        largest threshold within one standard error if `n_kept` is None.
        :func:`passive_pruner.study.one_standard_error_rule` selects it.
    fewest_lines_ : list of Line2D
        Dashed lines at `fewest_threshold_`. Empty if the standard error is unknown.
    band_ : Rectangle or None
        Shaded band of that standard error, or None if it is unknown.

    Notes
    -----
    The standard error of the mean over k folds is std / sqrt(k - 1) with the population standard
    deviation in ``cv_results_``. It is unknown for a single fold. Because folds share training
    rows, it tends to be too small.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from passive_pruner import PassiveVariableRemover
    >>> from passive_pruner.plots import ThresholdDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> remover = PassiveVariableRemover(criterion="explained_variance")
    >>> pipe = make_pipeline(remover, LogisticRegression(max_iter=1000))
    >>> grid = {"passivevariableremover__threshold": [0, 0.1, 0.14]}
    >>> display = ThresholdDisplay.from_estimator(GridSearchCV(pipe, grid, cv=3).fit(X, y))
    >>> [text.get_text() for text in display.counts_]
    ['4', '3', '2']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        thresholds: np.ndarray,
        mean_score: np.ndarray,
        standard_error: np.ndarray,
        *,
        n_kept: Mapping[str, np.ndarray] | None = None,
        n_components: int | None = None,
        best_threshold: float | None = None,
        score_name: str = "score",
    ) -> None:
        self.thresholds = thresholds
        self.mean_score = mean_score
        self.standard_error = standard_error
        self.n_kept = n_kept
        self.n_components = n_components
        self.best_threshold = best_threshold
        self.score_name = score_name

    @classmethod
    def from_estimator(cls, search: Any, *, metric: str | None = None, ax: Any = None) -> Self:
        """Plot the results of a fitted search.

        Parameters
        ----------
        search : GridSearchCV or another search with `cv_results_`
            Fitted search over the threshold of a remover. Other parameters of its grid are fixed at
            their best values. Kept variables are counted only if the search was refitted.
        metric : str, default=None
            Name of the score if there are several. None means the score that the search was
            refitted with.
        ax : Axes or array-like of Axes, default=None
            Axes to plot on; a single one is divided. None creates a new figure.

        Returns
        -------
        display : ThresholdDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If the search is not fitted or not over one threshold.
        """
        if not hasattr(search, "cv_results_"):
            raise ValueError(
                f"{cls.__name__} needs a fitted search with cv_results_, such as GridSearchCV, "
                f"got {type(search).__name__}."
            )
        if metric is None and getattr(search, "multimetric_", False):
            metric = search.refit if isinstance(search.refit, str) else None
        remover = find_parts(search).remover if hasattr(search, "best_estimator_") else None
        name = None if metric else _score_name(search)
        return cls.from_cv_results(
            search.cv_results_,
            remover=remover,
            best_index=getattr(search, "best_index_", None),
            metric=metric,
            score_name=name,
            ax=ax,
        )

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        remover: PassiveVariableRemover | None = None,
        best_index: int | None = None,
        metric: str | None = None,
        score_name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot the `cv_results_` of a search.

        Parameters
        ----------
        cv_results : dict
            The `cv_results_` of a search over the threshold of a remover.
        remover : PassiveVariableRemover, default=None
            Fitted remover, whose moments determine the number of kept variables for each threshold.
            None plots the score only.
        best_index : int, default=None
            Index of the candidate that the search selected. None marks no candidate, and fixes
            other parameters at the values with the highest score.
        metric : str, default=None
            Name of the score if there are several. None means "score", the name of a single one.
        score_name : str, default=None
            Name of the score in the plot. None means `metric`.
        ax : Axes or array-like of Axes, default=None
            Axes to plot on; a single one is divided. None creates a new figure.

        Returns
        -------
        display : ThresholdDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If `cv_results` lacks the metric or does not have exactly one parameter ``threshold``.
        """
        require_matplotlib(f"{cls.__name__}.from_cv_results")
        metric = metric or "score"
        name = threshold_parameter(cv_results)
        mean, error = scores_of(cv_results, metric)
        params = cv_results["params"]
        if best_index is not None:
            check_number(
                best_index, "best_index", Integral, min_val=-len(params), max_val=len(params) - 1
            )
        if remover is not None and not isinstance(remover, PassiveVariableRemover):
            raise TypeError(f"remover must be a PassiveVariableRemover or None, got {remover!r}.")
        chosen = best_index is not None and name in params[best_index]
        has_threshold = np.array([name in p for p in params])
        best = best_index if chosen else highest(np.where(has_threshold, mean, np.nan))
        rows, thresholds = rows_of_best(params, name, best)
        return cls(
            thresholds,
            mean[rows],
            error[rows],
            n_kept=None if remover is None else _count_kept(remover, thresholds),
            n_components=None if remover is None else remover.moments_.n_components,
            best_threshold=float(params[best][name]) if chosen else None,
            score_name=score_name or metric,
        ).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Plot scores and numbers of kept variables.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            Axes to plot on: two, or one without counts. A single one is divided. None creates a new
            figure.

        Returns
        -------
        display : ThresholdDisplay
            The display with its plot.
        """
        n_panels = 1 if self.n_kept is None else 2
        # Thresholds span orders of magnitude and include 0: evenly spaced, each with its value.
        at = np.arange(len(self.thresholds))
        labels = distinct_labels(self.thresholds)
        size = (max(5.0, 1.5 + 0.45 * len(at)), 2.6 * n_panels + 0.4)
        self.axes_ = make_axes(type(self).__name__, ax, n_panels, 1, figsize=size)[:, 0]
        self.figure_ = self.axes_[0].get_figure(root=True)
        self.scores_ = self.axes_[0].errorbar(
            at, self.mean_score, self.standard_error, color=ACCENT, marker="o", capsize=3
        )
        self.axes_[0].set_ylabel(f"cross-validated {self.score_name}\n± standard error")
        self.bars_: dict[str, Any] = {}
        self.counts_: list[Any] = []
        if self.n_kept is not None:
            self._plot_counts(self.axes_[1], at)
        for panel in self.axes_:
            panel.set_xlim(-0.6, len(at) - 0.4)
            panel.set_xticks(at, labels)
            if len(at) > 8:
                panel.tick_params(axis="x", rotation=90)
        for panel in self.axes_[:-1]:
            panel.tick_params(axis="x", labelbottom=False)
        self.axes_[-1].set_xlabel("threshold")
        self._compare(self.axes_[0], at, labels)
        return self

    def _compare(self, ax, at, labels):
        """Shade what the scores cannot tell apart, and mark the fewest variables among it."""
        scores, errors = np.asarray(self.mean_score), np.asarray(self.standard_error)
        self.within_error_ = within_error(scores, errors)
        top = highest(scores)
        error = errors[top]
        self.band_ = None
        if np.isfinite(error):
            limits = scores[top] - error, scores[top]
            self.band_ = ax.axhspan(*limits, color=ACCENT, alpha=0.15, lw=0)
        counts = None if self.n_kept is None else np.sum(list(self.n_kept.values()), axis=0)
        fewest = fewest_within_error(scores, errors, counts, self.thresholds)
        self.fewest_threshold_ = float(self.thresholds[fewest])
        lines, self.best_lines_, self.fewest_lines_ = [], [], []
        if self.best_threshold is not None:
            (best,) = np.flatnonzero(np.asarray(self.thresholds) == self.best_threshold)[:1]
            self.best_lines_ = self._draw_lines(best, ":")
            spread = f" ± {errors[best]:.2g}" if np.isfinite(errors[best]) else ""
            lines.append(
                f"threshold {labels[best]} chosen: {self.score_name} {scores[best]:.4g}{spread}"
            )
        if self.band_ is not None and len(at) > 1:
            lines.append(f"within one standard error of the highest: {self._equal(labels)}")
            lines.append(f"fewest variables of these (dashed): threshold {labels[fewest]}")
            self.fewest_lines_ = self._draw_lines(fewest, "--")
        ax.set_title("\n".join(lines), fontsize="small")

    def _draw_lines(self, at, style):
        return [panel.axvline(at, color="black", ls=style, lw=1, zorder=0) for panel in self.axes_]

    def _equal(self, labels):
        """Name the thresholds of `within_error_`, runs of them as ranges."""
        equal = np.flatnonzero(self.within_error_)
        if len(equal) == len(labels):
            return "all"
        runs = np.split(equal, np.flatnonzero(np.diff(equal) != 1) + 1)
        return ", ".join(
            f"{labels[run[0]]} to {labels[run[-1]]}" if len(run) > 1 else labels[run[0]]
            for run in runs
        )

    def _plot_counts(self, ax, at):
        total = np.zeros(len(at), dtype=int)
        for type_, count in self.n_kept.items():
            if count.any():
                self.bars_[type_] = ax.bar(
                    at, count, bottom=total, width=0.6, color=TYPE_COLORS[type_], label=type_
                )
            total += count
        self.counts_ = [
            ax.annotate(
                str(n),
                (x, n),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                bbox={"fc": "white", "lw": 0, "pad": 1},
            )
            for x, n in zip(at, total, strict=True)
        ]
        ax.set_ylim(0, 1.15 * self.n_components)
        ax.set_ylabel(f"variables kept\nof {self.n_components}")
        ax.legend(
            handles=list(self.bars_.values()),
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=3,
            frameon=False,
            borderaxespad=0,
            fontsize="small",
        )


def distinct_labels(values):
    """Write numbers with as many digits as tell them apart, at least three."""
    for digits in range(3, 18):
        labels = [f"{value:.{digits}g}" for value in values]
        if len(set(labels)) == len(set(values)):
            break
    return labels


def _score_name(search):
    """Name of the single score of a search, as far as it has one."""
    scoring, estimator = getattr(search, "scoring", ""), getattr(search, "estimator", None)
    if isinstance(scoring, str):
        return scoring or "score"
    if scoring is None and is_classifier(estimator):
        return "accuracy"
    return "R²" if scoring is None and is_regressor(estimator) else "score"


def _count_kept(remover, thresholds):
    """Types of the kept variables at each threshold; at 0 nothing is removed."""
    counts = {type_: np.zeros(len(thresholds), dtype=int) for type_ in TYPE_COLORS}
    for i, threshold in enumerate(thresholds):
        types = CRITERIA[remover.criterion_](
            remover.moments_, threshold, alpha=remover.alpha_, drop=remover.drop_
        )
        kept = is_kept(types, threshold, remover.drop_)
        for type_, count in counts.items():
            count[i] = np.sum(types[kept] == type_)
    return counts
