"""Point, normal and texture coordinates of every pixel, from depth and surface index."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from frugalmtl_rooms.scene.description import BOX, CAPSULE, ELLIPSOID, SHELL_PLANES, Floats, Ints, Scene
from frugalmtl_rooms.visibility.camera import View


class Surface(NamedTuple):
    """Per pixel: point, unit normal and unit direction to the eye [3, n] (world); uv and half sizes [2, n] (m)."""

    point: Floats
    normal: Floats
    toward: Floats
    uv: Floats
    span: Floats


_UV_OF_AXIS = np.array([[2, 1], [0, 2], [0, 1]])


def surfaces(scene: Scene, view: View, depth: Floats, index: Ints, rays: Floats) -> Surface:
    """Surface data of all pixels; depth [n], index [n], rays [3, n]."""
    point = rays * depth + view.eye[:, None]
    length = np.sqrt(rays[0] * rays[0] + rays[1] * rays[1] + rays[2] * rays[2])
    toward = rays * (-1 / length)
    normal = np.empty_like(point)
    uv = np.empty((2, len(index)), np.float32)
    span = np.ones((2, len(index)), np.float32)
    for plane in range(SHELL_PLANES):
        which = np.flatnonzero(index == plane)
        if not len(which):
            continue
        axis, side = divmod(plane, 2)
        one = np.zeros((3, 1), np.float32)
        one[axis] = -1 if side else 1
        normal[:, which] = one
        first, second = _UV_OF_AXIS[axis]
        uv[0, which], uv[1, which] = point[first, which], point[second, which]
    primitive = index - SHELL_PLANES
    which = np.flatnonzero(primitive >= 0)
    if len(which):
        solid = primitive[which]
        axes = np.take(scene.axes.reshape(-1, 9).T, solid, axis=1)
        size = np.take(scene.size.T, solid, axis=1)
        offset = point[:, which] - np.take(scene.centre.T, solid, axis=1)
        local = np.empty_like(offset)
        for k in range(3):
            local[k] = axes[k] * offset[0] + axes[3 + k] * offset[1] + axes[6 + k] * offset[2]
        n, t, s = _local(scene.kind[solid], local, size)
        turned = np.empty_like(n)
        for k in range(3):
            turned[k] = axes[3 * k] * n[0] + axes[3 * k + 1] * n[1] + axes[3 * k + 2] * n[2]
        turned /= np.sqrt(turned[0] * turned[0] + turned[1] * turned[1] + turned[2] * turned[2])
        # Rounding may turn the normal of a silhouette away from the eye by a hair; take the part that faces the eye.
        eye = toward[:, which]
        away = np.minimum(turned[0] * eye[0] + turned[1] * eye[1] + turned[2] * eye[2], 0)
        back = np.flatnonzero(away < 0)
        if len(back):
            fixed = turned[:, back] - (away[back] - np.float32(1e-4)) * eye[:, back]
            turned[:, back] = fixed / np.sqrt((fixed * fixed).sum(0))
        normal[:, which], uv[:, which], span[:, which] = turned, t, s
    return Surface(point, normal, toward, uv, span)


def _local(kinds: Ints, local: Floats, size: Floats) -> tuple[Floats, Floats, Floats]:
    """Normals (any length) [3, n], uv and half sizes [2, n] in the frames of the primitives."""
    normal = np.zeros_like(local)
    uv, span = np.empty((2, local.shape[1]), np.float32), np.ones((2, local.shape[1]), np.float32)
    for kind in range(4):
        which = np.flatnonzero(kinds == kind)
        if not len(which):
            continue
        p, s = local[:, which], size[:, which]
        if kind == BOX:
            q = np.abs(p) / s
            axis = np.where(q[0] > q[1], np.where(q[0] > q[2], 0, 2), np.where(q[1] > q[2], 1, 2))
            column = np.arange(len(which))
            normal[axis, which] = np.sign(p[axis, column])
            first, second = _UV_OF_AXIS[axis].T
            uv[0, which], uv[1, which] = p[first, column], p[second, column]
            span[0, which], span[1, which] = s[first, column], s[second, column]
            continue
        angle = np.arctan2(p[0], p[2])
        uv[0, which], uv[1, which] = angle * s[0], p[1]
        if kind == ELLIPSOID:
            normal[:, which] = p / (s * s)
        elif kind == CAPSULE:
            end = np.minimum(np.maximum(p[1], -s[1]), s[1])
            normal[0, which], normal[1, which], normal[2, which] = p[0], p[1] - end, p[2]
        else:
            radius = s[0] + s[2] * p[1]
            across = np.sqrt(p[0] * p[0] + p[2] * p[2])
            # The lid is hit where the point is nearer to it than to the side.
            lid = s[1] - np.abs(p[1]) < np.abs(radius - across)
            normal[0, which] = np.where(lid, 0, p[0])
            normal[1, which] = np.where(lid, np.sign(p[1]), -s[2] * across)
            normal[2, which] = np.where(lid, 0, p[2])
            uv[0, which], uv[1, which] = np.where(lid, p[0], angle * s[0]), np.where(lid, p[2], p[1])
            span[0, which] = s[0]
            span[1, which] = s[0]
    return normal, uv, span
