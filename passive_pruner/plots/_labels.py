"""Text beside points that covers neither points nor other text."""

from itertools import product

import numpy as np

_FONT_SIZE = 8
# Room that a marker takes around its centre, in points.
_MARKER_RADIUS = 3
# Where a label may go: nearest first, and at each distance to the right first.
_DISTANCES = (8, 14, 20, 27, 35, 45, 60)
_ANGLES = np.radians([0, 180, 45, -45, 135, -135, 90, -90, 22, -22, 158, -158, 68, -68, 112, -112])
# Where along its line a label is tested for crossing others.
_LINE_PIECES = np.linspace(0.25, 0.75, 6)


def label_points(ax, x, y, texts):
    """Write each text next to its point, at the nearest place that is free.

    Limits and scales of the axes must be final. A label that is not beside its point is tied to
    it by a line.

    Parameters
    ----------
    ax : Axes
        Where the points are.
    x, y : ndarray of shape (n_points,)
        Coordinates in data units.
    texts : list of str
        One per point.

    Returns
    -------
    annotations : list of Annotation
    """
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()  # the layout settles where the points are
    to_points = 72 / figure.dpi
    centres = ax.transData.transform(np.column_stack([x, y])) * to_points
    frame = ax.get_window_extent().get_points() * to_points
    markers = [_box(centre, 2 * _MARKER_RADIUS, 2 * _MARKER_RADIUS) for centre in centres]
    written = []  # boxes of labels and, in small pieces, of their lines
    annotations = []
    # From the left, so that labels of a crowd fan out instead of jumping over each other.
    for i in sorted(range(len(texts)), key=lambda i: tuple(centres[i])):
        width, height = 0.65 * _FONT_SIZE * len(texts[i]), 1.1 * _FONT_SIZE
        best_cost, best = np.inf, None
        for distance, angle in product(_DISTANCES, _ANGLES):
            direction = np.array([np.cos(angle), np.sin(angle)])
            offset = distance * direction
            # The width of a label at the side of its point must not bring it nearer.
            offset[0] += direction[0] * (width - height) / 2
            box = _box(centres[i] + offset, width, height)
            far = distance > _DISTANCES[0]
            line = [_box(centres[i] + s * offset, 2, 2) for s in _LINE_PIECES] if far else []
            cost = sum(_overlap(box, other) for other in markers + written)
            cost += sum(_overlap(piece, other) for piece in line for other in written)
            cost += width * height - _overlap(box, frame)
            if cost < best_cost - 1e-9:
                best_cost, best = cost, (offset, far, [box, *line])
            if cost < 1e-9:
                break
        offset, far, boxes = best
        written += boxes
        annotations.append(
            ax.annotate(
                texts[i],
                (x[i], y[i]),
                xytext=offset,
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=_FONT_SIZE,
                arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.4", "shrinkA": 0}
                if far
                else None,
            )
        )
    return annotations


def _box(centre, width, height):
    half = np.array([width, height]) / 2
    return np.array([centre - half, centre + half])


def _overlap(a, b):
    sides = np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])
    return float(np.prod(np.maximum(sides, 0)))
