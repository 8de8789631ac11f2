"""Radiance of surfaces: ambient light, diffuse and glossy light of each lamp, glowing things, tone curve."""

from __future__ import annotations

import numpy as np

from frugalmtl_rooms.materials.texture import MaterialTable, evaluate
from frugalmtl_rooms.scene.description import Floats, Ints, Light, Scene
from frugalmtl_rooms.shading.shadows import shadow_maps
from frugalmtl_rooms.visibility.camera import View
from frugalmtl_rooms.visibility.surface import Surface

_WALLS = np.array([True, True, False, False, True, True])
_SKIRTING = np.float32(0.09)
_COVERED = 0.45
"""Share of the ambient light that comes from above and is lost under furniture."""


def radiance(scene: Scene, view: View, depth: Floats, index: Ints, surface: Surface) -> Floats:
    """Linear colour [3, n] of every pixel."""
    table = MaterialTable(scene.materials)
    material = scene.material[index]
    point, normal, toward = surface.point, surface.normal, surface.toward
    cosine = np.abs((normal * toward).sum(0))
    blur = depth * np.float32(1 / view.focal) / np.maximum(np.sqrt(cosine), np.float32(0.3))
    base = evaluate(table, material, surface.uv, surface.span, blur)
    _skirting(index, point, table, material, base)

    up = normal[1]
    bounce = np.float32(0.74) + np.float32(0.26) * up
    lamps = (_sky(scene), *scene.lights)
    open_above, *shares = shadow_maps(scene, lamps, point, normal, index, len(view.rows), len(view.columns))
    bounce *= _corners(scene, point, normal) * (np.float32(1 - _COVERED) + np.float32(_COVERED) * open_above)
    out: Floats = base * (scene.ambient[:, None] * bounce)
    gloss = table.gloss[material]
    shiny = np.flatnonzero(gloss > 0)
    for lamp, share in zip(scene.lights, shares, strict=True):
        offset = np.array(lamp.position, np.float32)[:, None] - point
        square = offset[0] * offset[0] + offset[1] * offset[1] + offset[2] * offset[2]
        inverse = 1 / np.sqrt(square)
        facing = np.maximum((normal[0] * offset[0] + normal[1] * offset[1] + normal[2] * offset[2]) * inverse, 0)
        strength = share / (1 + square)
        colour = np.array(lamp.colour, np.float32)[:, None]
        out += base * (colour * (facing * strength))
        if len(shiny):
            between = offset[:, shiny] * inverse[shiny] + toward[:, shiny]
            between /= np.sqrt((between * between).sum(0)) + np.float32(1e-6)
            glint = np.maximum((between * normal[:, shiny]).sum(0), 0) ** 32
            out[:, shiny] += colour * (glint * gloss[shiny] * strength[shiny])
    glow = table.glow[material]
    bright = np.flatnonzero(glow > 0)
    if len(bright):
        # Glowing things look the same in light and shadow, a little brighter in their middle.
        fade = glow[bright] * (np.float32(0.75) + np.float32(0.25) * cosine[bright])
        out[:, bright] = out[:, bright] * np.float32(0.3) + base[:, bright] * fade * np.float32(1.3)
    return out


def _sky(scene: Scene) -> Light:
    """The whole ceiling as one large light; only its shadows are used, they darken what is under things."""
    width, height, depth = (float(x) for x in scene.room)
    return Light((width / 2, height, depth / 2), (1.0, 1.0, 1.0), 0.4 * min(width, depth))


def _skirting(index: Ints, point: Floats, table: MaterialTable, material: Ints, base: Floats) -> None:
    """Paint the skirting board of the walls in the third colour of their material."""
    which = np.flatnonzero((index < len(_WALLS)) & (point[1] < _SKIRTING))
    which = which[_WALLS[index[which]]]
    if len(which):
        base[:, which] = np.take(table.colours[6:9], material[which], axis=1)


def _corners(scene: Scene, point: Floats, normal: Floats) -> Floats:
    """Less ambient light near the corners of the room: 1 in the open, 0.6 in a corner."""
    room = scene.room
    side = np.minimum(
        np.minimum(np.abs(point[0]), np.abs(room[0] - point[0])) + np.abs(normal[0]),
        np.minimum(np.abs(point[2]), np.abs(room[2] - point[2])) + np.abs(normal[2]),
    )
    level = np.minimum(np.abs(point[1]), np.abs(room[1] - point[1])) + np.abs(normal[1])
    near = np.minimum(np.minimum(side, level), np.float32(0.5)) * np.float32(2)
    share: Floats = np.float32(0.62) + np.float32(0.38) * near * (2 - near)
    return share


def tone(scene: Scene, linear: Floats) -> Floats:
    """Display values [3, n] in 0..1: exposure to the target mean, soft shoulder, square root.

    The exposure looks at the image with highlights held down, so one bright window does not darken a room.
    """
    target = scene.finish.exposure
    level = np.minimum(linear, 1.5)
    mean = float(np.sqrt(level[:, ::7]).mean())
    gain = np.float32((target / max(mean, 1e-3)) ** 2 * 1.12)
    x = linear * gain
    display: Floats = np.sqrt(x * (1 + np.float32(0.12) * x) / (1 + x * np.float32(0.55)))
    return display
