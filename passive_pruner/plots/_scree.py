"""How much every latent variable explains."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from passive_pruner._common._typing import MatrixLike
from passive_pruner.plots._checks import check_names, check_types, check_vector
from passive_pruner.plots._inputs import Evidence, find_encoder, find_evidence, variable_names
from passive_pruner.plots._style import (
    ACCENT,
    TYPE_COLORS,
    color_by_type,
    make_axes,
    require_matplotlib,
    type_legend,
)
from passive_pruner.regime._criteria import ACTIVE, CRITERIA, PASSIVE

# Most bars that have room for names, and the width of a figure that holds them, in inches.
_MAX_NAMES, _MAX_WIDTH = 64, 16.0


class ScreeDisplay:
    """Share of the decoded variance that every latent variable explains, in descending order.

    A very small bar in the colour of active variables belongs to a negligible variable: the encoder
    uses it, but the decoded rows would be nearly the same without it.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    explained_variance_ratio : array-like of shape (n_components,)
        Share of the decoded variance that every variable explains.
    types : array-like of shape (n_components,), str
        Type of every variable.
    names : list of str, default=None
        Names of the variables. By default they are numbered from 0.
    threshold : float, default=None
        Share that is marked by a line. None draws no line.

    Attributes
    ----------
    ax_ : Axes
        Axes of the plot.
    figure_ : Figure
        Figure that contains the axes.
    order_ : ndarray of shape (n_components,), int
        Variables in descending order of their shares.
    bars_ : BarContainer
        Bars of the shares in that order, in the colours of the types.
    cumulative_line_ : Line2D
        Cumulative sum of the shares. It need not end at 1: with a nonlinear decoder, variables can
        explain more or less together than the sum of their shares.
    threshold_line_ : Line2D or None
        Line at the threshold.
    labels_ : list of Text
        Names below the bars, if there are at most 64 bars.
    legend_ : Legend
        Legend of the types, with their numbers of variables.

    See Also
    --------
    VariableTypesDisplay : Plot the evidence for the types.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.plots import ScreeDisplay
    >>> encoder = VAEEncoder(n_components=4, max_steps=300, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), encoder).fit(load_wine().data)
    >>> display = ScreeDisplay.from_estimator(pipe)
    >>> heights = [bar.get_height() for bar in display.bars_]
    >>> heights == sorted(encoder.explained_variance_ratio_, reverse=True)
    True
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        explained_variance_ratio: ArrayLike,
        types: ArrayLike,
        *,
        names: Sequence[str] | None = None,
        threshold: float | None = None,
    ) -> None:
        self.explained_variance_ratio = explained_variance_ratio
        self.types = types
        self.names = names
        self.threshold = threshold

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike | None = None,
        *,
        criterion: str | None = None,
        threshold: float | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot the shares that the variables of a fitted encoder explain.

        Parameters
        ----------
        estimator : VAEEncoder or Pipeline
            Fitted estimator. Of a search the best estimator is used.
        X : array-like of shape (n_samples, n_features), default=None
            Data from which the types are determined. None means the types of the remover or,
            without a remover, those of "active_units" with threshold 0.1 for the variances in
            `history_`.
        criterion : str, default=None
            Rule that determines the types. None means the criterion of the remover, or "variance"
            without a remover.
        threshold : float, default=None
            Threshold of the rule. None means the threshold of the remover, or the default of the
            criterion without a remover or for another criterion.
        ax : Axes, default=None
            Axes to plot on. None creates a new figure.

        Returns
        -------
        display : ScreeDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If there is no encoder with `explained_variance_ratio_`.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        encoder, remover, *_ = find_encoder(
            cls.__name__, estimator, needs="explained_variance_ratio_"
        )
        line = None
        if X is None and remover is None and criterion is None:
            best = next(r for r in encoder.history_ if r["epoch"] == encoder.best_epoch_)
            types = np.where(
                best["variance_of_mean"] > CRITERIA["active_units"].threshold, ACTIVE, PASSIVE
            )
        else:
            found: Evidence = find_evidence(cls.__name__, estimator, X, criterion, threshold)
            types = found.types
            line = found.threshold if found.criterion == "explained_variance" else None
        display = cls(
            encoder.explained_variance_ratio_,
            types,
            names=variable_names(encoder),
            threshold=line,
        )
        return display.plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Plot the explained shares.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to plot on. None creates a new figure.

        Returns
        -------
        display : ScreeDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If shares, types and names differ in length, or a share is not finite.
        """
        share = check_vector(self.explained_variance_ratio, "explained_variance_ratio")
        n = len(share)
        types = check_types(self.types, n)
        names = check_names(self.names, n)
        size = (np.clip(1.5 + 0.25 * n, 6.5, _MAX_WIDTH), 3.6)
        self.ax_ = ax = make_axes(type(self).__name__, ax, figsize=size)[0, 0]
        self.figure_ = ax.get_figure(root=True)
        self.order_ = order = np.argsort(-share, kind="stable")
        colors = [TYPE_COLORS[type_] for type_ in types[order]]
        self.bars_ = ax.bar(range(n), share[order], color=colors)
        (self.cumulative_line_,) = ax.plot(
            range(n), np.cumsum(share[order]), color=ACCENT, marker=".", label="cumulative"
        )
        self.threshold_line_ = None
        if self.threshold is not None:
            self.threshold_line_ = ax.axhline(self.threshold, color="black", lw=1, ls="--")
        if n <= _MAX_NAMES:
            small = {"fontsize": "small", "rotation": 90} if n > _MAX_NAMES / 2 else {}
            ax.set_xticks(range(n), [names[j] for j in order], **small)
            self.labels_ = ax.get_xticklabels()
            color_by_type(self.labels_, types[order])
        else:
            ax.set_xticks([])
            self.labels_ = []
        variables = "latent variable" if n <= _MAX_NAMES else f"{n} latent variables"
        ax.set(xlabel=variables, ylabel="share of the decoded\nvariance, and its sum")
        ax.set_xlim(-0.7, n - 0.3)
        ax.set_ylim(bottom=0)
        self.legend_ = type_legend(
            ax, types, marker="s", frameon=False, fontsize="small", loc="center right"
        )
        return self
