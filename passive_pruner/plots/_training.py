"""How the objective and the latent variables develop during training."""

import numpy as np

from passive_pruner.plots._inputs import find_encoder, variable_names
from passive_pruner.plots._style import TYPE_COLORS, make_axes, require_matplotlib, type_legend

_STATISTICS = {
    "mean_of_variance": "mean posterior variance",
    "variance_of_mean": "variance of the mean",
}


class TrainingDisplay:
    """Reconstruction, KL divergence and latent variables after every epoch of training.

    Make it with :meth:`from_estimator`. All numbers are those of `history_`: measured on held-out
    rows, or without early stopping on training rows.

    Parameters
    ----------
    history : list of dict
        One record per epoch, as the `history_` of :class:`passive_pruner.VAEEncoder`.
    names : list of str, default=None
        Names of the variables. By default they are numbered from 0.

    Attributes
    ----------
    axes_ : ndarray of shape (4,) of Axes
        Axes of reconstruction, KL divergence, number of active variables, and variances.
    figure_ : Figure
        Their figure.
    lines_ : dict of str to Line2D
        The lines of "reconstruction", "kl" and "n_active".
    variable_lines_ : list of Line2D
        One line per variable, in the colour of its type at the end.
    labels_ : list of Annotation
        Names at the ends of these lines, as far as they do not overlap.
    best_lines_ : list of Line2D
        Lines at the epoch with the lowest objective.
    legend_ : Legend
        Types at the end of training with their numbers of variables.

    Notes
    -----
    A variable is active at the end if the variance of its mean is above 0.1 there, else passive,
    as `history_` counts "n_active". Early stopping restores the weights of the epoch with the
    lowest objective, up to its tolerance: later epochs are not part of the fitted model.

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
    >>> display.lines_["kl"].get_xdata().tolist()
    [1, 2, 3]
    >>> plt.close(display.figure_)
    """

    def __init__(self, history, *, names=None):
        self.history = history
        self.names = names

    @classmethod
    def from_estimator(cls, estimator, *, statistic="mean_of_variance", ax=None):
        """Draw the training of a fitted encoder.

        Parameters
        ----------
        estimator : VAEEncoder or Pipeline
            Fitted. Of a search the best estimator is taken.
        statistic : {"mean_of_variance", "variance_of_mean"}, default="mean_of_variance"
            See :meth:`plot`.
        ax : Axes or array-like of four Axes, default=None
            Axes to draw on; a single one is divided. None makes a new figure.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        ValueError
            If there is no encoder with a history.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        encoder = find_encoder(cls.__name__, estimator, needs="history_").encoder
        display = cls(encoder.history_, names=variable_names(encoder))
        return display.plot(statistic=statistic, ax=ax)

    def plot(self, *, statistic="mean_of_variance", ax=None):
        """Draw.

        Parameters
        ----------
        statistic : {"mean_of_variance", "variance_of_mean"}, default="mean_of_variance"
            What is shown of every variable: the mean of its posterior variance, which goes to 0
            for active and to 1 for passive variables, or the variance of its mean, which goes the
            other way.
        ax : Axes or array-like of four Axes, default=None
            Axes to draw on; a single one is divided. None makes a new figure.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        ValueError
            If `statistic` is unknown.
        """
        if statistic not in _STATISTICS:
            raise ValueError(f"statistic must be one of {list(_STATISTICS)}, got {statistic!r}.")
        axes = make_axes(type(self).__name__, ax, 2, 2, figsize=(8.5, 5.6))
        self.axes_ = axes.ravel()
        self.figure_ = self.axes_[0].get_figure(root=True)
        epochs = np.array([record["epoch"] for record in self.history])
        marker = "o" if len(epochs) == 1 else None  # a single epoch draws no line
        self.lines_ = {}
        for panel, (key, title) in zip(
            self.axes_,
            {
                "reconstruction": "reconstruction (nats)",
                "kl": "KL divergence (nats)",
                "n_active": "active variables",
            }.items(),
            strict=False,
        ):
            values = [record[key] for record in self.history]
            step = {"drawstyle": "steps-mid"} if key == "n_active" else {}
            color = TYPE_COLORS["active"] if key == "n_active" else "black"
            (self.lines_[key],) = panel.plot(epochs, values, color=color, marker=marker, **step)
            panel.set_title(title, fontsize="medium")
        self.axes_[2].set_ylim(0, len(self.history[-1]["variance_of_mean"]) + 0.5)
        self.axes_[2].yaxis.get_major_locator().set_params(integer=True)
        self._plot_variables(self.axes_[3], epochs, statistic, marker)
        best = epochs[np.argmin([record["objective"] for record in self.history])]
        self.best_lines_ = []
        for panel in self.axes_:
            style = {"color": "black", "ls": ":", "lw": 1, "zorder": 0}
            self.best_lines_.append(panel.axvline(best, label="lowest objective", **style))
            panel.set_xlabel("epoch" if panel in self.axes_[2:] else "")
            panel.xaxis.get_major_locator().set_params(integer=True)
        self.axes_[0].legend(handles=self.best_lines_[:1], fontsize="small")
        return self

    def _plot_variables(self, ax, epochs, statistic, marker):
        last = self.history[-1]
        # n_active says how many of the largest variances are above the threshold of the history.
        n = len(last["variance_of_mean"])
        active = np.zeros(n, dtype=bool)
        active[np.argsort(-last["variance_of_mean"], kind="stable")[: last["n_active"]]] = True
        types = np.where(active, "active", "passive")
        values = np.array([record[statistic] for record in self.history])
        names = list(map(str, self.names or range(n)))
        self.variable_lines_, self.labels_ = [], []
        for j, type_ in enumerate(types):
            self.variable_lines_ += ax.plot(
                epochs, values[:, j], color=TYPE_COLORS[type_], lw=1, alpha=0.8, marker=marker
            )
        span = epochs[-1] - epochs[0] or 1
        ax.set_xlim(epochs[0] - 0.05 * span, epochs[-1] + 0.1 * span)  # room for the names
        bottom, top = ax.get_ylim()
        lowest_free = -np.inf
        for j in np.argsort(values[-1], kind="stable"):
            if values[-1, j] < lowest_free:
                continue
            lowest_free = values[-1, j] + 0.055 * (top - bottom)
            self.labels_.append(
                ax.annotate(
                    names[j],
                    (epochs[-1], values[-1, j]),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                    color=TYPE_COLORS[types[j]],
                )
            )
        ax.set_title(_STATISTICS[statistic], fontsize="medium")
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
