"""Procedural textures: colour of a material at surface coordinates, filtered to the footprint of a pixel."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from frugalmtl_rooms.materials import material as m
from frugalmtl_rooms.scene.description import Floats, Ints

_SIDE = 256
_LEVELS = 5
_f = np.float32
_BOOK_HUES = np.array([[0.0], [0.09], [0.21]], np.float32)


@functools.cache
def noise_levels() -> Floats:
    """[levels, 256, 256] tileable noise between 0 and 1, each level blurred to half the detail of the one before."""
    rng = np.random.Generator(np.random.PCG64(7))
    total = np.zeros((_SIDE, _SIDE))
    for octave in range(6):
        cells = 4 * 2**octave
        grid = rng.random((cells, cells))
        place = np.arange(_SIDE) / (_SIDE // cells)
        low = place.astype(int)
        f = place - low
        f = f * f * (3 - 2 * f)
        rows = grid[low] * (1 - f)[:, None] + grid[(low + 1) % cells] * f[:, None]
        total += (rows[:, low] * (1 - f) + rows[:, (low + 1) % cells] * f) / 1.6**octave
    total = (total - total.min()) / (total.max() - total.min())
    levels = [total]
    for level in range(1, _LEVELS):
        step = 2 ** (level - 1)
        last = levels[-1]
        for axis in (0, 1):
            last = (np.roll(last, step, axis) + 2 * last + np.roll(last, -step, axis)) / 4
        levels.append(last)
    return np.ascontiguousarray(np.stack(levels), np.float32)


def _noise(u: Floats, v: Floats, footprint: Floats) -> Floats:
    """Noise at (u, v) in texels; the footprint (texels) selects the level."""
    level = np.clip(np.log2(np.maximum(footprint, 1)), 0, _LEVELS - 1).astype(np.int32)
    column = u.astype(np.int32) & (_SIDE - 1)
    row = v.astype(np.int32) & (_SIDE - 1)
    noise: Floats = noise_levels().ravel()[(level << 16) | (row << 8) | column]
    return noise


def _hash(i: Floats, j: Floats) -> Floats:
    """A number in [0, 1) per integer cell, by mixing integers."""
    h = i.astype(np.int32).astype(np.uint32) * np.uint32(0x9E3779B1)
    h += j.astype(np.int32).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(13)
    return (h & np.uint32(0xFFFF)).astype(np.float32) * _f(1 / 65536)


def _band(x: Floats, share: float, blur: Floats) -> Floats:
    """1 within share / 2 of every whole number, else 0, averaged over the footprint; far away only the mean remains."""
    blur = np.maximum(blur, _f(1e-3))
    distance = _f(share / 2) - np.abs(x - np.rint(x))
    on = np.clip(distance / blur + _f(0.5), 0, 1)
    out: Floats = _f(share) + (on - _f(share)) * np.clip(_f(1.6) - blur, 0, 1)
    return out


class _Points(NamedTuple):
    """n surface points with one pattern.

    Args:
        u, v: [n] coordinates shifted by the offset of the material (m).
        uv: [2, n] coordinates from the middle of the face (m), span: [2, n] its half sizes (m).
        blur: [n] footprint of the pixel (m).
        scale: [n] repeats per metre.
        a, b, c: [3, n] colours.
    """

    u: Floats
    v: Floats
    uv: Floats
    span: Floats
    blur: Floats
    scale: Floats
    a: Floats
    b: Floats
    c: Floats


def _plain(p: _Points) -> Floats:
    return p.a


def _cloth(p: _Points) -> Floats:
    fine = 180 * p.scale
    out: Floats = p.a * (_f(1.18) - _f(0.36) * _noise(p.u * fine, p.v * fine, p.blur * fine))
    return out


def _carpet(p: _Points) -> Floats:
    pile = _noise(p.u * 300, p.v * 300, p.blur * 300)
    patches = _noise(p.u * 40, p.v * 40, p.blur * 40)
    out: Floats = p.a + (p.b - p.a) * (pile * _f(0.6) + patches * _f(0.4))
    return out


def _stripes(p: _Points) -> Floats:
    out: Floats = p.a + (p.b - p.a) * _band(p.u * p.scale, 0.45, p.blur * p.scale)
    return out


def _checker(p: _Points) -> Floats:
    half = p.scale * _f(0.5)
    x, y = _band(p.u * half, 0.5, p.blur * half), _band(p.v * half, 0.5, p.blur * half)
    out: Floats = p.a + (p.b - p.a) * (x + y - 2 * x * y)
    return out


def _planks(p: _Points) -> Floats:
    wide, long = 7 * p.scale, _f(0.55) * p.scale
    x = p.u * wide
    row = np.floor(x)
    y = p.v * long + _hash(row, row)
    board = _hash(row, np.floor(y))
    grain = _noise(p.u * 260 + board * 97, p.v * 26 + board * 211, p.blur * 60)
    tone = _f(1.08) - _f(0.34) * board - _f(0.4) * (grain - _f(0.5))
    gap = np.maximum(_band(x, 0.05, p.blur * wide), _band(y, 0.01, p.blur * long))
    out: Floats = p.a * tone * (1 - _f(0.55) * gap)
    return out


def _grain(p: _Points) -> Floats:
    grain = _noise(p.u * 30 * p.scale, p.v * 240 * p.scale, p.blur * 80 * p.scale)
    out: Floats = p.a + (p.b - p.a) * np.clip(grain * _f(1.3) - _f(0.35), 0, 1)
    return out


def _tiles(p: _Points) -> Floats:
    x, y, blur = p.u * p.scale, p.v * p.scale, p.blur * p.scale
    column, row = np.floor(x), np.floor(y)
    tile = np.where((column + row) % 2 > 0, p.b, p.a) * (_f(0.93) + _f(0.12) * _hash(column, row))
    out: Floats = tile + (p.c - tile) * np.maximum(_band(x, 0.035, blur), _band(y, 0.035, blur))
    return out


def _brick(p: _Points) -> Floats:
    y = p.v * _f(13)
    row = np.floor(y)
    x = p.u * _f(4.5) + np.mod(row, _f(2), dtype=np.float32) * _f(0.5)
    stone = p.a * (_f(0.82) + _f(0.3) * _hash(np.floor(x), row))
    out: Floats = stone + (p.b - stone) * np.maximum(_band(x, 0.05, p.blur * _f(4.5)), _band(y, 0.14, p.blur * 13))
    return out


def _art(p: _Points) -> Floats:
    fine = 160 * p.scale
    w = _noise(p.u * fine, p.v * fine, p.blur * fine)
    out: Floats = np.where(w < _f(0.42), p.a, np.where(w < _f(0.56), p.b, p.c))
    return out


def _sky(p: _Points) -> Floats:
    y = p.uv[1] / np.maximum(p.span[1], _f(0.05))
    clouds = _noise(p.u * 60, p.v * 120, p.blur * 60)
    sky = p.a + (p.b - p.a) * np.clip(clouds * _f(1.4) - _f(0.1) - y * _f(0.4), 0, 1)
    ridge = _noise(p.u * 30, p.u * 0, p.blur * 30)
    hills = y < _f(-0.45) + _f(0.35) * (ridge - _f(0.5))
    out: Floats = np.where(hills, p.c * (_f(0.6) + _f(0.7) * clouds), sky)
    return out


def _books(p: _Points) -> Floats:
    level = p.v / _f(0.36)
    shelf = np.floor(level)
    book = np.floor(p.u * 26 + _f(0.3) * _noise(p.u * 200, shelf * 37, p.blur * 0))
    hue, tall = _hash(book, shelf), _hash(shelf + 71, book)
    turn = _f(6.28) * (hue + _BOOK_HUES)
    spine = (_f(0.5) + _f(0.5) * np.cos(turn)) * (_f(0.12) + _f(0.5) * tall) + _f(0.03)
    out: Floats = np.where((level - shelf < _f(0.62) + _f(0.25) * tall) & (hue < _f(0.9)), spine, p.a)
    return out


def _border(p: _Points) -> Floats:
    """A frame near the rim (rugs), or a tape along the middle where scale is 0 (boxes)."""
    rim = np.minimum(p.span[0] - np.abs(p.uv[0]), p.span[1] - np.abs(p.uv[1]))
    blur = np.maximum(p.blur, _f(1e-3))
    frame = np.clip((rim - _f(0.07)) / blur + _f(0.5), 0, 1) - np.clip((rim - _f(0.14)) / blur + _f(0.5), 0, 1)
    tape = (np.abs(p.uv[1]) < _f(0.025)).astype(np.float32)
    soft = _f(1.1) - _f(0.2) * _noise(p.u * 150, p.v * 150, p.blur * 150)
    out: Floats = (p.a + (p.c - p.a) * np.where(p.scale > 0, frame, tape)) * soft
    return out


def _leaf(p: _Points) -> Floats:
    mottled = _noise(p.u * 120, p.v * 120, p.blur * 120)
    out: Floats = p.a + (p.b - p.a) * np.clip(mottled * _f(1.5) - _f(0.3), 0, 1)
    return out


_PATTERNS: dict[int, Callable[[_Points], Floats]] = {
    m.PLAIN: _plain,
    m.CLOTH: _cloth,
    m.STRIPES: _stripes,
    m.CHECKER: _checker,
    m.PLANKS: _planks,
    m.GRAIN: _grain,
    m.TILES: _tiles,
    m.BRICK: _brick,
    m.CARPET: _carpet,
    m.ART: _art,
    m.SKY: _sky,
    m.BOOKS: _books,
    m.BORDER: _border,
    m.LEAF: _leaf,
}


class MaterialTable:
    """Materials of a scene as arrays."""

    def __init__(self, materials: tuple[m.Material, ...]) -> None:
        self.pattern = np.array([x.pattern for x in materials], np.int32)
        self.colours = np.array([(*x.a, *x.b, *x.c) for x in materials], np.float32).T.copy()
        self.scale = np.array([x.scale for x in materials], np.float32)
        self.offset = np.array([x.offset for x in materials], np.float32).T.copy()
        self.gloss = np.array([x.gloss for x in materials], np.float32)
        self.glow = np.array([x.glow for x in materials], np.float32)
        self.present = sorted(set(self.pattern.tolist()))


def evaluate(table: MaterialTable, index: Ints, uv: Floats, span: Floats, blur: Floats) -> Floats:
    """Linear colours [3, n] of materials at surface points.

    Args:
        table: the materials.
        index: [n] material of each point.
        uv: [2, n] surface coordinates in metres from the middle of the face.
        span: [2, n] half sizes of the face in metres.
        blur: [n] footprint of the pixel on the surface in metres.
    """
    patterns = table.pattern[index]
    out = np.empty((3, len(index)), np.float32)
    for pattern in table.present:
        which = np.flatnonzero(patterns == pattern)
        if not len(which):
            continue
        material, here = index[which], uv[:, which]
        abc, shift = np.take(table.colours, material, axis=1), np.take(table.offset, material, axis=1)
        out[:, which] = _PATTERNS[pattern](
            _Points(
                here[0] + shift[0],
                here[1] + shift[1],
                here,
                span[:, which],
                blur[which],
                table.scale[material],
                abc[:3],
                abc[3:6],
                abc[6:9],
            )
        )
    return out
