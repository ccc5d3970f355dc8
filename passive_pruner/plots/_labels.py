"""Labels beside points: one per group of close points, never over a point or another label."""

import numpy as np
from scipy.cluster.hierarchy import linkage

_FONT_SIZE = 8
# Width of a character, in font sizes; digits are as wide as this, most letters less.
_CHARACTER = 0.65
# Half the side of a marker, and what a label keeps away from it, in points.
_MARKER, _GAP = 3, 2
# Points whose markers touch share a label from the start, in points.
_CROWD = 2 * _MARKER
# Crowds that are further apart than this never join, in points: no label says where it belongs if
# it stands for points all over the picture.
_REACH = 15
# Longest list of names in a label; more are counted.
_MAX_CHARACTERS = 14
# Where a label may be beside its points, in the order of trying.
_SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])


def label_points(ax, x, y, names, types=None):
    """Write names next to their points where there is room.

    Points of one type that lie close together share a label: their names, or if these are too
    many their number. Where a label finds no place its points join the nearest ones of their
    type, or stay without a label if these are far. Limits and scales of the axes must be final.

    Parameters
    ----------
    ax : Axes
        Where the points are.
    x, y : ndarray of shape (n_points,)
        Coordinates in data units.
    names : list of str
        One per point.
    types : array-like of shape (n_points,), str, default=None
        Types of the points. None takes them all for "variables".

    Returns
    -------
    annotations : list of Annotation
    """
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()  # the layout settles where the points are
    to_points = 72 / figure.dpi
    centres = ax.transData.transform(np.column_stack([x, y])) * to_points
    frame = ax.get_window_extent().get_points() * to_points
    types = np.full(len(names), "variables") if types is None else np.asarray(types)

    def text_of(crowd):
        return shared_label([names[i] for i in crowd], types[crowd[0]])

    crowds, larger = set(), {}
    for type_ in np.unique(types):
        closest, parents = _crowds(centres, np.flatnonzero(types == type_))
        crowds |= closest
        larger |= parents
    placed, homeless = _place(crowds, text_of, centres, frame)
    while homeless:
        for crowd in homeless:
            if crowd in crowds:  # and not yet in a larger one
                joined = larger.get(crowd, ())
                crowds -= {crowd, *(c for c in crowds if set(c) <= set(joined))}
                crowds |= {joined} if joined else set()
        placed, homeless = _place(crowds, text_of, centres, frame)
    to_data = ax.transData.inverted()
    return [
        ax.annotate(
            text_of(crowd),
            to_data.transform(_middle(centres, crowd) / to_points),
            xytext=place - _middle(centres, crowd),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_FONT_SIZE,
        )
        for crowd, place in placed.items()
    ]


def shared_label(names, type_):
    """Names of several variables in few characters, runs of numbers as ranges, or their count."""
    text = ", ".join(_ranges(names) if all(name.isdecimal() for name in names) else names)
    if len(names) > 1 and len(text) > _MAX_CHARACTERS:
        return f"{len(names)} {type_}"
    return text


def _ranges(names):
    numbers = np.sort([int(name) for name in names])
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
        yield from map(str, run) if len(run) < 3 else [f"{run[0]}-{run[-1]}"]


def _crowds(centres, members):
    """Closest crowds, and for every crowd the next larger one, as tuples of point numbers."""
    nodes, heights, larger = [(int(i),) for i in members], {}, {}
    # Single linkage: what is dense becomes one crowd, and outliers keep their own labels.
    for a, b, height, _ in linkage(centres[members], "single") if len(members) > 1 else ():
        joined = nodes[int(a)] + nodes[int(b)]
        heights[joined] = height
        if height <= _REACH:
            larger[nodes[int(a)]] = larger[nodes[int(b)]] = joined
        nodes.append(joined)
    closest = {
        node
        for node in nodes
        if heights.get(node, 0) <= _CROWD and heights.get(larger.get(node), np.inf) > _CROWD
    }
    # Two have a place each, on either side.
    pairs = {node for node in closest if len(node) == 2}
    return closest - pairs | {(i,) for pair in pairs for i in pair}, larger


def _place(crowds, text_of, centres, frame):
    """Find the middle of a free place for the label of every crowd, and those without one."""
    markers = np.stack([centres - _MARKER, centres + _MARKER], axis=1)
    taken = markers
    placed, homeless = {}, []
    # The largest first: it has the fewest places.
    for crowd in sorted(crowds, key=lambda crowd: (-len(crowd), crowd)):
        size = np.array([_CHARACTER * len(text_of(crowd)), 1.1]) * _FONT_SIZE
        away = np.ptp(centres[list(crowd)], axis=0) / 2 + _MARKER + _GAP + size / 2
        middles = _middle(centres, crowd) + _SIDES * away
        low, high = middles - size / 2, middles + size / 2
        inside = ((low >= frame[0]) & (high <= frame[1])).all(axis=1)
        apart = (high[:, None] <= taken[:, 0]) | (low[:, None] >= taken[:, 1])
        free = np.flatnonzero(inside & apart.any(axis=2).all(axis=1))
        if len(free):
            placed[crowd] = middles[free[0]]
            taken = np.concatenate([taken, [[low[free[0]], high[free[0]]]]])
        else:
            homeless.append(crowd)
    return placed, homeless


def _middle(centres, crowd):
    points = centres[list(crowd)]
    return (points.min(axis=0) + points.max(axis=0)) / 2
