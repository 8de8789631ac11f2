"""Free places for boxes on a canvas: on a grid, the nearest to what a box names first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""``[N, 4]``: left, bottom, right, top in pixels."""

_STEP = 3.0
"""Pitch of the grid of places, in typographic points."""
_MARK, _LINE = 60.0, 8.0
"""Typographic points that a box goes out of the way of a marker, and of each piece of a line."""
_GAP = 0.5
"""Typographic points between two boxes."""


def apart(boxes: Boxes, points: Any, frame: Any, marks: Boxes, pieces: Boxes, pixel: float) -> tuple[Boxes, bool]:
    """Boxes of the same sizes none of which covers another, all inside of ``frame``.

    Boxes that are in nobody's way stay where they are. Where the others find no room beside these, all are placed anew,
    the largest first. Where there is none even so, they cover as little of each other as they can.

    Args:
        boxes: as they lie now.
        points: ``[N, 2]``, what each box names.
        frame: left, bottom, right, top.
        marks: better not covered.
        pieces: of lines, better not covered where there is a choice.
        pixel: pixels of a typographic point.

    Returns:
        The boxes, and whether none covers another.
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    kept = _undisturbed(boxes, frame, pixel)
    if all(kept):
        return boxes, True
    rest = [place for place, stays in enumerate(kept) if not stays]
    largest = sorted(range(len(boxes)), key=lambda place: (-float(sizes[place].prod()), place))
    for order in (rest, largest):
        places, free = boxes.copy(), [place for place in range(len(boxes)) if place not in order]
        clean = True
        for place in order:
            taken = places[free]
            places[place], fits = _place(sizes[place], points[place], frame, taken, marks, pieces, pixel)
            free.append(place)
            clean = clean and fits
        if clean:
            break
    return places, clean


def _undisturbed(boxes: Boxes, frame: Any, pixel: float) -> list[bool]:
    """Whether each box lies inside of the frame and off all those before it that stay."""
    kept: list[bool] = []
    for place, box in enumerate(boxes):
        inside = bool((box[:2] >= frame[:2] - 0.5).all() and (box[2:] <= frame[2:] + 0.5).all())  # rounding
        kept.append(inside and not _shared(box[None], boxes[:place][kept], _GAP * pixel).any())
    return kept


def _place(
    size: Any, point: Any, frame: Any, taken: Boxes, marks: Boxes, pieces: Boxes, pixel: float
) -> tuple[Any, bool]:
    """The nearest place on the grid whose box covers no taken one, and whether there is any."""
    room = np.maximum(frame[2:] - frame[:2] - size, 0.0)
    across, up = (np.linspace(0.0, length, max(2, round(length / (_STEP * pixel)))) for length in room)
    corners = frame[:2] + np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    places = np.concatenate([corners, corners + size], axis=1)
    beside = np.maximum(np.maximum(places[:, :2] - point, point - places[:, 2:]), 0.0)
    cost = np.hypot(beside[:, 0], beside[:, 1]) / pixel
    cost += _MARK * (_shared(places, marks, 0.0) > 0).sum(1) + _LINE * (_shared(places, pieces, 0.0) > 0).sum(1)
    covered = _shared(places, taken, _GAP * pixel).sum(1)
    best = int(np.lexsort((cost, covered))[0])
    return places[best], not covered[best] > 0


def _shared(boxes: Boxes, others: Boxes, gap: float) -> NDArray[np.float64]:
    """``[N, M]``: the area that each box, wider by ``gap`` on all sides, shares with each of the others."""
    low = np.maximum(boxes[:, None, :2] - gap, others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:] + gap, others[None, :, 2:])
    area: NDArray[np.float64] = np.maximum(high - low, 0.0).prod(axis=2)
    return area
