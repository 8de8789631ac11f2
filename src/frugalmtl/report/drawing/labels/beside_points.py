"""Labels beside points, placed by adjustText; those that it leaves on top of each other, at the next free places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from adjustText import adjust_text
from matplotlib.patches import FancyArrowPatch
from matplotlib.transforms import Bbox

from frugalmtl.report.drawing.labels.free_places import Boxes, apart

Point = tuple[float, float]

_MARK = 6.0
"""Half the size of a marker in typographic points."""
_PIECE = 8.0
"""Length of the pieces of a line that labels keep off."""
_STEPS = 200
"""Steps of a placement: a number, not a time, so that a figure is the same on every machine."""
_DISTANT = 16.0
"""Typographic points from which on a label is tied to its point."""
_SIZES = (1.0, 0.85, 0.7)
"""Sizes of the letters, one after the other, until all labels have room."""


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
    centres = axes.transData.transform(points)
    marks = [Bbox([centre - _MARK * pixel, centre + _MARK * pixel]) for centre in centres]
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
    adjust_text(list(texts), objects=free, force_explode=0, force_pull=0, **settings)
    _set_apart(axes, centres, texts, _array(marks), _array(pieces), pixel)
    for text, point, centre in zip(texts, points, centres, strict=True):
        _tie(axes, text, point, centre, pixel)


def _set_apart(axes: Any, centres: Any, texts: Sequence[Any], marks: Boxes, pieces: Boxes, pixel: float) -> None:
    """Move labels that still cover each other: forces come to rest where those of close points hold each other."""
    frame = axes.get_window_extent().extents
    sizes = [text.get_fontsize() for text in texts]
    for share in _SIZES:
        for text, size in zip(texts, sizes, strict=True):
            text.set_fontsize(share * size)
        boxes = _array([text.get_window_extent() for text in texts])
        places, clean = apart(boxes, centres, frame, marks, pieces, pixel)
        if clean:
            break
    moves = places[:, :2] - boxes[:, :2]
    for text, move in zip(texts, moves, strict=True):
        if move.any():
            spot = axes.transData.transform(text.get_position()) + move
            text.set_position(axes.transData.inverted().transform(spot))


def _tie(axes: Any, text: Any, point: Point, centre: Any, pixel: float) -> None:
    """A thin line from a distant label to its point."""
    box = text.get_window_extent().extents
    away = np.maximum(np.maximum(box[:2] - centre, centre - box[2:]), 0.0)
    if np.hypot(*away) >= _DISTANT * pixel:
        line: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.6, "color": "grey", "zorder": 1.5}
        axes.add_patch(FancyArrowPatch(text.get_position(), point, patchA=text, transform=axes.transData, **line))


def _array(boxes: Sequence[Bbox]) -> Boxes:
    return np.array([box.extents for box in boxes], dtype=float).reshape(-1, 4)


def _pieces(line: Any, pixel: float) -> list[Bbox]:
    """A line as small boxes."""
    start, end = line
    count = max(1, round(float(np.hypot(*(end - start))) / (_PIECE * pixel)))
    steps = np.linspace(start, end, count + 1)
    return [Bbox([np.minimum(one, two) - pixel, np.maximum(one, two) + pixel]) for one, two in pairwise(steps)]
