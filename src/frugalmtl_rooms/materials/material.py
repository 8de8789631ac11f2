"""Materials and linear colours.

Colours are written as hexadecimal display values and kept as linear intensities (display value squared).
"""

from __future__ import annotations

import colorsys
from typing import NamedTuple

Colour = tuple[float, float, float]

# Patterns: layouts of a material's colours over a surface (see `texture`).
PLAIN, CLOTH, STRIPES, CHECKER, PLANKS, GRAIN, TILES, BRICK, CARPET, ART, SKY, BOOKS, BORDER, LEAF = range(14)


class Material(NamedTuple):
    """A pattern and its colours.

    Args:
        pattern: one of the patterns above.
        a, b, c: linear colours.
        scale: repeats per metre.
        gloss: strength of the highlight (0..1).
        glow: strength of the light that the material gives off (0..1).
        offset: where the pattern begins (m).
    """

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


def colours(codes: str) -> tuple[Colour, ...]:
    """Linear colours of hexadecimal codes, separated by spaces."""
    return tuple(linear(code) for code in codes.split())


WHITE = linear("f2efe9")


def plain(colour: Colour, gloss: float = 0.0) -> Material:
    """An even colour."""
    return Material(PLAIN, colour, colour, colour, 1.0, gloss)
