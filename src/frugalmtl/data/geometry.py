"""Geometric mapping from result pixels to stored pixels, shared by an image and all its labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Fit = Literal["resize", "pad"]
_TIE = 1e-9  # a sampling point on the border between two pixels belongs to the right (lower) one, whatever rounding did
_CENTRE = 1e-6  # sampling points this close to pixel centres are taken as pixel centres


@dataclass(frozen=True)
class Geometry:
    """Scale and turn about the centre of a stored image, then a window of the wanted size.

    With stored centre ``c``, magnification ``s``, turn ``R``, stretch ``S``, window offset ``o`` a stored point ``p``
    lands at ``S (s R (p - c) + s c) - o``: the turn happens in the stored frame, rigid even if the image is stretched.

    Attributes:
        source: stored height and width in pixels.
        size: height and width of the result in pixels.
        scale: magnification s.
        degrees: turn, counter-clockwise as seen in the picture.
        fit: ``"resize"`` stretches the stored image to ``size`` (S); ``"pad"`` keeps its pixels and cuts or pads.
        place: position of the window (x, y) in [0, 1] of the way it can move; a smaller image is always centred.
    """

    source: tuple[int, int]
    size: tuple[int, int]
    scale: float = 1.0
    degrees: float = 0.0
    fit: Fit = "resize"
    place: tuple[float, float] = (0.5, 0.5)

    @property
    def magnification(self) -> tuple[float, float]:
        """Result pixels per stored pixel (vertical, horizontal) along the image's own axes."""
        if self.fit == "pad":
            return self.scale, self.scale
        return tuple(self.scale * wanted / stored for wanted, stored in zip(self.size, self.source, strict=True))  # type: ignore[return-value]

    def coordinates(self) -> tuple[Tensor, Tensor]:
        """Stored coordinates (x, y) of each result pixel's centre, float64.

        Shapes ``[1, W]`` and ``[H, 1]`` without a turn, ``[H, W]`` with one. Pixel i covers [i, i + 1).
        """
        (rise, run), (height, width), (rows, columns) = self.magnification, self.source, self.size
        whole = self.degrees == 0.0
        x_offset = _offset(width, run, columns, self.place[0], whole)
        y_offset = _offset(height, rise, rows, self.place[1], whole)
        x = torch.arange(columns, dtype=torch.float64)[None, :] + (0.5 + x_offset)
        y = torch.arange(rows, dtype=torch.float64)[:, None] + (0.5 + y_offset)
        if whole:
            return x / run, y / rise
        # Undo stretch and scale about the centre of the content, turn back, return to the stored centre.
        x, y = x / run - width / 2, y / rise - height / 2
        cosine, sine = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        return cosine * x - sine * y + width / 2, sine * x + cosine * y + height / 2


def _offset(stored: int, magnification: float, wanted: int, place: float, whole: bool) -> float:
    """Where the window begins in the scaled image; whole pixels if that keeps every pixel as it is."""
    slack = stored * magnification - wanted
    if whole and magnification == 1.0:
        if slack <= 0:
            return -(int(-slack) // 2)
        return int(place * (slack + 1)) if place < 1.0 else int(slack)
    return place * slack if slack > 0 else slack / 2


class Warp:
    """Reads a result's pixels from stored maps of one size.

    Args:
        x: stored x coordinate of each result pixel, broadcastable with ``y`` to ``[H, W]``.
        y: stored y coordinate.
        source: stored height and width.
    """

    def __init__(self, x: Tensor, y: Tensor, source: tuple[int, int]) -> None:
        self.x, self.y, self.source = x, y, source
        column, row = (x + _TIE).floor().long(), (y + _TIE).floor().long()
        inside = (column >= 0) & (column < source[1]) & (row >= 0) & (row < source[0])
        self.support = inside
        """Bool ``[H, W]``: result pixels whose centre lies in the stored image."""
        self.covered = bool(inside.all())
        self._column, self._row = column.clamp(0, source[1] - 1), row.clamp(0, source[0] - 1)
        self._untouched = inside.shape == source and self.covered and _counts(column) and _counts(row.T)
        self._exact = _on_centres(x) and _on_centres(y)

    @classmethod
    def of(cls, geometry: Geometry) -> Warp:
        """The warp of a geometry."""
        return cls(*geometry.coordinates(), geometry.source)

    def resized(self, source: tuple[int, int]) -> Warp:
        """The same warp for maps that show the same picture with another number of pixels."""
        if source == self.source:
            return self
        return Warp(self.x * (source[1] / self.source[1]), self.y * (source[0] / self.source[0]), source)

    def nearest(self, values: Tensor) -> Tensor:
        """The stored value at each result pixel ``[..., H, W]``; outside the stored image the nearest border value."""
        return values if self._untouched else values[..., self._row, self._column]

    def smooth(self, values: Tensor, mode: Literal["bilinear", "bicubic"], *, border: bool) -> Tensor:
        """Interpolated values ``[C, H, W]`` float; beyond the border the border's value (``border``) or zero.

        Where all sampling points are pixel centres nothing is interpolated: mirrors, crops, right angles are exact.
        """
        if self._exact:
            exact = self.nearest(values).float()
            return exact if border or self.covered else exact * self.support
        height, width = self.source
        shape = (self.support.shape[0], self.support.shape[1])
        # grid_sample counts from -1 to 1 over the whole map
        across, down = self.x * (2.0 / width) - 1.0, self.y * (2.0 / height) - 1.0
        grid = torch.stack([across.expand(shape), down.expand(shape)], dim=-1)
        padding = "border" if border else "zeros"
        return F.grid_sample(
            values[None].float(), grid[None].float(), mode=mode, padding_mode=padding, align_corners=False
        )[0]


def _counts(index: Tensor) -> bool:
    """``[1, N]`` holds 0, 1, 2, ..."""
    return index.shape[0] == 1 and bool((index[0] == torch.arange(index.shape[1])).all())


def _on_centres(coordinate: Tensor) -> bool:
    shifted = coordinate - 0.5
    return bool((shifted - shifted.round()).abs().max() < _CENTRE)
