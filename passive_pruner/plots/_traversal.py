"""What each latent variable changes in the data."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from passive_pruner._common._parameters import check_number
from passive_pruner._common._typing import MatrixLike
from passive_pruner.plots._checks import check_names, check_rows, check_types
from passive_pruner.plots._inputs import (
    decode_traversals,
    find_encoder,
    find_evidence,
    image_shape_of,
    value_range,
)
from passive_pruner.plots._style import (
    color_by_type,
    feature_ticks,
    make_axes,
    order_by_type,
    require_matplotlib,
    show_mosaic,
    type_legend,
)

# More rows than this, in the order of the display, would be too thin to read.
_MAX_SHOWN = 40


class TraversalDisplay:
    """Decoded rows when one latent variable at a time varies over the range of its prior.

    Create it with :meth:`from_estimator`. A variable that the decoder ignores has no effect: all
    its images are the same, and its profiles are flat. The posterior of a passive variable carries
    no information about the data; the decoder usually has learned to ignore it, but not entirely.

    Parameters
    ----------
    values : ndarray of shape (n_steps,)
        Values that each variable takes, in standard deviations of its prior.
    decoded : ndarray of shape (n_components, n_steps, n_features)
        Decoded rows.
    types : array-like of shape (n_components,), str
        "active", "mixed" or "passive" for every variable.
    names : list of str, default=None
        Names of the variables. By default they are numbered from 0.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of an image. None plots profiles.
    feature_names : list of str, default=None
        Names of the features of a profile.
    value_range : tuple of float, default=None
        Values of an image that are shown as black and white. None means the range of `decoded`.

    Attributes
    ----------
    ax_ : Axes
        Axes of the plot.
    figure_ : Figure
        Figure that contains the axes.
    image_ : AxesImage or None
        All images, one row per variable.
    lines_ : list of LineCollection
        One dash per value and feature for every variable, in the order of `order_`. Empty for
        images.
    order_ : ndarray of shape (n_shown,), int
        Numbers of the variables in the rows from top to bottom: active, mixed, passive, and within
        each type in descending order of their effect. The first 40 are shown.
    effects_ : ndarray of shape (n_components,)
        Effect of every variable: root mean square over features of the range of the decoded values,
        in the units of the data of the encoder. It is shown at the right, in the order of `order_`.
    legend_ : Legend
        Legend of the types, with their numbers of variables.

    See Also
    --------
    ReconstructionDisplay : Plot reconstructions from all variables together.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.plots import TraversalDisplay
    >>> X = load_digits().images / 16
    >>> encoder = VAEEncoder(n_components=3, max_steps=100, random_state=0).fit(X.reshape(-1, 64))
    >>> display = TraversalDisplay.from_estimator(encoder, X.reshape(-1, 64), image_shape=(8, 8))
    >>> display.decoded.shape
    (3, 7, 64)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        values: np.ndarray,
        decoded: np.ndarray,
        types: ArrayLike,
        *,
        names: Sequence[str] | None = None,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.values = values
        self.decoded = decoded
        self.types = types
        self.names = names
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.value_range = value_range

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike,
        *,
        row: int | None = None,
        n_steps: int = 7,
        max_value: float = 2.0,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Decode and plot traversals of a fitted encoder.

        Parameters
        ----------
        estimator : encoder or Pipeline
            Fitted estimator with `inverse_transform`. Of a search the best estimator is used.
        X : array-like of shape (n_samples, n_features)
            Data in the format of the estimator. It determines the types, by the rule of the
            remover, and the values that are shown as black and white.
        row : int, default=None
            Row of `X` whose code gives the values of the other variables. None sets them to 0, the
            prior mean.
        n_steps : int, default=7
            Number of values of each variable.
        max_value : float, default=2.0
            The values range from ``-max_value`` to ``max_value``, in standard deviations of the
            prior.
        image_shape : tuple of int, default=None
            Shape of one image. None means the shape of the images that the encoder was fitted on;
            for a table it plots profiles.
        feature_names : list of str, default=None
            Names of the features. None means the column names of `X`.
        ax : Axes, default=None
            Axes to plot on. None creates a new figure.

        Returns
        -------
        display : TraversalDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If there is no encoder, or it has no `inverse_transform`.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        find_encoder(cls.__name__, estimator, needs="inverse_transform")
        _, types, *_, names, parts = find_evidence(cls.__name__, estimator, X)
        encoder, X = parts.encoder, parts.X
        check_number(n_steps, "n_steps", Integral, min_val=1)
        check_number(max_value, "max_value", Real, min_val=0)
        values = np.linspace(-max_value, max_value, n_steps)
        if row is None:
            base = np.zeros(len(types))
        else:
            (number,) = check_rows([row], _num_samples(X), "row")
            base = encoder.posterior(_safe_indexing(X, [number])).mean[0]
        image_shape = image_shape_of(encoder, image_shape)
        return cls(
            values,
            decode_traversals(encoder, values, base),
            types,
            names=names,
            image_shape=image_shape,
            feature_names=parts.feature_names if feature_names is None else feature_names,
            value_range=None if image_shape is None else value_range(encoder, X),
        ).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Plot the traversals.

        Parameters
        ----------
        ax : Axes, default=None
            Axes to plot on. None creates a new figure.

        Returns
        -------
        display : TraversalDisplay
            The display with its plot.
        """
        n, n_steps, _ = self.decoded.shape
        types = check_types(self.types, n)
        names = check_names(self.names, n)
        self.effects_ = np.sqrt(np.square(np.ptp(self.decoded, axis=1)).mean(axis=1))
        self.order_ = order_by_type(types, descending=self.effects_)[:_MAX_SHOWN]
        n_shown = len(self.order_)
        if self.image_shape is None:
            size = (8.0, 2.2 + 0.3 * n_shown)
        else:
            height, width = self.image_shape[:2]
            size = (1.8 + 0.5 * n_steps, 1.4 + 0.5 * n_shown * height / width)
        self.ax_ = ax = make_axes(type(self).__name__, ax, figsize=size)[0, 0]
        self.figure_ = ax.get_figure(root=True)
        self.image_ = None
        self.lines_: list[Any] = []
        if self.image_shape is None:
            self._plot_profiles()
        else:
            images = self.decoded[self.order_].reshape(n_shown, n_steps, *self.image_shape)
            self.image_ = show_mosaic(ax, images, self.value_range)
            ax.set_xticks(ax.get_xticks(), [f"{v:.2g}" for v in self.values])
            ax.set_xlabel("value of the variable")
        ax.set_ylabel("latent variable" if n_shown == n else f"{n_shown} of {n} latent variables")
        ax.set_yticks(ax.get_yticks(), [names[j] for j in self.order_])
        color_by_type(ax.get_yticklabels(), types[self.order_])
        right = ax.secondary_yaxis("right")
        right.set_yticks(ax.get_yticks(), [f"{e:.2g}" for e in self.effects_[self.order_]])
        right.tick_params(length=0, labelsize="small")
        right.spines["right"].set_visible(False)
        right.set_ylabel("change (root mean square)", fontsize="small")
        self.legend_ = type_legend(
            ax,
            types,
            marker="s",
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=3,
            frameon=False,
            fontsize="small",
            columnspacing=1,
            handletextpad=0.2,
        )
        return self

    def _plot_profiles(self):
        """Draw the change against the middle value, one band per variable on a common scale."""
        from matplotlib.collections import LineCollection

        ax, n, n_features = self.ax_, len(self.order_), self.decoded.shape[2]
        # Values near 0 last: where all dashes coincide, its grey says that nothing changes.
        last = np.argsort(-np.abs(self.values), kind="stable")
        values, decoded = self.values[last], self.decoded[:, last]
        change = decoded - decoded.mean(axis=1, keepdims=True)
        scale = 0.65 / (np.abs(change[self.order_]).max() or 1)
        # Dashes and no lines from feature to feature: the columns of a table are no curve.
        at = np.arange(n_features) + np.array([[-0.35], [0.35]])
        for place, j in enumerate(self.order_):
            y = place - scale * change[j]  # the y axis points down
            dashes = np.stack([np.broadcast_to(at[:, None], (2, *y.shape)), [y, y]], axis=-1)
            lines = LineCollection(
                dashes.reshape(2, -1, 2).swapaxes(0, 1),
                cmap="coolwarm",
                array=np.repeat(values, n_features),
                lw=1.5,
            )
            self.lines_.append(ax.add_collection(lines))
            ax.axhline(place, color="0.85", lw=0.6, zorder=0)
        ax.set_yticks(range(n))
        ax.set_ylim(n - 0.2, -0.8)
        feature_ticks(ax, self.feature_names, n_features)
        self.figure_.colorbar(
            self.lines_[0],
            ax=ax,
            label="value of the variable",
            shrink=0.6,
            pad=0.02,
        )
