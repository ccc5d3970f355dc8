"""How correlated the latent variables are in mean and in sampled codes."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from passive_pruner._common._typing import MatrixLike
from passive_pruner._common._validation import explain_numbers
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.plots._checks import check_names, check_types
from passive_pruner.plots._inputs import find_evidence, rule_of
from passive_pruner.plots._style import (
    TYPE_COLORS,
    color_by_type,
    make_axes,
    order_by_type,
    require_matplotlib,
)
from passive_pruner.regime import CRITERIA, LatentMoments
from passive_pruner.regime._moments import check_moments

# More names than this would overlap under a panel of 4 inches.
_MAX_NAMES = 40


class CorrelationDisplay:
    """Correlation matrices of mean and of sampled codes, ordered by type.

    Create it with :meth:`from_estimator` or :meth:`from_moments`. In mean codes passive variables
    correlate with the others, in sampled codes they do not [1]_.

    Parameters
    ----------
    mean_correlation, sampled_correlation : ndarray of shape (n_components, n_components)
        Correlation matrices, with the variables in their original order.
    types : array-like of shape (n_components,), str
        "active", "mixed" or "passive" for every variable.
    names : list of str, default=None
        Names of the variables. By default they are numbered from 0.

    Attributes
    ----------
    axes_ : ndarray of shape (2,) of Axes
        Axes of the mean and of the sampled codes.
    figure_ : Figure
        Figure that contains the axes.
    images_ : list of AxesImage
        The two matrices.
    brackets_ : list of list of Line2D
        Lines beside every type, for both axes.
    order_ : ndarray of shape (n_components,), int
        Numbers of the variables in the order of rows and columns.
    colorbar_ : Colorbar
        Common colour scale.

    Notes
    -----
    With the reliability r = Var(mu) / (Var(mu) + E[s2]), the correlation of sampled codes is that
    of mean codes times sqrt(r_i r_j): no sample is drawn, see
    :class:`passive_pruner.regime.LatentMoments`. The total correlation in the titles is that of
    a Gaussian with this correlation matrix, in nats.

    References
    ----------
    .. [1] L. Bonheme and M. Grzes, "Be More Active! Understanding the Differences between Mean
       and Sampled Representations of Variational Autoencoders", JMLR 2023, arXiv:2109.12679.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from passive_pruner.datasets import make_posterior
    >>> from passive_pruner.plots import CorrelationDisplay
    >>> from passive_pruner.regime import LatentMoments
    >>> posterior, _ = make_posterior(["passive", "active", "active"], random_state=0)
    >>> display = CorrelationDisplay.from_moments(LatentMoments.from_batch(*posterior))
    >>> display.order_
    array([1, 2, 0])
    >>> [abs(image.get_array()[2]).round(1).tolist() for image in display.images_]
    [[0.7, 0.5, 1.0], [0.0, 0.0, 1.0]]
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        mean_correlation: np.ndarray,
        sampled_correlation: np.ndarray,
        types: ArrayLike,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        self.mean_correlation = mean_correlation
        self.sampled_correlation = sampled_correlation
        self.types = types
        self.names = names

    @classmethod
    def from_moments(
        cls,
        moments: LatentMoments,
        *,
        types: ArrayLike | None = None,
        criterion: str = "variance",
        threshold: float | None = None,
        names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the correlations from moments and draw them.

        Parameters
        ----------
        moments : LatentMoments
            Moments of mean codes, with variances.
        types : array-like of shape (n_components,), str, default=None
            Types of the variables. By default they are determined by `criterion`.
        criterion : str, default="variance"
            Rule that determines the types.
        threshold : float, default=None
            Threshold of the rule. None means 0.01 under "explained_variance" and 0.1 under others.
        names : list of str, default=None
            Names of the variables. By default they are numbered from 0.
        **kwargs : dict
            Keyword arguments of :meth:`plot`.

        Returns
        -------
        display : CorrelationDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If the moments are those of sampled codes or have no variances.
        """
        require_matplotlib(f"{cls.__name__}.from_moments")
        check_moments(moments)
        if moments.sampled or not moments.has_variance:
            raise ValueError(
                f"{cls.__name__} needs moments of mean codes with variances, got those of "
                f"{'sampled' if moments.sampled else 'mean'} codes "
                f"{'with' if moments.has_variance else 'without'} variances. Pass an encoder and X."
            )
        if types is None:
            criterion, threshold = rule_of(None, criterion, threshold)
            types = CRITERIA[criterion](moments, threshold)
        display = cls(moments.mean_correlation, moments.sampled_correlation, types, names=names)
        return display.plot(**kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike | None = None,
        *,
        criterion: str | None = None,
        threshold: float | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the correlations of the codes of a fitted encoder.

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
        **kwargs : dict
            Keyword arguments of :meth:`plot`.

        Returns
        -------
        display : CorrelationDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If `X` is given and there is no encoder, or if `X` is None and the remover was not
            fitted on mean codes with variances.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        found = find_evidence(cls.__name__, estimator, X, criterion, threshold)
        return cls.from_moments(found.moments, types=found.types, names=found.names, **kwargs)

    def plot(self, *, absolute: bool = False, ax: Any = None) -> Self:
        """Plot the two correlation matrices.

        Parameters
        ----------
        absolute : bool, default=False
            Whether to show absolute correlations instead of signed ones.
        ax : Axes or array-like of two Axes, default=None
            Axes to plot on; a single one is divided. None creates a new figure.

        Returns
        -------
        display : CorrelationDisplay
            The display with its plot.
        """
        given = (self.mean_correlation, self.sampled_correlation)
        with explain_numbers(given, "mean_correlation, sampled_correlation", "square matrices"):
            matrices = [np.asarray(m) for m in given]
        types = check_types(self.types, len(matrices[0]))
        names = np.array(check_names(self.names, len(types)))
        if any(matrix.shape != (len(types), len(types)) for matrix in matrices):
            raise ValueError(
                "mean_correlation and sampled_correlation must be square and of one size, got "
                f"shapes {matrices[0].shape} and {matrices[1].shape}."
            )
        size = float(np.clip(0.16 * len(types), 3.4, 7))
        axes = make_axes(type(self).__name__, ax, 1, 2, figsize=(2 * size + 1.6, size + 0.6))
        self.axes_ = axes[0]
        self.figure_ = self.axes_[0].get_figure(root=True)
        self.order_ = order_by_type(types)
        scale = {"vmin": 0, "vmax": 1, "cmap": "Blues"} if absolute else {"cmap": "RdBu_r"}
        self.images_, self.brackets_ = [], []
        for panel, matrix, kind in zip(
            self.axes_,
            matrices,
            ("mean", "sampled"),
            strict=True,
        ):
            shown = matrix[np.ix_(self.order_, self.order_)]
            shown = np.abs(shown) if absolute else shown
            self.images_.append(panel.imshow(shown, **{"vmin": -1, "vmax": 1, **scale}))
            total = gaussian_total_correlation(matrix)
            # Infinite where a code is a linear function of others, as with many passive variables.
            text = f"{total:.2f} nats" if np.isfinite(total) else "infinite"
            panel.set_title(f"{kind} codes\ntotal correlation {text}", fontsize="medium")
            if len(types) <= _MAX_NAMES:
                ticks, labels = range(len(types)), names[self.order_]
                small = {"fontsize": 8 if len(types) <= 16 else 6}
                panel.set_xticks(ticks, labels, rotation=90, **small)
                panel.set_yticks(ticks, labels, **small)
                color_by_type(panel.get_xticklabels(), types[self.order_])
                color_by_type(panel.get_yticklabels(), types[self.order_])
            else:
                panel.set(xticks=[], yticks=[])
            panel.tick_params(length=0)
            self.brackets_.append(_brackets(panel, types[self.order_], first=kind == "mean"))
        self.colorbar_ = self.figure_.colorbar(
            self.images_[0],
            ax=list(self.axes_),
            label="absolute correlation" if absolute else "correlation",
            shrink=0.8,
        )
        return self


def _brackets(ax, types, *, first):
    """Lines along the left and lower edge of the blocks of each type; named at the left."""
    lines = []
    height = 72 * ax.get_figure(root=True).get_figheight() * ax.get_position().height / len(types)
    lowest = -np.inf  # where the last name ended, in rows
    for type_, color in TYPE_COLORS.items():
        inside = np.flatnonzero(types == type_)
        if not len(inside):
            continue
        ends = np.array([inside[0] - 0.45, inside[-1] + 0.45])
        style = {"color": color, "lw": 4, "solid_capstyle": "butt", "clip_on": False}
        lines += ax.plot([-0.5, -0.5], ends, **style)
        lines += ax.plot(ends, [len(types) - 0.5] * 2, **style)
        if inside[-1] < len(types) - 1:
            for draw in (ax.axhline, ax.axvline):
                draw(inside[-1] + 0.5, color="black", lw=0.6)
        if first:
            # Along the block where it is long enough, else across, below the name above it.
            length = 6 * len(type_)
            along = np.ptp(ends) * height > length
            half = (length if along else 12) / 2 / height
            middle = max(ends.mean(), lowest + half)
            lowest = middle + half
            ax.annotate(
                type_,
                (0, middle),
                xycoords=("axes fraction", "data"),
                xytext=(-26, 0),
                textcoords="offset points",
                rotation=90 if along else 0,
                ha="right",
                va="center",
                color=color,
                fontsize=9,
            )
    ax.set_xlim(-0.5, len(types) - 0.5)
    ax.set_ylim(len(types) - 0.5, -0.5)
    return lines
