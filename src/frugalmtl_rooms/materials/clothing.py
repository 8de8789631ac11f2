"""Skin, hair and clothes."""

from __future__ import annotations

from frugalmtl_rooms.materials.material import (
    CHECKER,
    CLOTH,
    STRIPES,
    WHITE,
    Material,
    colours,
    hsv,
    mix,
    plain,
    times,
)
from frugalmtl_rooms.materials.palette import Palette


def skin(palette: Palette) -> Material:
    """A skin tone."""
    a = palette.pick(colours("f1cdb0 e3b48f c98f66 9c6440 7a4a2e 5a3623 ecc3a5"), 0.06)
    return plain(a, 0.06)


def hair(palette: Palette) -> Material:
    """A hair colour."""
    a = palette.pick(colours("17120f 2d1d14 523420 8a5a2f c9a45c 6d6a68 7a2f1a"))
    return Material(CLOTH, a, times(a, 0.5), a, 3.0, 0.12, 0.0, palette.offset())


def shirt(palette: Palette) -> Material:
    """A shirt or jumper."""
    if palette.rng.random() < 0.3:
        a = palette.pick(colours("f0eee9 d9d6cf 2a2d33 55585e"))
    else:
        a = hsv(float(palette.rng.random()), palette.between(0.3, 0.85), palette.between(0.3, 0.9))
    pattern = palette.choose(CLOTH, CLOTH, STRIPES, CHECKER)
    return Material(
        pattern, a, mix(times(a, 0.6), WHITE, 0.3), a, 9.0 if pattern != CLOTH else 1.0, 0.0, 0.0, palette.offset()
    )


def trousers(palette: Palette) -> Material:
    """Jeans, dark cloth or khaki."""
    a = palette.pick(colours("2f4260 1f2430 4b5a75 5a5348 8b7a5c 2b2b2b 6d7078"))
    return Material(CLOTH, a, times(a, 0.75), a, 1.0, 0.0, 0.0, palette.offset())


def shoes(palette: Palette) -> Material:
    """Dark, brown or white shoes."""
    a = palette.pick(colours("1c1c1e 4a3222 e6e3de 7a2d2d"))
    return plain(a, 0.2)
