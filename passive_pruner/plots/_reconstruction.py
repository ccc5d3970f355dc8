"""What the latent variables keep of the data."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from passive_pruner._common._typing import MatrixLike
from passive_pruner.plots._checks import check_rows
from passive_pruner.plots._inputs import as_rows, find_encoder, image_shape_of, reconstruct
from passive_pruner.plots._style import (
    ACCENT,
    feature_ticks,
    make_axes,
    require_matplotlib,
    show_mosaic,
)

# Columns of a table are no curve: up to this many are drawn as marks, more would be dust.
_MAX_MARKS = 60


class ReconstructionDisplay:
    """Examples, their reconstructions and the error of every feature.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    original, reconstruction : ndarray of shape (n_shown, n_features)
        Some rows, and the rows that are decoded from their mean codes.
    feature_error : ndarray of shape (n_features,)
        Root mean square error of every feature over all rows.
    rows : array-like of int of shape (n_shown,), default=None
        Numbers of the shown rows. By default they are numbered from 0.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of an image. None plots profiles.
    feature_names : list of str, default=None
        Names of the features.

    Attributes
    ----------
    axes_ : ndarray of shape (2,) of Axes
        Axes of the examples and of the errors.
    figure_ : Figure
        Figure that contains the axes.
    image_ : AxesImage or None
        Originals in the first row, reconstructions in the second.
    lines_ : list of tuple of Line2D
        Lines of the original and of the reconstruction of every shown row, centred at the tick with
        its number: the mean of all shown values is subtracted. Empty for images.
    error_ : AxesImage or BarContainer
        Errors as an image or as bars. The squared errors of colour channels are averaged.

    See Also
    --------
    TraversalDisplay : Plot the effect of each variable on decoded rows.

    Notes
    -----
    Likelihoods of counts with ``exposure="row_sum"`` describe the composition of a row. Decoded
    rows are therefore scaled to the sum of the original row.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.plots import ReconstructionDisplay
    >>> X = scale(load_wine().data)
    >>> encoder = VAEEncoder(n_components=4, max_steps=300, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(encoder, X)
    >>> bool(display.feature_error.mean() < 1)
    True
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        original: np.ndarray,
        reconstruction: np.ndarray,
        feature_error: np.ndarray,
        *,
        rows: ArrayLike | None = None,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.original = original
        self.reconstruction = reconstruction
        self.feature_error = feature_error
        self.rows = rows
        self.image_shape = image_shape
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike,
        *,
        rows: Sequence[int] | np.ndarray | slice | None = None,
        image_shape: Sequence[int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Reconstruct rows with a fitted encoder and draw them.

        Parameters
        ----------
        estimator : encoder or Pipeline
            Fitted estimator with `inverse_transform`. Of a search the best estimator is used. If
            there is a remover, the variables that it drops are set to 0, the mean of the prior, so
            that the plot shows reconstructions from the kept variables.
        X : array-like of shape (n_samples, n_features)
            Data in the format of the estimator. The errors use all cells that are not missing.
            Sparse data is converted to dense data.
        rows : array-like of int, default=None
            Numbers of the rows to show. None means the first 8 images or 4 profiles.
        image_shape : tuple of int, default=None
            Shape of one image. None means the shape of the images that the encoder was fitted on;
            for a table it plots profiles.
        feature_names : list of str, default=None
            Names of the features. None means the column names of `X`.
        ax : Axes or array-like of two Axes, default=None
            Axes to plot on; a single one is divided. None creates a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            The display with its plot.

        Raises
        ------
        ValueError
            If there is no encoder, or it has no `inverse_transform`.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        encoder, remover, X, names = find_encoder(
            cls.__name__, estimator, X, needs="inverse_transform"
        )
        codes = encoder.posterior(X).mean
        if remover is not None:
            codes = np.where(remover.get_support()[: codes.shape[1]], codes, 0)
        original = as_rows(encoder, X)
        reconstruction = reconstruct(encoder, codes, original)
        error = np.sqrt(np.nanmean(np.square(original - reconstruction), axis=0))
        image_shape = image_shape_of(encoder, image_shape)
        if rows is None:
            rows = slice(4 if image_shape is None else 8)
        rows = check_rows(rows, len(original))
        return cls(
            original[rows],
            reconstruction[rows],
            error,
            rows=rows,
            image_shape=image_shape,
            feature_names=names if feature_names is None else feature_names,
        ).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Plot examples, reconstructions and errors.

        Parameters
        ----------
        ax : Axes or array-like of two Axes, default=None
            Axes to plot on; a single one is divided. None creates a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            The display with its plot.
        """
        self.image_ = None
        self.lines_: list[Any] = []
        draw = self._plot_profiles if self.image_shape is None else self._plot_images
        draw(ax)
        self.figure_ = self.axes_[0].get_figure(root=True)
        return self

    def _plot_images(self, ax):
        n = len(self.original)
        height, width = self.image_shape[:2]
        size = (0.8 * n + 3.2, 1.0 + 1.6 * height / width)
        axes = make_axes(type(self).__name__, ax, 1, 2, figsize=size, width_ratios=(n, 2))
        self.axes_ = axes[0]
        examples, errors = self.axes_
        pairs = np.stack([self.original, self.reconstruction]).reshape(2, n, *self.image_shape)
        # One scale for both rows: what the reconstruction lacks in contrast is to be seen.
        limits = float(np.nanmin(self.original)), float(np.nanmax(self.original))
        self.image_ = show_mosaic(examples, pairs, limits)
        examples.set_yticks(examples.get_yticks(), ["original", "reconstruction"])
        examples.set_xticks(examples.get_xticks(), self._row_numbers())
        squares = np.square(self.feature_error).reshape(height, width, -1)
        self.error_ = errors.imshow(np.sqrt(squares.mean(axis=-1)), cmap="viridis", vmin=0)
        errors.set(xticks=[], yticks=[])
        errors.set_title("root mean square error", fontsize="small")
        # Inside of the axes of the map, so that the bar is as tall as the map.
        bar = errors.inset_axes((1.05, 0, 0.07, 1))
        errors.get_figure(root=True).colorbar(self.error_, cax=bar)

    def _plot_profiles(self, ax):
        n, n_features = self.original.shape
        axes = make_axes(
            type(self).__name__,
            ax,
            2,
            1,
            figsize=(8, 2.6 + 0.75 * n),
            height_ratios=(max(n, 2), 1.5),
        )
        self.axes_ = axes[:, 0]
        examples, errors = self.axes_
        # One level and scale for all rows, so that the largest value of a row stays below the
        # smallest of the row above it.
        both = np.stack([self.original, self.reconstruction])
        low, high, level = np.nanmin(both), np.nanmax(both), np.nanmean(both)
        scale = 0.9 / (high - low or 1)
        at = np.arange(n_features)
        marks = n_features <= _MAX_MARKS
        for i in range(n):
            examples.axhline(i, color="0.85", lw=0.6, zorder=0)
            lines = [
                examples.plot(
                    at,
                    i - scale * (values[i] - level),
                    color=color,
                    ls="none" if marks else ls,
                    lw=1.2,
                    marker=marker if marks else None,
                    ms=size,
                    label=label,
                )[0]
                for values, color, ls, marker, size, label in (
                    (self.original, "black", "-", "_", 9, "original"),
                    (self.reconstruction, ACCENT, "--", ".", 6, "reconstruction"),
                )
            ]
            self.lines_.append(tuple(lines))
        examples.set_ylim(n - 0.9 - scale * (low - level), -0.1 - scale * (high - level))
        examples.set_yticks(range(n), self._row_numbers())
        examples.set_ylabel("row")
        examples.legend(
            handles=self.lines_[0],
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=2,
            frameon=False,
        )
        self.error_ = errors.bar(at, self.feature_error, color=ACCENT)
        errors.set_ylabel("root mean\nsquare error")
        feature_ticks(errors, self.feature_names, n_features)
        examples.set_xticks(errors.get_xticks(), [])
        examples.set_xlim(errors.get_xlim())

    def _row_numbers(self):
        return list(map(str, range(len(self.original)) if self.rows is None else self.rows))
