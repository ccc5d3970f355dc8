"""What all pictures share: colours and order of the types, axes, legends."""

from collections.abc import Sequence

import numpy as np

from passive_pruner.regime._criterion import ACTIVE, MIXED, NEGLIGIBLE, PASSIVE, UNDECIDED

#: Type of a variable -> its colour in every picture. Blue and orange of Okabe and Ito's palette
#: and a grey: they differ in lightness and along the blue-yellow axis, which red-green
#: colour-blind people see. Negligible variables, which no rule names beside passive ones, are of
#: the palette's sky blue, and undecided ones, which may be passive, of a lighter grey.
TYPE_COLORS = {
    ACTIVE: "#0072B2",
    MIXED: "#E69F00",
    UNDECIDED: "#BFBFBF",
    PASSIVE: "#808080",
    NEGLIGIBLE: "#56B4E9",
}
#: Type -> marker, so that no picture rests on colour alone.
TYPE_MARKERS = {ACTIVE: "o", MIXED: "D", UNDECIDED: "P", PASSIVE: "s", NEGLIGIBLE: "v"}
#: Accents that stand for no type: vermilion and bluish green of the same palette.
ACCENT, SECOND_ACCENT = "#D55E00", "#009E73"


def require_matplotlib(caller: str):
    """Return pyplot, or name the extra that brings it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. Install it with pip install 'passive_pruner[plots]'."
        ) from error
    return plt


def make_axes(caller: str, ax, n_rows: int = 1, n_columns: int = 1, *, figsize, **gridspec):
    """Axes to draw on, as an array of shape (n_rows, n_columns).

    Parameters
    ----------
    caller : str
        Name of the display, for the error without matplotlib.
    ax : Axes, array-like of Axes, or None
        One Axes is used itself where one is needed, and else as the space for a grid of them.
        An array gives the axes themselves. None makes a new figure.
    n_rows, n_columns : int
        Shape of the grid.
    figsize : tuple of float
        Size of a new figure in inches.
    **gridspec
        Passed to the grid, such as `height_ratios`.

    Returns
    -------
    axes : ndarray of shape (n_rows, n_columns), object
    """
    plt = require_matplotlib(f"{caller}.plot")
    shape = (n_rows, n_columns)
    if ax is None:
        figure = plt.figure(figsize=figsize, layout="constrained")
        return figure.subplots(*shape, squeeze=False, gridspec_kw=gridspec)
    given = np.asarray(ax, dtype=object)
    if not all(isinstance(one, plt.Axes) for one in given.flat):
        raise TypeError(f"ax must be matplotlib Axes, an array of them, or None, got {ax!r}.")
    if given.size == n_rows * n_columns:
        return given.reshape(shape)
    if given.size != 1 or given.item().get_subplotspec() is None:
        raise ValueError(
            f"{caller} draws on {n_rows * n_columns} axes, got {given.size}. Pass None, an array "
            f"of {n_rows * n_columns} axes, or one of plt.subplots() to be divided."
        )
    space = given.item()
    space.set_axis_off()
    grid = space.get_subplotspec().subgridspec(*shape, **gridspec)
    axes = [space.figure.add_subplot(cell) for cell in grid]
    return np.array(axes, dtype=object).reshape(shape)


def order_by_type(types: Sequence[str] | np.ndarray, *, descending=None) -> np.ndarray:
    """Numbers of the variables by type, active ones first; in a type by falling `descending`."""
    rank = [list(TYPE_COLORS).index(t) for t in types]
    within = np.arange(len(rank)) if descending is None else -np.asarray(descending)
    return np.lexsort(np.stack([within, rank]))


def color_by_type(tick_labels, types):
    """Give tick labels the colour of the type of their variable."""
    for label, type_ in zip(tick_labels, types, strict=True):
        label.set_color(TYPE_COLORS[type_])


def type_legend(ax, types, *, marker: str | None = None, **kwargs):
    """Add a legend of the types that occur, with their numbers of variables."""
    from matplotlib.lines import Line2D

    types = np.asarray(types)
    handles = [
        Line2D(
            [],
            [],
            color=color,
            marker=marker or TYPE_MARKERS[type_],
            linestyle="none",
            label=f"{type_} ({np.sum(types == type_)})",
        )
        for type_, color in TYPE_COLORS.items()
        if (types == type_).any()
    ]
    return ax.legend(handles=handles, **kwargs)


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images of shape (rows, columns, height, width[, channels]) as one, with gaps of NaN.

    Every cell has one pixel of NaN at its right and lower edge, so cell (i, j) is centred on
    ``j * (width + 1) + (width - 1) / 2`` and likewise in height.
    """
    n_rows, n_columns, height, width, *channels = images.shape
    pad = [(0, 0), (0, 0), (0, 1), (0, 1)] + [(0, 0)] * len(channels)
    cells = np.pad(images.astype(float), pad, constant_values=np.nan)
    cells = cells.swapaxes(1, 2)
    return cells.reshape(n_rows * (height + 1), n_columns * (width + 1), *channels)[:-1, :-1]


def show_mosaic(ax, images: np.ndarray, value_range: tuple[float, float] | None = None):
    """Draw :func:`mosaic` in grey or colour, with ticks at the middle of its cells.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    images : ndarray of shape (rows, columns, height, width[, channels])
        The images.
    value_range : tuple of float, default=None
        Values that are drawn as black and white, or as none and all of a colour. None is the
        range of the images. What lies in 0..1 and is coloured keeps its colours.

    Returns
    -------
    image : AxesImage
    """
    n_rows, n_columns, height, width, *channels = images.shape
    low, high = value_range or (np.nanmin(images), np.nanmax(images))
    picture = mosaic(images)
    if channels and channels[0] == 1:
        picture = picture[..., 0]
    elif channels:
        if low >= 0 and high <= 1:
            low, high = 0, 1
        # Colour images have no colour for NaN; the gaps become white.
        picture = np.nan_to_num((picture - low) / ((high - low) or 1), nan=1.0).clip(0, 1)
    artist = ax.imshow(picture, cmap="gray", interpolation="nearest", vmin=low, vmax=high)
    ax.set_xticks(np.arange(n_columns) * (width + 1) + (width - 1) / 2)
    ax.set_yticks(np.arange(n_rows) * (height + 1) + (height - 1) / 2)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return artist


def feature_ticks(ax, feature_names, n_features: int):
    """Label the features on the x axis by name where they fit, else by number."""
    if feature_names is not None and np.shape(feature_names) != (n_features,):
        raise ValueError(f"feature_names must be {n_features} names, got {feature_names!r}.")
    if feature_names is not None and n_features <= 40:
        ax.set_xticks(range(n_features), feature_names, rotation=90, fontsize="small")
    else:
        ax.set_xlabel("feature")
    ax.set_xlim(-0.5, n_features - 0.5)
