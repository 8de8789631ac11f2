"""Floor plan: free spots on the floor, free spans on the walls, free runs for whatever moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from frugalmtl_rooms.scene.description import Point


@dataclass(frozen=True)
class Frame:
    """Turns coordinates of an object (x to its right, z to its front) into world coordinates."""

    x: float
    z: float
    yaw: float

    def at(self, x: float, y: float, z: float) -> Point:
        """World point of a local point."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self.x + c * x + s * z, y, self.z - s * x + c * z


@dataclass
class FloorPlan:
    """Discs on the floor that are taken, and rectangles on the four walls that are taken.

    Wall sides: 0 is z=0, 1 is z=depth, 2 is x=0, 3 is x=width.
    """

    rng: np.random.Generator
    width: float
    depth: float
    discs: list[tuple[float, float, float]] = field(default_factory=list)
    _walls: list[tuple[int, float, float, float, float]] = field(default_factory=list)

    def free(self, x: float, z: float, radius: float) -> bool:
        """Whether a disc lies in the room and touches no other."""
        if not (radius <= x <= self.width - radius and radius <= z <= self.depth - radius):
            return False
        return all((x - a) ** 2 + (z - b) ** 2 >= (radius + r) ** 2 for a, b, r in self.discs)

    def spot(
        self, radius: float, corner: bool = False, tries: int = 16, keep: bool = True
    ) -> tuple[float, float] | None:
        """Find (and keep) a free disc anywhere or near a corner of the room; None if all tries fail."""
        for _ in range(tries):
            u, v = self.rng.random(), self.rng.random()
            if corner:
                u, v = (0.12 * u if u < 0.5 else 1 - 0.12 * u), (0.12 * v if v < 0.5 else 1 - 0.12 * v)
            x = radius + 0.05 + u * (self.width - 2 * radius - 0.1)
            z = radius + 0.05 + v * (self.depth - 2 * radius - 0.1)
            if self.free(x, z, radius):
                if keep:
                    self.discs.append((x, z, radius))
                return x, z
        return None

    def run(self, x: float, z: float, yaw: float, radius: float, limit: float) -> float:
        """How far a disc can go in direction yaw (0 is +z) before it meets a wall or a taken disc; at most limit."""
        dx, dz = math.sin(yaw), math.cos(yaw)
        for position, step, length in ((x, dx, self.width), (z, dz, self.depth)):
            if step > 1e-9:
                limit = min(limit, (length - radius - position) / step)
            elif step < -1e-9:
                limit = min(limit, (radius - position) / step)
        for a, b, r in self.discs:
            along = (a - x) * dx + (b - z) * dz
            gap = (a - x) ** 2 + (b - z) ** 2 - along * along
            reach = (r + radius) ** 2
            if along > 0 and gap < reach:
                limit = min(limit, along - math.sqrt(reach - gap))
        return max(0.0, limit)

    def take_run(self, x: float, z: float, yaw: float, radius: float, length: float) -> None:
        """Reserve the whole way of something that moves."""
        steps = max(1, math.ceil(length / max(radius, 0.05)))
        for i in range(steps + 1):
            s = length * i / steps
            self.discs.append((x + s * math.sin(yaw), z + s * math.cos(yaw), radius))

    def length(self, side: int) -> float:
        """Length of a wall."""
        return self.width if side < 2 else self.depth

    def wall_span(self, half: float, low: float, high: float, out: float = 0.0, tries: int = 8) -> Frame | None:
        """Take a free rectangle of a wall, heights low..high; with out > 0 the floor before it must be free as well.

        Returns:
            Frame at the foot of the wall that faces the room; None if all tries fail.
        """
        for _ in range(tries):
            side = int(self.rng.integers(4))
            length = self.length(side)
            if length < 2 * half + 0.1:
                continue
            s = float(self.rng.uniform(half + 0.05, length - half - 0.05))
            if any(
                side == other and s - half < b and s + half > a and low < d and high > c
                for other, a, b, c, d in self._walls
            ):
                continue
            frame = self.on_wall(side, s)
            spots = self._before(frame, half, out) if out > 0 else []
            if any((a - p) ** 2 + (b - q) ** 2 < (r + t) ** 2 for p, q, t in spots for a, b, r in self.discs):
                continue
            self.discs.extend(spots)
            self._walls.append((side, s - half, s + half, low, high))
            return frame
        return None

    @staticmethod
    def _before(frame: Frame, half: float, out: float) -> list[tuple[float, float, float]]:
        """Discs that cover the floor before a span of wall, as deep as out."""
        count = max(1, round(half / out))
        step = 2 * half / count
        discs = []
        for i in range(count):
            x, _, z = frame.at((i + 0.5 - count / 2) * step, 0, out / 2)
            discs.append((x, z, max(out, step) / 2))
        return discs

    def on_wall(self, side: int, s: float) -> Frame:
        """Frame at place s along a wall that faces the room."""
        if side == 0:
            return Frame(s, 0.0, 0.0)
        if side == 1:
            return Frame(s, self.depth, math.pi)
        if side == 2:
            return Frame(0.0, s, math.pi / 2)
        return Frame(self.width, s, -math.pi / 2)
