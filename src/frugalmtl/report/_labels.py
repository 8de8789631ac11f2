"""Labels beside points, none on top of another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Point = tuple[float, float]

_RADII = (8, 11, 15, 20, 27, 35, 45, 57, 70, 85, 102, 120, 140)
_ANGLES = tuple(
    math.radians(step) for step in (0, 180, 45, 135, 315, 225, 90, 270, 22, 158, 338, 202, 67, 113, 293, 247)
)
_MARK = 5.5
"""Half the size of a marker."""
_HARD, _OUTSIDE, _LINE, _DISTANCE = 50.0, 200.0, 4.0, 4.0
"""Price of covering a square point of a label or marker, of leaving the frame, of covering a line, and of a point of
distance."""


@dataclass(frozen=True)
class Box:
    """A rectangle in typographic points."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, *corners: Point, margin: float = 0.0) -> Box:
        """The rectangle that holds ``corners``."""
        across, up = zip(*corners, strict=True)
        return cls(min(across) - margin, min(up) - margin, max(across) + margin, max(up) + margin)

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)


def place(points: list[Point], sizes: list[Point], frame: Box, hard: list[Box], soft: list[Box]) -> list[Box]:
    """A box per label, as near to its point as it can be without covering anything.

    Labels are placed one after the other; of several orders the one that ends best is kept.

    Args:
        points: what the labels belong to.
        sizes: (width, height) of the labels.
        frame: where labels may stand.
        hard: what must stay free besides the points and other labels.
        soft: lines that are better not covered.
    """
    crowding = [sum(math.dist(point, other) < 60 for other in points) for point in points]
    keys: tuple[Callable[[int], float], ...] = (
        lambda index: -crowding[index],
        lambda index: crowding[index],
        lambda index: points[index][0],
        lambda index: -points[index][0],
        lambda index: points[index][1],
    )
    blocked = [*hard, *(Box.around(point, margin=_MARK) for point in points)]
    options = [
        [(_price(away, box, frame, blocked, soft), box) for away, box in _candidates(point, size)]
        for point, size in zip(points, sizes, strict=True)
    ]
    tries = [_place_in_order(sorted(range(len(points)), key=key), options) for key in keys]
    boxes = min(tries, key=lambda attempt: attempt[0])[1]
    return [boxes[index] for index in range(len(points))]


def _place_in_order(order: list[int], options: list[list[tuple[float, Box]]]) -> tuple[float, dict[int, Box]]:
    """Total price and a box per index, each placed around those before it; ``options`` are priced alone."""
    placed: dict[int, Box] = {}
    total = 0.0
    for index in order:
        best, chosen = math.inf, options[index][0][1]
        for alone, box in options[index]:
            if alone < best:
                price = alone + _HARD * sum(_grown(box).overlap(other) for other in placed.values())
                if price < best:
                    best, chosen = price, box
        placed[index] = chosen
        total += best
    return total, placed


def _candidates(point: Point, size: Point) -> list[tuple[float, Box]]:
    """Distances and boxes around ``point``."""
    (x, y), (width, height) = point, size
    options: list[tuple[float, Box]] = []
    for radius in _RADII:
        for angle in _ANGLES:
            cosine, sine = math.cos(angle), math.sin(angle)
            centre_x = x + cosine * radius + (math.copysign(width / 2, cosine) if abs(cosine) > 0.3 else 0.0)
            centre_y = y + sine * radius + (math.copysign(height / 2, sine) if abs(sine) > 0.3 else 0.0)
            low = (centre_x - width / 2, centre_y - height / 2)
            options.append((radius, Box(*low, low[0] + width, low[1] + height)))
    return options


def _grown(box: Box) -> Box:
    """``box`` and a little air."""
    return Box(box.left - 1, box.bottom - 1, box.right + 1, box.top + 1)


def _price(distance: float, box: Box, frame: Box, blocked: list[Box], soft: list[Box]) -> float:
    grown = _grown(box)
    covered = sum(grown.overlap(other) for other in blocked)
    outside = grown.area - grown.overlap(frame)
    crossed = sum(grown.overlap(line) for line in soft)
    return _HARD * covered + _OUTSIDE * outside + _LINE * crossed + _DISTANCE * distance


class Paper:
    """Sizes and places on drawn axes, in typographic points.

    Args:
        axes: drawn once, so that everything has its size.
    """

    def __init__(self, axes: Any) -> None:
        self.axes = axes
        self.renderer = axes.figure.canvas.get_renderer()
        self.unit = 72.0 / axes.figure.dpi

    def box(self, artist: Any) -> Box:
        """What ``artist`` covers."""
        extent = artist.get_window_extent(self.renderer)
        return Box(extent.x0 * self.unit, extent.y0 * self.unit, extent.x1 * self.unit, extent.y1 * self.unit)

    def spot(self, point: Point) -> Point:
        """Data coordinates -> points."""
        x, y = self.axes.transData.transform(point)
        return x * self.unit, y * self.unit

    def data(self, x: float, y: float) -> Point:
        """Points -> data coordinates."""
        across, up = self.axes.transData.inverted().transform((x / self.unit, y / self.unit))
        return float(across), float(up)

    def centre(self, text: Any, box: Box) -> None:
        """Put ``text`` into ``box``."""
        text.set_position(self.data((box.left + box.right) / 2, (box.bottom + box.top) / 2))
        text.set(ha="center", va="center")


def note_on_line(paper: Paper, text: Any, height: float, points: list[Point], lines: list[tuple[Point, Point]]) -> None:
    """Move ``text`` along a horizontal line to where it covers least, above or below it.

    Args:
        paper: the axes.
        text: the note.
        height: where the line lies, in data coordinates.
        points: what must stay free.
        lines: what is better not covered.
    """
    size, frame = paper.box(text), paper.box(paper.axes)
    width, tall = size.right - size.left, size.top - size.bottom
    marks = [Box.around(paper.spot(point), margin=_MARK) for point in points]
    soft = [piece for start, end in lines for piece in _pieces(paper.spot(start), paper.spot(end))]
    level = paper.spot((paper.axes.get_xlim()[1], height))[1]
    free = frame.right - frame.left - width - 8
    options = []
    for base in (level + 1.5, level - 1.5 - tall):
        for step in (0.0, 1.0, *(index / 12 for index in range(1, 12))):
            left = frame.left + 4 + free * step
            options.append(Box(left, base, left + width, base + tall))
    paper.centre(text, min(options, key=lambda option: _price(0.0, option, frame, marks, soft)))


def label_points(
    paper: Paper, points: list[Point], texts: list[Any], hard: list[Any], lines: list[tuple[Point, Point]]
) -> None:
    """Move ``texts`` beside ``points`` and tie distant ones to their point with a thin line.

    Args:
        paper: the axes.
        points: in data coordinates.
        texts: one per point.
        hard: further texts that must stay readable.
        lines: in data coordinates, better not covered.
    """
    spots = [paper.spot(point) for point in points]
    soft = [piece for start, end in lines for piece in _pieces(paper.spot(start), paper.spot(end))]
    sizes = [(size.right - size.left, size.top - size.bottom) for size in map(paper.box, texts)]
    places = place(spots, sizes, paper.box(paper.axes), [paper.box(artist) for artist in hard], soft)
    for (x, y), text, box in zip(spots, texts, places, strict=True):
        paper.centre(text, box)
        near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        if math.dist((x, y), near) > 13:
            across, up = zip(paper.data(x, y), paper.data(*near), strict=True)
            paper.axes.plot(across, up, color=text.get_color(), linewidth=0.6, zorder=1.5, scalex=False, scaley=False)


def _pieces(start: Point, end: Point) -> list[Box]:
    """A line as small boxes."""
    count = max(1, round(math.dist(start, end) / 4))
    across, up = (end[0] - start[0]) / count, (end[1] - start[1]) / count
    steps = [(start[0] + across * index, start[1] + up * index) for index in range(count + 1)]
    return [Box.around(first, second, margin=0.7) for first, second in pairwise(steps)]
