"""Materials of walls, floors, furniture and things."""

from __future__ import annotations

from frugalmtl_rooms.materials.material import (
    ART,
    BOOKS,
    BORDER,
    BRICK,
    CARPET,
    CHECKER,
    CLOTH,
    GRAIN,
    LEAF,
    PLAIN,
    PLANKS,
    SKY,
    STRIPES,
    TILES,
    WHITE,
    Colour,
    Material,
    colours,
    hsv,
    linear,
    mix,
    plain,
    times,
)
from frugalmtl_rooms.materials.palette import Palette


def wall(palette: Palette) -> Material:
    """Paint (most often), wallpaper with stripes, or brick; c is the skirting board."""
    a = palette.pick(palette.paints, 0.08)
    pattern = palette.choose(PLAIN, PLAIN, PLAIN, PLAIN, STRIPES, BRICK)
    scale = {PLAIN: 1.0, STRIPES: 2.0 + 4.0 * float(palette.rng.random()), BRICK: 1.0}[pattern]
    b = times(a, 0.62) if pattern == BRICK else times(a, 0.86)
    return Material(pattern, a, b, palette.pick(palette.trims), scale, 0.0, 0.0, palette.offset())


def floor(palette: Palette) -> Material:
    """Wooden planks (half of the rooms), tiles or carpet."""
    kind = palette.choose(PLANKS, PLANKS, TILES, CARPET)
    table = {PLANKS: palette.woods, TILES: palette.tiles, CARPET: palette.carpets}[kind]
    a = palette.pick(table)
    if kind == PLANKS:
        return Material(PLANKS, a, times(a, 0.55), a, palette.between(0.8, 1.3), 0.12, 0.0, palette.offset())
    if kind == TILES:
        b = palette.pick(table) if palette.rng.random() < 0.35 else times(a, 0.95)
        return Material(TILES, a, b, times(a, 0.6), palette.between(1.6, 3.2), 0.2, 0.0, palette.offset())
    return Material(CARPET, a, times(a, 0.7), a, 1.0, 0.0, 0.0, palette.offset())


def wood(palette: Palette) -> Material:
    """Furniture wood, sometimes painted."""
    if palette.rng.random() < 0.2:
        a = palette.pick(palette.trims)
        return plain(a, 0.15)
    a = palette.pick(palette.woods)
    return Material(GRAIN, a, times(a, 0.55), a, palette.between(0.8, 1.6), 0.15, 0.0, palette.offset())


def paint(palette: Palette) -> Material:
    """Even paint in a wall or trim tone."""
    a = palette.pick(palette.trims if palette.rng.random() < 0.6 else palette.paints)
    return plain(a, 0.1)


def metal(palette: Palette) -> Material:
    """Dark, steel or brass."""
    a = palette.pick(colours("2b2b2e 8d8f92 b08d4a 4a4a4c"))
    return plain(a, 0.5)


def cloth(palette: Palette, patterned: float = 0.2) -> Material:
    """Upholstery."""
    a = palette.pick(palette.cloths)
    pattern = palette.choose(STRIPES, CHECKER) if palette.rng.random() < patterned else CLOTH
    scale = 6.0 if pattern != CLOTH else 1.0
    return Material(pattern, a, mix(times(a, 0.7), WHITE, 0.25), a, scale, 0.0, 0.0, palette.offset())


def rug(palette: Palette) -> Material:
    """Woven rug: plain with a border, stripes, or a check."""
    a, b = palette.pick(palette.cloths), palette.pick(palette.cloths)
    pattern = palette.choose(BORDER, BORDER, STRIPES, CHECKER, CARPET)
    return Material(pattern, a, mix(b, WHITE, 0.3), b, palette.between(2, 5), 0.0, 0.0, palette.offset())


def art(palette: Palette) -> Material:
    """An abstract painting in three colours."""
    h, s = float(palette.rng.random()), palette.between(0.25, 0.8)
    step = float(palette.rng.choice((0.08, 0.33, 0.5)))
    a, b, c = hsv(h, s, 0.9), hsv(h + step, s, 0.6), hsv(h + step / 2, s * 0.4, 0.95)
    return Material(ART, a, b, c, palette.between(0.25, 0.7), 0.1, 0.0, palette.offset())


def toy(palette: Palette) -> Material:
    """Bright plastic or leather of a ball."""
    h = float(palette.rng.random())
    pattern = palette.choose(PLAIN, STRIPES, CHECKER)
    a = hsv(h, palette.between(0.6, 0.95), palette.between(0.55, 0.95))
    return Material(pattern, a, mix(a, WHITE, 0.85), a, palette.between(5, 9), 0.45)


def carton(palette: Palette) -> Material:
    """Cardboard, or a painted storage box; c is the tape."""
    a = palette.pick(colours("b8925f a67f4e c7a574") if palette.rng.random() < 0.6 else palette.cloths)
    return Material(BORDER, a, a, times(a, 0.75), 0.0, 0.0, 0.0, (1.0, 0.0))


def books(palette: Palette) -> Material:
    """Rows of book spines in the given wood."""
    a = palette.pick(palette.woods)
    return Material(BOOKS, times(a, 0.35), times(a, 0.8), a, 1.0, 0.0, 0.0, palette.offset())


def shade(colour: Colour) -> Material:
    """A lamp shade that glows in the colour of its bulb."""
    return Material(PLAIN, mix(WHITE, colour, 0.5), WHITE, WHITE, 1.0, 0.0, 0.9)


def glass(palette: Palette, brightness: float) -> Material:
    """A window pane with the sky, the far trees and a meadow behind it."""
    if brightness < 0.3:
        sky, haze, ground = linear("16233f"), linear("2d3b5a"), linear("0d1512")
    else:
        sky, haze, ground = linear("8fb8e8"), linear("e6eef5"), linear("6f8a55")
    return Material(SKY, sky, haze, ground, 1.0, 0.3, brightness, palette.offset())


def foliage(palette: Palette) -> Material:
    """Leaves: green, between yellow-green and blue-green."""
    a = hsv(
        palette.between(0.23, 0.38),
        palette.between(0.5, 0.75),
        palette.between(0.4, 0.65),
    )
    return Material(LEAF, a, times(a, 0.45), mix(a, linear("d8e08a"), 0.4), 1.0, 0.15, 0.0, palette.offset())


def pot(palette: Palette) -> Material:
    """Terracotta, white or dark glazed clay, or a basket."""
    a = palette.pick(colours("b5643c e8e2d8 3f474d c2a06b 7d8f8a"))
    return Material(palette.choose(PLAIN, CLOTH), a, times(a, 0.7), a, 1.0, 0.25)
