"""Lights of a room: by day or at night, warm or neutral, from the ceiling or from its lamps."""

from __future__ import annotations

import numpy as np

from frugalmtl_rooms.materials.material import WHITE, Colour, linear, mix, times
from frugalmtl_rooms.scene.description import Finish, Light, Point


class Illumination:
    """Colour, number and strength of the lights of a room, and what the windows show."""

    def __init__(self, rng: np.random.Generator, shifted: bool) -> None:
        self.rng, self.shifted = rng, shifted
        self.warm = bool(rng.random() < 0.45)
        self.night = bool(rng.random() < 0.35)
        white, warm = linear("f4f6ff"), linear("ffc588")
        if shifted:
            white, warm = linear("b9d0ff"), linear("ff9a55")
        self.bulb: Colour = mix(warm if self.warm else white, WHITE, 0.15 * float(rng.random()))
        self.outside = 0.12 if self.night else float(rng.uniform(0.75, 1.0))
        level = float(rng.uniform(0.05, 0.12)) if self.night else float(rng.uniform(0.22, 0.4))
        tint = self.bulb if self.night else mix(self.bulb, linear("dfe9f7"), 0.25 if self.warm else 0.6)
        self.ambient: Colour = times(tint, level)
        target = float(rng.uniform(0.2, 0.31)) if self.night else float(rng.uniform(0.42, 0.56))
        if shifted:
            target *= float(rng.uniform(0.75, 1.1))
        noise = float(rng.uniform(0.012, 0.03) if shifted else rng.uniform(0.004, 0.016))
        self.finish = Finish(target, noise)

    def lights(self, width: float, height: float, depth: float, lamps: list[tuple[int, Point]]) -> tuple[Light, ...]:
        """A ceiling light or the lamps of the room; two at most (three when shifted)."""
        rng, lights = self.rng, []
        limit = 3 if self.shifted else 2
        for holder, bulb in lamps[: limit - 1]:
            lights.append(Light(bulb, times(self.bulb, float(rng.uniform(1.2, 2.2))), 0.06, holder))
        low = 0.9 if self.shifted else 0.25
        place = (
            width * float(rng.uniform(0.25, 0.75)),
            height - float(rng.uniform(0.15, low)),
            depth * float(rng.uniform(0.25, 0.75)),
        )
        strength = float(rng.uniform(2.0, 4.0)) * (0.5 if self.night and lights else 1.0)
        lights.append(Light(place, times(self.bulb, strength), 0.12 if self.shifted else 0.18))
        if self.shifted and len(lights) < limit:
            hue = linear(("ff5f7a", "6f8bff", "6fffc4")[int(rng.integers(3))])
            corner = (
                width * float(rng.uniform(0.1, 0.9)),
                float(rng.uniform(1.2, 2.0)),
                depth * float(rng.uniform(0.1, 0.9)),
            )
            lights.append(Light(corner, times(hue, 1.2), 0.1))
        return tuple(lights)
