"""How the ELBO and the latent variables develop during training."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from passive_pruner.plots._checks import check_names
from passive_pruner.plots._inputs import find_encoder, variable_names
from passive_pruner.plots._labels import shared_label
from passive_pruner.plots._style import (
    ACCENT,
    TYPE_COLORS,
    make_axes,
    require_matplotlib,
    type_legend,
)
from passive_pruner.regime import CRITERIA

# Least distance of two names at the ends of lines, as a share of the height of the panel.
_NAME_HEIGHT = 0.06

_STATISTICS = {
    "mean_of_variance": "mean posterior variance",
    "variance_of_mean": "variance of the mean",
}


class TrainingDisplay:
    """ELBO, KL divergence and statistics of latent variables after every epoch.

    Create it with :meth:`from_estimator`. All values are those of `history_`, measured on held-out
    rows, or on training rows without early stopping.

    Parameters
    ----------
    history : list of dict
        One record per epoch, as the `history_` of :class:`passive_pruner.VAEEncoder`.
    best_epoch : int, default=None
        Epoch of the record whose weights are the fitted model. None means the last one.
    names : list of str, default=None
        Names of the variables. By default they are numbered from 0.

    Attributes
    ----------
    axes_ : ndarray of shape (4,) of Axes
        Axes of the ELBO, of the KL divergence, of the number of active variables and of variances,
        with a common epoch axis.
    figure_ : Figure
        Figure that contains the axes.
    lines_ : dict of str to Line2D
        Lines of "elbo", "reconstruction", "kl" and "n_active", and of "objective" if it is not the
        negative ELBO. Objective and reconstruction, which are minimised, are plotted with the
        opposite sign, so that the ELBO is the plotted reconstruction minus the KL divergence.
    variable_lines_ : list of Line2D
        One line per variable, in the colour of its type in the fitted model.
    labels_ : list of Annotation
        Names at the ends of these lines; lines that end close together share a label.
    best_lines_ : list of Line2D
        Lines at the epoch that is the fitted model.
    legend_ : Legend
        Legend of the types in the fitted model, with their numbers of variables.

    Notes
    -----
    Early stopping compares the objective with the full weight of the regulariser, which is the
    negative ELBO for the default objective. It restores the weights of the best epoch, so later
    epochs have no influence on the fitted model.

    A variable is active if the variance of its mean is above 0.1, otherwise passive, as for
    "n_active" of `history_`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.plots import TrainingDisplay
    >>> encoder = VAEEncoder(n_components=4, max_steps=300, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), encoder).fit(load_wine().data)
    >>> display = TrainingDisplay.from_estimator(pipe)
    >>> display.lines_["kl"].get_xdata().tolist()[:3]  # 0 is the start
    [0, 1, 2]
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        history: Sequence[Mapping[str, Any]],
        *,
        best_epoch: int | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.history = history
        self.best_epoch = best_epoch
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, statistic: str = "mean_of_variance", ax: Any = None
    ) -> Self:
        """Plot the training of a fitted encoder.

        Parameters
        ----------
        estimator : VAEEncoder or Pipeline
            Fitted estimator. Of a search the best estimator is used.
        statistic : {"mean_of_variance", "variance_of_mean"}, default="mean_of_variance"
            Statistic of the variables that is shown, see :meth:`plot`.
        ax : Axes or array-like of four Axes, default=None
            Axes to plot on; a single one is divided. None creates a new figure.

        Returns
        -------
        display : TrainingDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If there is no encoder with `history_`.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        encoder = find_encoder(cls.__name__, estimator, needs="history_").encoder
        display = cls(
            encoder.history_, best_epoch=encoder.best_epoch_, names=variable_names(encoder)
        )
        return display.plot(statistic=statistic, ax=ax)

    def plot(self, *, statistic: str = "mean_of_variance", ax: Any = None) -> Self:
        """Plot the history of training.

        Parameters
        ----------
        statistic : {"mean_of_variance", "variance_of_mean"}, default="mean_of_variance"
            Statistic that is shown of every variable: the mean of its posterior variance, which
            tends to 0 for active and to 1 for passive variables, or the variance of its mean, which
            tends to 1 and 0.
        ax : Axes or array-like of four Axes, default=None
            Axes to plot on; a single one is divided. None creates a new figure.

        Returns
        -------
        display : TrainingDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If `statistic` is unknown, or `best_epoch` is not one of the epochs.
        """
        if not isinstance(statistic, str) or statistic not in _STATISTICS:
            raise ValueError(f"statistic must be one of {list(_STATISTICS)}, got {statistic!r}.")
        if not len(self.history):
            raise ValueError("history must have at least one record, as that of a fitted encoder.")
        axes = make_axes(type(self).__name__, ax, 2, 2, figsize=(8.5, 5.6))
        self.axes_ = axes.ravel()
        self.figure_ = self.axes_[0].get_figure(root=True)
        epochs = self._epochs()
        best = len(epochs) - 1
        if self.best_epoch is not None:
            if self.best_epoch not in epochs:
                raise ValueError(
                    f"best_epoch must be one of the epochs of history, {epochs[0]} to "
                    f"{epochs[-1]}, got {self.best_epoch!r}."
                )
            best = int(np.flatnonzero(epochs == self.best_epoch)[0])
        n = len(self.history[0]["variance_of_mean"])
        series = {
            key: np.array([record[key] for record in self.history])
            for key in ("elbo", "reconstruction", "objective", "kl")
        }
        series["reconstruction"] = -series["reconstruction"]
        series["objective"] = -series["objective"]
        is_active = np.array(
            [
                record["variance_of_mean"] > CRITERIA["active_units"].threshold
                for record in self.history
            ]
        )
        # Counted here and not read: records of a pruned encoder count what it had before.
        series["n_active"] = is_active.sum(axis=1)
        marker = "o" if len(epochs) == 1 else None  # a single epoch draws no line
        elbo, kl, counts, variables = self.axes_
        self.lines_ = {}
        labels = {"elbo": "ELBO", "reconstruction": "log-likelihood", "objective": "-objective"}
        is_elbo = np.allclose(series["objective"], series["elbo"], rtol=1e-5, atol=1e-5)
        for key, panel, style in (
            ("elbo", elbo, {"color": "black"}),
            ("reconstruction", elbo, {"color": "0.5", "ls": "--"}),
            ("objective", elbo, {"color": ACCENT}),
            ("kl", kl, {"color": "black"}),
            ("n_active", counts, {"color": TYPE_COLORS["active"], "drawstyle": "steps-mid"}),
        ):
            if not (key == "objective" and is_elbo):
                (self.lines_[key],) = panel.plot(
                    epochs, series[key], marker=marker, label=labels.get(key), **style
                )
        for panel, title in (
            (elbo, "ELBO (nats per row)"),
            (kl, "KL divergence (nats per row)"),
            (counts, "active variables"),
            (variables, _STATISTICS[statistic]),
        ):
            panel.set_title(title, fontsize="medium")
        counts.set_ylim(0, n + 0.5)
        counts.yaxis.get_major_locator().set_params(integer=True)
        types = np.where(is_active[best], "active", "passive")
        self._plot_variables(variables, epochs, statistic, types, marker)
        self.best_lines_ = []
        margin = 0.03 * (epochs[-1] - epochs[0] or 1)
        for panel in self.axes_:
            style = {"color": "black", "ls": ":", "lw": 1, "zorder": 0}
            self.best_lines_.append(panel.axvline(epochs[best], label="fitted model", **style))
            panel.set_xlabel("epoch" if panel in self.axes_[2:] else "")
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.set_xlim(epochs[0] - margin, epochs[-1] + margin)
        elbo.legend(fontsize="small")
        return self

    def _epochs(self):
        """Numbers of the epochs; places, where these start anew with every call of fit."""
        epochs = np.array([record["epoch"] for record in self.history])
        return epochs if (np.diff(epochs) > 0).all() else np.arange(1, len(epochs) + 1)

    def _plot_variables(self, ax, epochs, statistic, types, marker):
        values = np.array([record[statistic] for record in self.history])
        names = check_names(self.names, len(types))
        self.variable_lines_, self.labels_ = [], []
        for j, type_ in enumerate(types):
            self.variable_lines_ += ax.plot(
                epochs, values[:, j], color=TYPE_COLORS[type_], lw=1, alpha=0.8, marker=marker
            )
        bottom, top = ax.get_ylim()
        least = _NAME_HEIGHT * (top - bottom)
        height = -np.inf
        for crowd in _neighbours(values[-1], types, least / 2):
            height = max(height + least, values[-1, crowd].mean())
            self.labels_.append(
                ax.annotate(
                    shared_label([names[j] for j in crowd], types[crowd[0]]),
                    (1, height),
                    xycoords=("axes fraction", "data"),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                    color=TYPE_COLORS[types[crowd[0]]],
                )
            )
        self.legend_ = type_legend(
            ax,
            types,
            marker="s",
            fontsize="small",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
            ncols=2,
            frameon=False,
        )


def _neighbours(values, types, distance):
    """Variables of one type whose values follow each other closely, from the lowest group up."""
    groups = []
    for type_ in np.unique(types):
        order = np.flatnonzero(types == type_)
        order = order[np.argsort(values[order], kind="stable")]
        groups += np.split(order, np.flatnonzero(np.diff(values[order]) > distance) + 1)
    return sorted(groups, key=lambda group: values[group].mean())
