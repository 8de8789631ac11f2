"""Palettes: colour tables, and the generator that draws from them."""

from __future__ import annotations

import numpy as np

from frugalmtl_rooms.materials.material import Colour, colours, times


class Palette:
    """Draws colours and patterns of materials. `shifted` swaps every colour table for one with other hues and tones.

    Args:
        rng: source of all choices.
        shifted: other palettes (deep walls, stone and dark floors, bright upholstery).
    """

    def __init__(self, rng: np.random.Generator, shifted: bool = False) -> None:
        self.rng = rng
        if shifted:
            self.paints = colours("27485c 2f5d50 6b2d3c 3b3a5a c9a227 8a4b2a 1f6f78 7d7f2b 55304f b5473c 4d6b8f")
            self.woods = colours("2e2019 1d1a19 d9d2c4 8f8f8b 5b2a1e e8e1d3")
            self.tiles = colours("3a4148 7c4a35 20262b 9aa38f 1f4d56 a9563c")
            self.carpets = colours("20344a 52213a 1f4233 b08a1f 3b2f5c 7a2620")
            self.cloths = colours("e4572e 17bebb ffc914 76b041 c2185b 6a1b9a 1e88e5 00897b f06292 fdd835")
            self.trims = colours("1b1b1b 3a3a3a 5b4a2f 27485c")
        else:
            self.paints = colours("efe9df e6ddcf dfe3e2 d3dbd2 cfd9e0 e9d7c3 d9c7b0 c9d2c4 eadfd3 bfc9cf e3c9b5 c7bfb3")
            self.woods = colours("b98a5a 9c6b3f 7a4f2e c8a06e a87c50 5e3b24 d3b48a 86603e")
            self.tiles = colours("d8d3c8 b9b4a9 c9bba5 a39c92 e3ddd2 8f8d8a")
            self.carpets = colours("a59c8f 8b8680 b7aa97 77808a 94877a 6f6a66")
            self.cloths = colours("5b6b7a 8a5a44 6f7d62 a8a097 3f4c5c b07a4f 7d4b4b c4b59d 4f6a68 94846f")
            self.trims = colours("f2efe9 e8e4da d8d2c6 c9b79c 6b4a30")

    def pick(self, table: tuple[Colour, ...], jitter: float = 0.12) -> Colour:
        """A colour of the table, a little lighter or darker."""
        return times(table[int(self.rng.integers(len(table)))], 1 + jitter * (2 * float(self.rng.random()) - 1))

    def choose(self, *patterns: int) -> int:
        """One of the patterns."""
        return patterns[int(self.rng.integers(len(patterns)))]

    def between(self, low: float, high: float) -> float:
        """A number between low and high."""
        return float(self.rng.uniform(low, high))

    def offset(self) -> tuple[float, float]:
        """Where a pattern begins on a surface (m)."""
        return float(self.rng.random()) * 8, float(self.rng.random()) * 8
