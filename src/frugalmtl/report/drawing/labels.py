"""Labels beside points, placed by adjustText."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from adjustText import adjust_text
from matplotlib.transforms import Bbox

Point = tuple[float, float]

_MARK = 6.0
"""Half the size of a marker in typographic points."""
_PIECE = 8.0
"""Length of the pieces of a line that labels keep off."""
_STEPS = 200
"""Steps of a placement: a number, not a time, so that a figure is the same on every machine."""


def label_points(
    axes: Any, points: Sequence[Point], texts: Sequence[Any], lines: Sequence[tuple[Point, Point]]
) -> None:
    """Move ``texts`` beside ``points``, off each other, off markers and lines; tie distant ones to their point.

    Args:
        axes: drawn once, so that everything has its size.
        points: in data coordinates.
        texts: one per point.
        lines: in data coordinates, better not covered.
    """
    pixel = axes.figure.dpi / 72
    marks = [Bbox([point - _MARK * pixel, point + _MARK * pixel]) for point in axes.transData.transform(points)]
    pieces = [box for line in lines for box in _pieces(axes.transData.transform(line), pixel)]
    for text, point in zip(texts, points, strict=True):
        text.set_position(point)
        text.set(ha="center", va="center")
    settings: dict[str, Any] = {"ax": axes, "avoid_self": False, "iter_lim": _STEPS, "expand": (1.04, 1.12)}
    settings |= dict(zip(("target_x", "target_y"), zip(*points, strict=True), strict=True))
    to_data = axes.transData.inverted()
    free = [box.transformed(to_data) for box in marks]
    adjust_text(list(texts), objects=free + [box.transformed(to_data) for box in pieces], **settings)
    # Where lines leave no room, labels cover them rather than each other.
    arrow = {"arrowstyle": "-", "linewidth": 0.6, "color": "grey", "zorder": 1.5}
    adjust_text(
        list(texts), objects=free, force_explode=0, force_pull=0, min_arrow_len=16 * pixel, arrowprops=arrow, **settings
    )


def _pieces(line: Any, pixel: float) -> list[Bbox]:
    """A line as small boxes."""
    start, end = line
    count = max(1, round(float(np.hypot(*(end - start))) / (_PIECE * pixel)))
    steps = np.linspace(start, end, count + 1)
    return [Bbox([np.minimum(one, two) - pixel, np.maximum(one, two) + pixel]) for one, two in pairwise(steps)]
