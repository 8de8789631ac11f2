"""Procedural textures: colour of a material at surface coordinates, filtered to the footprint of a pixel."""

from __future__ import annotations

import functools

import numpy as np

from frugalmtl.data.rooms import materials as m
from frugalmtl.data.rooms.scene import Floats, Ints

_SIDE = 256
_LEVELS = 5
_HEXED = np.float32(1 / 65536)


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
    return noise_levels().ravel()[(level << 16) | (row << 8) | column]


def _hash(i: Floats, j: Floats) -> Floats:
    """A number in [0, 1) per integer cell, by mixing integers."""
    h = i.astype(np.int32).astype(np.uint32) * np.uint32(0x9E3779B1) + j.astype(np.int32).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(13)
    return (h & np.uint32(0xFFFF)).astype(np.float32) * _HEXED


def _band(x: Floats, share: float, blur: Floats) -> Floats:
    """Periodic band (period 1, on for the given share), box-filtered over blur."""
    blur = np.maximum(blur, np.float32(1e-3))
    distance = np.abs((x - np.floor(x)) - np.float32(0.5)) - np.float32(0.5 - share / 2)
    on = np.clip(distance / blur + np.float32(0.5), 0, 1)
    fade = np.clip(np.float32(1.6) - blur, 0, 1)
    return share + (on - np.float32(share)) * fade


def _fold(x: Floats, share: float, blur: Floats) -> Floats:
    return _band(x + np.float32(0.5), share, blur)


def colours(pattern: int, uv: Floats, span: Floats, blur: Floats, scale: Floats, offset: Floats, abc: Floats) -> Floats:
    """Linear colours [3, n] of one pattern.

    Args:
        pattern: one of the pattern constants of `materials`.
        uv: [2, n] surface coordinates in metres from the middle of the face.
        span: [2, n] half sizes of the face in metres.
        blur: [n] footprint of the pixel on the surface in metres.
        scale: [n] repeats per metre.
        offset: [2, n] shift of the pattern in metres.
        abc: [9, n] the three colours.
    """
    a, b, c = abc[:3], abc[3:6], abc[6:9]
    u, v = uv[0] + offset[0], uv[1] + offset[1]
    if pattern == m.PLAIN:
        return a
    if pattern == m.CLOTH:
        w = _noise(u * 180 * scale, v * 180 * scale, blur * 180 * scale)
        return a * (np.float32(1.18) - np.float32(0.36) * w)
    if pattern == m.CARPET:
        w = _noise(u * 300, v * 300, blur * 300) * np.float32(0.6) + _noise(u * 40, v * 40, blur * 40) * np.float32(0.4)
        return a + (b - a) * w
    if pattern == m.STRIPES:
        return a + (b - a) * _fold(u * scale, 0.45, blur * scale)
    if pattern == m.CHECKER:
        p, q = _fold(u * scale * 0.5, 0.5, blur * scale * 0.5), _fold(v * scale * 0.5, 0.5, blur * scale * 0.5)
        return a + (b - a) * (p + q - 2 * p * q)
    if pattern == m.PLANKS:
        x = u * 7 * scale
        row = np.floor(x)
        y = v * np.float32(0.55) * scale + _hash(row, row)
        board = _hash(row, np.floor(y))
        grain = _noise(u * 260 + board * 97, v * 26 + board * 211, blur * 60)
        tone = np.float32(1.08) - np.float32(0.42) * board * np.float32(0.8) - np.float32(0.4) * (grain - np.float32(0.5))
        gap = np.maximum(_fold(x, 0.05, blur * 7 * scale), _fold(y, 0.01, blur * 0.55 * scale))
        return a * tone * (1 - np.float32(0.55) * gap)
    if pattern == m.GRAIN:
        grain = _noise(u * 30 * scale, v * 240 * scale, blur * 80 * scale)
        return a + (b - a) * np.clip(grain * np.float32(1.3) - np.float32(0.35), 0, 1)
    if pattern == m.TILES:
        x, y = u * scale, v * scale
        tone = np.float32(0.93) + np.float32(0.12) * _hash(np.floor(x), np.floor(y))
        tile = np.where(((np.floor(x) + np.floor(y)) % 2) > 0, b, a) * tone
        line = np.maximum(_fold(x, 0.035, blur * scale), _fold(y, 0.035, blur * scale))
        return tile + (c - tile) * line
    if pattern == m.BRICK:
        y = v * 13
        row = np.floor(y)
        x = u * np.float32(4.5) + np.float32(0.5) * (row % 2)
        tone = np.float32(0.82) + np.float32(0.3) * _hash(np.floor(x), row)
        line = np.maximum(_fold(x, 0.05, blur * 4.5), _fold(y, 0.14, blur * 13))
        return a * tone + (b - a * tone) * line
    if pattern == m.ART:
        w = _noise(u * 160 * scale, v * 160 * scale, blur * 160 * scale)
        return np.where(w < np.float32(0.42), a, np.where(w < np.float32(0.56), b, c))
    if pattern == m.SKY:
        y = uv[1] / np.maximum(span[1], np.float32(0.05))
        w = _noise(u * 60, v * 120, blur * 60)
        sky = a + (b - a) * np.clip(w * np.float32(1.4) - np.float32(0.1) - y * np.float32(0.4), 0, 1)
        hills = y < np.float32(-0.45) + np.float32(0.35) * (_noise(u * 30, u * 0, blur * 30) - np.float32(0.5))
        return np.where(hills, c * (np.float32(0.6) + np.float32(0.7) * w), sky)
    if pattern == m.BOOKS:
        shelf = np.floor(v / np.float32(0.36))
        x = u * 26
        book = np.floor(x + np.float32(0.3) * _noise(u * 200, shelf * 37, blur * 0))
        h = _hash(book, shelf)
        g = _hash(shelf + 71, book)
        tint = np.stack([np.float32(0.5) + np.float32(0.5) * np.cos(np.float32(6.28) * (h + k)) for k in (0.0, 0.09, 0.21)])
        tint = tint * (np.float32(0.12) + np.float32(0.5) * g) + np.float32(0.03)
        y = v / np.float32(0.36) - shelf
        return np.where((y < np.float32(0.62) + np.float32(0.25) * g) & (h < np.float32(0.9)), tint, a)
    if pattern == m.BORDER:
        # A frame near the rim (rug) or, at offset 1, a tape along the middle (box): offset[0] tells them apart by scale 0.
        rim = np.minimum(span[0] - np.abs(uv[0]), span[1] - np.abs(uv[1]))
        frame = np.clip((rim - np.float32(0.07)) / np.maximum(blur, np.float32(1e-3)) + np.float32(0.5), 0, 1)
        frame -= np.clip((rim - np.float32(0.14)) / np.maximum(blur, np.float32(1e-3)) + np.float32(0.5), 0, 1)
        tape = np.abs(uv[1]) < np.float32(0.025)
        soft = np.float32(1.1) - np.float32(0.2) * _noise(u * 150, v * 150, blur * 150)
        w = np.where(scale > 0, frame, tape.astype(np.float32))
        return (a + (c - a) * w) * soft
    # LEAF: a pale midrib over a mottled green.
    w = _noise(u * 120, v * 120, blur * 120)
    return a + (b - a) * np.clip(w * np.float32(1.5) - np.float32(0.3), 0, 1)


def evaluate(table: MaterialTable, index: Ints, uv: Floats, span: Floats, blur: Floats) -> Floats:
    """Linear colours [3, n] of materials at surface points."""
    patterns = table.pattern[index]
    out = np.empty((3, len(index)), np.float32)
    for pattern in table.present:
        which = np.flatnonzero(patterns == pattern)
        if not len(which):
            continue
        own = index[which]
        abc = np.take(table.colours, own, axis=1)
        if pattern == m.PLAIN:
            out[:, which] = abc[:3]
            continue
        out[:, which] = colours(
            pattern,
            uv[:, which],
            span[:, which],
            blur[which],
            table.scale[own],
            np.take(table.offset, own, axis=1),
            abc,
        )
    return out


class MaterialTable:
    """Materials of a scene as arrays."""

    def __init__(self, found: tuple[m.Material, ...]) -> None:
        self.pattern = np.array([x.pattern for x in found], np.int32)
        self.colours = np.array([(*x.a, *x.b, *x.c) for x in found], np.float32).T.copy()
        self.scale = np.array([x.scale for x in found], np.float32)
        self.offset = np.array([x.offset for x in found], np.float32).T.copy()
        self.gloss = np.array([x.gloss for x in found], np.float32)
        self.glow = np.array([x.glow for x in found], np.float32)
        self.present = sorted(set(self.pattern.tolist()))
