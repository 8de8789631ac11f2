"""Labels beside points, none on top of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_RADII = (9, 14, 20, 28, 38, 50, 64, 80, 100, 124, 150, 180, 215)
_ANGLES = tuple(
    math.radians(step) for step in (0, 180, 45, 135, 315, 225, 90, 270, 22, 158, 338, 202, 67, 113, 293, 247)
)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)


def place(
    points: list[tuple[float, float]], sizes: list[tuple[float, float]], frame: Box, taken: list[Box]
) -> list[Box]:
    """A box per label: the nearest place beside its point that is free, else the one with the least overlap.

    Crowded points are served first. All figures in pixels.

    Args:
        points: what the labels belong to.
        sizes: (width, height) of the labels.
        frame: where labels may stand.
        taken: boxes to keep free besides the points themselves.
    """
    marks = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    blocked = [*taken, *marks]
    crowding = [sum(math.dist(point, other) < 90 for other in points) for point in points]
    placed: dict[int, Box] = {}
    for index in sorted(range(len(points)), key=lambda index: -crowding[index]):
        box = min(_candidates(points[index], sizes[index]), key=lambda candidate: _cost(candidate, blocked, frame))
        placed[index] = box
        blocked.append(box)
    return [placed[index] for index in range(len(points))]


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> list[Box]:
    """Boxes around ``point``, nearest first (``min`` keeps the first of equals)."""
    (x, y), (width, height) = point, size
    boxes = []
    for radius in _RADII:
        for angle in _ANGLES:
            cosine, sine = math.cos(angle), math.sin(angle)
            centre_x = x + cosine * radius + (math.copysign(width / 2, cosine) if abs(cosine) > 0.3 else 0.0)
            centre_y = y + sine * radius + (math.copysign(height / 2, sine) if abs(sine) > 0.3 else 0.0)
            boxes.append(Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2))
    return boxes


def _cost(box: Box, blocked: list[Box], frame: Box) -> float:
    grown = Box(box.left - 2, box.bottom - 2, box.right + 2, box.top + 2)
    outside = grown.area - grown.overlap(frame)
    return round(sum(grown.overlap(other) for other in blocked) + 3 * outside, 1)


def label_points(axes: Any, points: list[tuple[float, float]], texts: list[Any], quiet: str, taken: list[Box]) -> None:
    """Move matplotlib ``texts`` beside ``points`` (data coordinates) and tie distant ones to their point with a thin line."""
    figure = axes.figure
    renderer = figure.canvas.get_renderer()
    pixels = [tuple(axes.transData.transform(point)) for point in points]
    extents = [text.get_window_extent(renderer) for text in texts]
    bounds = axes.get_window_extent(renderer)
    frame = Box(bounds.x0 + 2, bounds.y0 + 2, bounds.x1 - 2, bounds.y1 - 2)
    boxes = place(pixels, [(extent.width, extent.height) for extent in extents], frame, taken)
    inverse = axes.transData.inverted()
    for (x, y), text, box in zip(pixels, texts, boxes, strict=True):
        text.set_position(inverse.transform(((box.left + box.right) / 2, (box.bottom + box.top) / 2)))
        text.set_ha("center")
        text.set_va("center")
        near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        if math.dist((x, y), near) > 16:
            ends = inverse.transform([(x, y), near])
            axes.plot(ends[:, 0], ends[:, 1], color=quiet, linewidth=0.7, zorder=1.5, scalex=False, scaley=False)
