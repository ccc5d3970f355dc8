"""Which variables are active, mixed or passive, and how far from the threshold they are."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from passive_pruner._common._typing import MatrixLike
from passive_pruner.plots._checks import check_names, check_types
from passive_pruner.plots._inputs import find_evidence, rule_of
from passive_pruner.plots._labels import label_points
from passive_pruner.plots._style import (
    TYPE_COLORS,
    TYPE_MARKERS,
    color_by_type,
    make_axes,
    require_matplotlib,
    type_legend,
)
from passive_pruner.regime import CRITERIA, LatentMoments
from passive_pruner.regime._criteria import ACTIVE, MIXED, PASSIVE
from passive_pruner.regime._units import in_prior_units

# Most bars that have room for names, and the width of a figure that holds them, in inches.
_MAX_NAMES, _MAX_WIDTH = 64, 16.0


class VariableTypesDisplay:
    """Types of the latent variables, with the evidence for them.

    Create it with :meth:`from_estimator` or :meth:`from_moments`.

    Parameters
    ----------
    moments : LatentMoments
        Moments of the posterior.
    types : array-like of shape (n_components,), str
        "active", "mixed", "passive", "negligible" or "undecided" for every variable.
    criterion : str
        Rule that determined the types, a name in :data:`passive_pruner.regime.CRITERIA`.
    threshold : float
        Its threshold.
    names : list of str, default=None
        Names of the variables. By default they are numbered from 0.

    Attributes
    ----------
    ax_ : Axes
        Axes of the plot.
    figure_ : Figure
        Figure that contains the axes.
    points_ : dict of str to PathCollection
        Points of each type; only for ``kind="scatter"``.
    labels_ : list of Text
        Names beside the points, or below the bars if there are at most 64. Points of one type that
        are close together share a label, such as "3-5, 8" or "12 passive".
    regions_ : dict of str to Rectangle
        Shaded region of each type. Empty if the criterion does not use the shown statistics.
    bars_ : BarContainer
        Bars, starting with the least collapsed variable; only for ``kind="bar"``.
    threshold_line_ : Line2D or None
        Line at the threshold, if the shown statistic alone determines the types; only for
        ``kind="bar"``.
    legend_ : Legend
        Legend of the types, with their numbers of variables.

    See Also
    --------
    passive_pruner.regime.report : Return the same statistics as a table.

    Notes
    -----
    Regions follow the rule [1]_ on the posterior variance s2: passive where Var(s2) < t and
    abs(E[s2] - 1) <= t, active where Var(s2) < t and E[s2] <= t, mixed elsewhere. Under
    "active_units" the region of passive variables is E[s2] >= 1 - t, which is equivalent to Var(mu)
    <= t at a stationary point of the objective: a variable whose colour differs from its region has
    not converged. Other criteria have no regions. Bars of E[s2] also show the regions of
    "variance"; bars that end between them, and all bars with Var(s2) >= t, are mixed.

    References
    ----------
    .. [1] L. Bonheme and M. Grzes, "Be More Active! Understanding the Differences between Mean
       and Sampled Representations of Variational Autoencoders", JMLR 2023, arXiv:2109.12679.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.plots import VariableTypesDisplay
    >>> from passive_pruner.regime import LatentMoments
    >>> posterior, _ = make_posterior(["active", "mixed", "passive"], random_state=0)
    >>> display = VariableTypesDisplay.from_moments(LatentMoments.from_batch(*posterior))
    >>> [text.get_text() for text in display.legend_.get_texts()]
    ['active (1)', 'mixed (1)', 'passive (1)']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        moments: LatentMoments,
        types: ArrayLike,
        *,
        criterion: str,
        threshold: float,
        names: Sequence[str] | None = None,
    ) -> None:
        self.moments = moments
        self.types = types
        self.criterion = criterion
        self.threshold = threshold
        self.names = names

    @classmethod
    def from_moments(
        cls,
        moments: LatentMoments,
        *,
        criterion: str = "variance",
        threshold: float | None = None,
        names: Sequence[str] | None = None,
        kind: Literal["scatter", "bar"] = "scatter",
        ax: Any = None,
    ) -> Self:
        """Determine and plot the types of the variables.

        Parameters
        ----------
        moments : LatentMoments
            Moments of the posterior.
        criterion : str, default="variance"
            Rule that determines the types.
        threshold : float, default=None
            Threshold of the rule. None means 0.01 under "explained_variance" and 0.1 under others.
        names : list of str, default=None
            Names of the variables. By default they are numbered from 0.
        kind : {"scatter", "bar"}, default="scatter"
            See :meth:`plot`.
        ax : Axes, default=None
            Axes to plot on. None creates a new figure.

        Returns
        -------
        display : VariableTypesDisplay
            The display with its plot.
        """
        require_matplotlib(f"{cls.__name__}.from_moments")
        criterion, threshold = rule_of(None, criterion, threshold)
        types = CRITERIA[criterion](moments, threshold)
        display = cls(moments, types, criterion=criterion, threshold=threshold, names=names)
        return display.plot(kind=kind, ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike | None = None,
        *,
        criterion: str | None = None,
        threshold: float | None = None,
        kind: Literal["scatter", "bar"] = "scatter",
        ax: Any = None,
    ) -> Self:
        """Plot the types of the variables of a fitted encoder.

        Parameters
        ----------
        estimator : encoder, Pipeline, or PassiveVariableRemover
            Fitted estimator. Of a search the best estimator is used.
        X : array-like of shape (n_samples, n_features), default=None
            Data in the format of the estimator. None plots the moments that the remover was fitted
            on.
        criterion : str, default=None
            Rule that determines the types. None means the criterion of the remover, or "variance"
            without a remover.
        threshold : float, default=None
            Threshold of the rule. None means the threshold of the remover, or the default of the
            criterion without a remover or for another criterion.
        kind : {"scatter", "bar"}, default="scatter"
            See :meth:`plot`.
        ax : Axes, default=None
            Axes to plot on. None creates a new figure.

        Returns
        -------
        display : VariableTypesDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If `X` is given and there is no encoder, or if `X` is None and there is no remover.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        moments, types, criterion, threshold, names, _ = find_evidence(
            cls.__name__, estimator, X, criterion, threshold
        )
        display = cls(moments, types, criterion=criterion, threshold=threshold, names=names)
        return display.plot(kind=kind, ax=ax)

    def plot(
        self,
        *,
        kind: Literal["scatter", "bar"] = "scatter",
        statistic: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot the types and the evidence for them.

        Parameters
        ----------
        kind : {"scatter", "bar"}, default="scatter"
            "scatter" plots the mean of the posterior variance s2 against its variance, with one
            point per variable. "bar" plots one statistic in sorted order.
        statistic : str, default=None
            Statistic of the bars: "variance_of_mean", "mean_of_variance", "kl", "entropy_power" or
            "explained_variance_ratio". None means the statistic that the criterion compares with
            its threshold.
        ax : Axes, default=None
            Axes to plot on. None creates a new figure.

        Returns
        -------
        display : VariableTypesDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If `kind` or `statistic` is unknown, or the moments lack the statistic.
        """
        statistic = statistic or CRITERIA[self.criterion].statistic
        known = {criterion.statistic: criterion for criterion in CRITERIA.values()}
        if kind not in ("scatter", "bar") or statistic not in known:
            raise ValueError(
                f"kind must be 'scatter' or 'bar' and statistic one of {list(known)}, got "
                f"{kind!r} and {statistic!r}."
            )
        if not self.moments.has_variance and (
            kind == "scatter" or known[statistic].reads_variances
        ):
            raise ValueError(
                "These moments have no posterior variances. Pass X, for the encoder to give them, "
                "or draw kind='bar' with statistic='variance_of_mean'."
            )
        n = self.moments.n_components
        check_types(self.types, n)
        check_names(self.names, n)
        size = (7.0, 5.2) if kind == "scatter" else (np.clip(1.5 + 0.25 * n, 6.5, _MAX_WIDTH), 3.6)
        self.ax_ = make_axes(type(self).__name__, ax, figsize=size)[0, 0]
        self.figure_ = self.ax_.get_figure(root=True)
        self.ax_.set_title(
            f"Latent variables by {self.criterion}, threshold {self.threshold:g}",
            loc="left" if kind == "bar" else "center",
            fontsize="medium",
        )
        if kind == "scatter":
            self._scatter()
        else:
            self._bar(known[statistic])
        return self

    def _scatter(self):
        ax, types, t = self.ax_, np.asarray(self.types), self.threshold
        moments = in_prior_units(self.moments)
        x, y = moments.mean_of_variance, moments.variance_of_variance
        # The types differ by orders of magnitude in Var(s2). Zero has no place on that scale and
        # is drawn at its lower end.
        lowest = min([t or 1.0, *y[y > 0]]) / 3
        y = np.maximum(y, lowest)
        right = max(1.05 + t, 1.05 * x.max())
        ax.set(
            xlim=(-0.05, right),
            ylim=(lowest / 1.5, max(3 * t, 3 * y.max())),
            yscale="log",
            xlabel="mean of the posterior variance, E[s2]",
            ylabel="variance of the posterior variance, Var(s2)",
        )
        self._shade(*ax.get_xlim(), *ax.get_ylim())
        self.points_ = {
            type_: ax.scatter(
                x[types == type_],
                y[types == type_],
                color=color,
                marker=TYPE_MARKERS[type_],
                edgecolors="white",
                linewidths=0.5,
                s=26,
                zorder=3,
            )
            for type_, color in TYPE_COLORS.items()
            if (types == type_).any()
        }
        self.legend_ = type_legend(
            ax, types, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False
        )
        self.labels_ = label_points(ax, x, y, self._names(), types)

    def _shade(self, left, right, bottom, top):
        t = self.threshold
        boxes = {}  # type -> left, right, bottom, top; mixed is what lies under the others
        if self.criterion == "variance":
            boxes[MIXED] = (left, right, bottom, top)
            boxes[ACTIVE] = (left, t, bottom, t)
            boxes[PASSIVE] = (1 - t, 1 + t, bottom, t)
        elif self.criterion == "active_units":
            boxes[ACTIVE] = (left, 1 - t, bottom, top)
            boxes[PASSIVE] = (1 - t, right, bottom, top)
        self._add_regions(boxes)

    def _add_regions(self, boxes):
        from matplotlib.colors import to_rgb
        from matplotlib.patches import Rectangle

        self.regions_ = {}
        for type_, (x0, x1, y0, y1) in boxes.items():
            if x0 < x1 and y0 < y1:
                # Mixed with white, not transparent: the region below must not shine through.
                color = 0.85 + 0.15 * np.array(to_rgb(TYPE_COLORS[type_]))
                patch = Rectangle((x0, y0), x1 - x0, y1 - y0, color=color, lw=0, zorder=0.5)
                self.regions_[type_] = self.ax_.add_patch(patch)

    def _bar(self, shown):
        ax, types, t = self.ax_, np.asarray(self.types), self.threshold
        values = getattr(shown.read(self.moments), shown.statistic)
        n = len(values)
        order = np.argsort(-np.abs(values - shown.collapsed), kind="stable")
        self.bars_ = ax.bar(range(n), values[order], color=[TYPE_COLORS[k] for k in types[order]])
        if n <= _MAX_NAMES:
            names = self._names()
            small = {"fontsize": "small", "rotation": 90} if n > _MAX_NAMES / 2 else {}
            ax.set_xticks(range(n), [names[j] for j in order], **small)
            self.labels_ = ax.get_xticklabels()
            color_by_type(self.labels_, types[order])
        else:
            ax.set_xticks([])
            self.labels_ = []
        label = f"{shown.title} ({shown.unit})" if shown.unit else shown.title
        symbol = shown.statistics[shown.statistic]
        variables = "latent variable" if n <= _MAX_NAMES else f"{n} latent variables"
        ax.set(xlabel=variables, ylabel=label if symbol in label else f"{label}, {symbol}")
        ax.set_xlim(-0.7, n - 0.3)
        side = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0, "ncols": 3}
        self.legend_ = type_legend(ax, types, marker="s", frameon=False, fontsize="small", **side)
        self.threshold_line_ = None
        boxes = {}
        decides = CRITERIA[self.criterion]
        if decides.statistic == shown.statistic and len(decides.statistics) == 1:
            self.threshold_line_ = ax.axhline(shown.collapsed + t, color="black", lw=1, ls="--")
        elif self.criterion == "variance" and shown.statistic == "mean_of_variance":
            boxes[MIXED] = (-0.7, n - 0.3, *ax.set_ylim(0, max(1.05 + t, 1.05 * values.max())))
            boxes[ACTIVE] = (-0.7, n - 0.3, 0, t)
            boxes[PASSIVE] = (-0.7, n - 0.3, 1 - t, 1 + t)
        self._add_regions(boxes)

    def _names(self):
        return check_names(self.names, self.moments.n_components)
