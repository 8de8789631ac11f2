"""Materials with plausible colours: paint, wood, tiles, carpet, cloth, skin, leaves; two families of palettes.

Colours are written as hexadecimal display values and kept as linear intensities (display value squared).
"""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np

Colour = tuple[float, float, float]

# Patterns: how the colours of a material are laid out over a surface (see `texture`).
PLAIN, CLOTH, STRIPES, CHECKER, PLANKS, GRAIN, TILES, BRICK, CARPET, ART, SKY, BOOKS, BORDER, LEAF = range(14)


class Material(NamedTuple):
    """Pattern, three linear colours, repeats per metre, strength of the highlight (0..1), own light (0..1), offset."""

    pattern: int
    a: Colour
    b: Colour
    c: Colour
    scale: float = 1.0
    gloss: float = 0.0
    glow: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)


def linear(code: str) -> Colour:
    """Linear colour of a hexadecimal display colour."""
    r, g, b = (int(code[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return r * r, g * g, b * b


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Blend: share 0 gives a, 1 gives b."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def times(colour: Colour, factor: float) -> Colour:
    """Brighten or darken."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Linear colour of hue, saturation, value (display)."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return r * r, g * g, b * b


def _colours(codes: str) -> tuple[Colour, ...]:
    return tuple(linear(code) for code in codes.split())


WHITE = linear("f2efe9")


class Palette:
    """Draws materials for things in a room. `shifted` swaps every colour table for one with other hues and tones.

    Args:
        rng: source of all choices.
        shifted: other palettes (deep walls, stone and dark floors, bright upholstery).
    """

    def __init__(self, rng: np.random.Generator, shifted: bool = False) -> None:
        self.rng = rng
        if shifted:
            self.paints = _colours("27485c 2f5d50 6b2d3c 3b3a5a c9a227 8a4b2a 1f6f78 7d7f2b 55304f b5473c 4d6b8f")
            self.woods = _colours("2e2019 1d1a19 d9d2c4 8f8f8b 5b2a1e e8e1d3")
            self.tiles = _colours("3a4148 7c4a35 20262b 9aa38f 1f4d56 a9563c")
            self.carpets = _colours("20344a 52213a 1f4233 b08a1f 3b2f5c 7a2620")
            self.cloths = _colours("e4572e 17bebb ffc914 76b041 c2185b 6a1b9a 1e88e5 00897b f06292 fdd835")
            self.trims = _colours("1b1b1b 3a3a3a 5b4a2f 27485c")
        else:
            self.paints = _colours(
                "efe9df e6ddcf dfe3e2 d3dbd2 cfd9e0 e9d7c3 d9c7b0 c9d2c4 eadfd3 bfc9cf e3c9b5 c7bfb3"
            )
            self.woods = _colours("b98a5a 9c6b3f 7a4f2e c8a06e a87c50 5e3b24 d3b48a 86603e")
            self.tiles = _colours("d8d3c8 b9b4a9 c9bba5 a39c92 e3ddd2 8f8d8a")
            self.carpets = _colours("a59c8f 8b8680 b7aa97 77808a 94877a 6f6a66")
            self.cloths = _colours("5b6b7a 8a5a44 6f7d62 a8a097 3f4c5c b07a4f 7d4b4b c4b59d 4f6a68 94846f")
            self.trims = _colours("f2efe9 e8e4da d8d2c6 c9b79c 6b4a30")

    def pick(self, table: tuple[Colour, ...], jitter: float = 0.12) -> Colour:
        """A colour of the table, a little lighter or darker."""
        return times(table[int(self.rng.integers(len(table)))], 1 + jitter * (2 * float(self.rng.random()) - 1))

    def choose(self, *patterns: int) -> int:
        """One of the patterns."""
        return patterns[int(self.rng.integers(len(patterns)))]

    def _offset(self) -> tuple[float, float]:
        return float(self.rng.random()) * 8, float(self.rng.random()) * 8

    def wall(self) -> Material:
        """Paint (most often), wallpaper with stripes, or brick; c is the skirting board."""
        a = self.pick(self.paints, 0.08)
        pattern = self.choose(PLAIN, PLAIN, PLAIN, PLAIN, STRIPES, BRICK)
        scale = {PLAIN: 1.0, STRIPES: 2.0 + 4.0 * float(self.rng.random()), BRICK: 1.0}[pattern]
        b = times(a, 0.62) if pattern == BRICK else times(a, 0.86)
        return Material(pattern, a, b, self.pick(self.trims), scale, 0.0, 0.0, self._offset())

    def floor(self) -> Material:
        """Wooden planks (half of the rooms), tiles or carpet."""
        kind = self.choose(PLANKS, PLANKS, TILES, CARPET)
        table = {PLANKS: self.woods, TILES: self.tiles, CARPET: self.carpets}[kind]
        a = self.pick(table)
        if kind == PLANKS:
            return Material(PLANKS, a, times(a, 0.55), a, float(self.rng.uniform(0.8, 1.3)), 0.12, 0.0, self._offset())
        if kind == TILES:
            b = self.pick(table) if self.rng.random() < 0.35 else times(a, 0.95)
            return Material(TILES, a, b, times(a, 0.6), float(self.rng.uniform(1.6, 3.2)), 0.2, 0.0, self._offset())
        return Material(CARPET, a, times(a, 0.7), a, 1.0, 0.0, 0.0, self._offset())

    def wood(self, gloss: float = 0.15) -> Material:
        """Furniture wood, sometimes painted."""
        if self.rng.random() < 0.2:
            a = self.pick(self.trims)
            return Material(PLAIN, a, a, a, 1.0, gloss)
        a = self.pick(self.woods)
        return Material(GRAIN, a, times(a, 0.55), a, float(self.rng.uniform(0.8, 1.6)), gloss, 0.0, self._offset())

    def paint(self, gloss: float = 0.1) -> Material:
        """Even paint in a wall or trim tone."""
        a = self.pick(self.trims if self.rng.random() < 0.6 else self.paints)
        return Material(PLAIN, a, a, a, 1.0, gloss)

    def metal(self) -> Material:
        """Dark, steel or brass."""
        a = self.pick(_colours("2b2b2e 8d8f92 b08d4a 4a4a4c"))
        return Material(PLAIN, a, a, a, 1.0, 0.5)

    def cloth(self, patterned: float = 0.2) -> Material:
        """Upholstery."""
        a = self.pick(self.cloths)
        pattern = self.choose(STRIPES, CHECKER) if self.rng.random() < patterned else CLOTH
        scale = 6.0 if pattern != CLOTH else 1.0
        return Material(pattern, a, mix(times(a, 0.7), WHITE, 0.25), a, scale, 0.0, 0.0, self._offset())

    def rug(self) -> Material:
        """Woven rug: plain with a border, stripes, or a check."""
        a, b = self.pick(self.cloths), self.pick(self.cloths)
        pattern = self.choose(BORDER, BORDER, STRIPES, CHECKER, CARPET)
        return Material(pattern, a, mix(b, WHITE, 0.3), b, float(self.rng.uniform(2, 5)), 0.0, 0.0, self._offset())

    def art(self) -> Material:
        """An abstract painting in three colours."""
        h, s = float(self.rng.random()), float(self.rng.uniform(0.25, 0.8))
        step = float(self.rng.choice((0.08, 0.33, 0.5)))
        a, b, c = hsv(h, s, 0.9), hsv(h + step, s, 0.6), hsv(h + step / 2, s * 0.4, 0.95)
        return Material(ART, a, b, c, float(self.rng.uniform(0.25, 0.7)), 0.1, 0.0, self._offset())

    def toy(self) -> Material:
        """Bright plastic or leather of a ball."""
        h = float(self.rng.random())
        pattern = self.choose(PLAIN, STRIPES, CHECKER)
        a = hsv(h, float(self.rng.uniform(0.6, 0.95)), float(self.rng.uniform(0.55, 0.95)))
        return Material(pattern, a, mix(a, WHITE, 0.85), a, float(self.rng.uniform(5, 9)), 0.45)

    def carton(self) -> Material:
        """Cardboard, or a painted storage box; c is the tape."""
        a = self.pick(_colours("b8925f a67f4e c7a574") if self.rng.random() < 0.6 else self.cloths)
        return Material(BORDER, a, a, times(a, 0.75), 0.0, 0.0, 0.0, (1.0, 0.0))

    def books(self) -> Material:
        """Rows of book spines in the given wood."""
        a = self.pick(self.woods)
        return Material(BOOKS, times(a, 0.35), times(a, 0.8), a, 1.0, 0.0, 0.0, self._offset())

    def shade(self, colour: Colour) -> Material:
        """A lamp shade that glows in the colour of its bulb."""
        return Material(PLAIN, mix(WHITE, colour, 0.5), WHITE, WHITE, 1.0, 0.0, 0.9)

    def glass(self, brightness: float) -> Material:
        """A window pane with the sky, the far trees and a meadow behind it."""
        if brightness < 0.3:
            sky, haze, ground = linear("16233f"), linear("2d3b5a"), linear("0d1512")
        else:
            sky, haze, ground = linear("8fb8e8"), linear("e6eef5"), linear("6f8a55")
        return Material(SKY, sky, haze, ground, 1.0, 0.3, brightness, self._offset())

    def foliage(self) -> Material:
        """Leaves: green, between yellow-green and blue-green."""
        a = hsv(
            float(self.rng.uniform(0.23, 0.38)), float(self.rng.uniform(0.5, 0.75)), float(self.rng.uniform(0.4, 0.65))
        )
        return Material(LEAF, a, times(a, 0.45), mix(a, linear("d8e08a"), 0.4), 1.0, 0.15, 0.0, self._offset())

    def pot(self) -> Material:
        """Terracotta, white or dark glazed clay, or a basket."""
        a = self.pick(_colours("b5643c e8e2d8 3f474d c2a06b 7d8f8a"))
        return Material(self.choose(PLAIN, CLOTH), a, times(a, 0.7), a, 1.0, 0.25)

    def skin(self) -> Material:
        """A skin tone."""
        a = self.pick(_colours("f1cdb0 e3b48f c98f66 9c6440 7a4a2e 5a3623 ecc3a5"), 0.06)
        return Material(PLAIN, a, a, a, 1.0, 0.06)

    def hair(self) -> Material:
        """A hair colour."""
        a = self.pick(_colours("17120f 2d1d14 523420 8a5a2f c9a45c 6d6a68 7a2f1a"))
        return Material(CLOTH, a, times(a, 0.5), a, 3.0, 0.12, 0.0, self._offset())

    def shirt(self) -> Material:
        """A shirt or jumper."""
        if self.rng.random() < 0.3:
            a = self.pick(_colours("f0eee9 d9d6cf 2a2d33 55585e"))
        else:
            a = hsv(float(self.rng.random()), float(self.rng.uniform(0.3, 0.85)), float(self.rng.uniform(0.3, 0.9)))
        pattern = self.choose(CLOTH, CLOTH, STRIPES, CHECKER)
        return Material(
            pattern, a, mix(times(a, 0.6), WHITE, 0.3), a, 9.0 if pattern != CLOTH else 1.0, 0.0, 0.0, self._offset()
        )

    def trousers(self) -> Material:
        """Jeans, dark cloth or khaki."""
        a = self.pick(_colours("2f4260 1f2430 4b5a75 5a5348 8b7a5c 2b2b2b 6d7078"))
        return Material(CLOTH, a, times(a, 0.75), a, 1.0, 0.0, 0.0, self._offset())

    def shoes(self) -> Material:
        """Dark, brown or white shoes."""
        a = self.pick(_colours("1c1c1e 4a3222 e6e3de 7a2d2d"))
        return Material(PLAIN, a, a, a, 1.0, 0.2)

    @staticmethod
    def plain(colour: Colour, gloss: float = 0.0) -> Material:
        """An even colour."""
        return Material(PLAIN, colour, colour, colour, 1.0, gloss)
