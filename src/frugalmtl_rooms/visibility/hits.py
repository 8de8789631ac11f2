"""First hits of rays with primitives, in the frame of each primitive.

Origins o, directions d and sizes s are [3, n] or broadcast to it. Every function gives the ray parameter of the
nearest hit in front of the origin, inf where the ray misses; origins are outside.
"""

from __future__ import annotations

import numpy as np

from frugalmtl_rooms.scene.description import SHELL_PLANES, Floats, Ints, Scene
from frugalmtl_rooms.visibility.camera import View

_INF = np.float32(np.inf)
_EPS = np.float32(1e-3)
_TINY = np.float32(1e-12)


def hit_box(o: Floats, d: Floats, s: Floats) -> Floats:
    """Slab test."""
    inverse = 1 / d
    middle = o * inverse
    half = s * np.abs(inverse)
    near = (-middle - half).max(0)
    far = (half - middle).min(0)
    return np.where((near < far) & (near > _EPS), near, _INF)


def hit_ellipsoid(o: Floats, d: Floats, s: Floats) -> Floats:
    """Unit sphere after division by the radii."""
    o, d = o / s, d / s
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 1
    q = b * b - a * c
    t = (-b - np.sqrt(np.maximum(q, 0))) / a
    return np.where((q > 0) & (t > _EPS), t, _INF)


def hit_capsule(o: Floats, d: Floats, s: Floats) -> Floats:
    """Side first; beyond an end, the sphere of that end."""
    r, half = s[0], s[1]
    a = d[0] * d[0] + d[2] * d[2] + _TINY
    b = o[0] * d[0] + o[2] * d[2]
    c = o[0] * o[0] + o[2] * o[2] - r * r
    q = b * b - a * c
    t = (-b - np.sqrt(np.maximum(q, 0))) / a
    y = o[1] + t * d[1]
    end = np.minimum(np.maximum(y, -half), half)
    rest = o[1] - end
    a2, b2, c2 = a + d[1] * d[1], b + rest * d[1], c + rest * rest
    q2 = b2 * b2 - a2 * c2
    t = np.where(end == y, t, (-b2 - np.sqrt(np.maximum(q2, 0))) / a2)
    return np.where((q > 0) & ((end == y) | (q2 > 0)) & (t > _EPS), t, _INF)


def hit_cylinder(o: Floats, d: Floats, s: Floats) -> Floats:
    """Side of a cylinder or cone stump (both roots, for a cone either may be the nearer), then the two lids."""
    r, half, k = s[0], s[1], s[2]
    ro, rd = r + k * o[1], k * d[1]
    a = d[0] * d[0] + d[2] * d[2] - rd * rd
    a = np.where(np.abs(a) < _TINY, _TINY, a)
    b = o[0] * d[0] + o[2] * d[2] - ro * rd
    c = o[0] * o[0] + o[2] * o[2] - ro * ro
    q = b * b - a * c
    root = np.sqrt(np.maximum(q, 0))
    best = np.full_like(a, _INF)
    for t in ((-b - root) / a, (root - b) / a):
        y = o[1] + t * d[1]
        best = np.minimum(best, np.where((q > 0) & (np.abs(y) <= half) & (t > _EPS), t, _INF))
    for lid, radius in ((-half, r - k * half), (half, r + k * half)):
        t = (lid - o[1]) / d[1]
        x, z = o[0] + t * d[0], o[2] + t * d[2]
        best = np.minimum(best, np.where((x * x + z * z < radius * radius) & (t > _EPS), t, _INF))
    return best


HIT = (hit_box, hit_ellipsoid, hit_cylinder, hit_capsule)


def shell_hit(room: Floats, origin: Floats, d: Floats) -> tuple[Floats, Ints]:
    """Distance to and index of the plane of the room that rays [3, n] from a point inside meet."""
    limit = room.reshape(3, 1)
    away = d > 0
    t = (np.where(away, limit, 0) - origin.reshape(3, 1)) / d
    # Exactly parallel rays give inf or nan; neither is the nearest plane.
    t = np.where(t > 0, t, _INF)
    axis = np.where(t[0] < t[1], np.where(t[0] < t[2], 0, 2), np.where(t[1] < t[2], 1, 2)).astype(np.int32)
    best = np.minimum(np.minimum(t[0], t[1]), t[2])
    side = np.where(axis == 0, away[0], np.where(axis == 1, away[1], away[2]))
    return best, 2 * axis + side


def first_hits(scene: Scene, view: View) -> tuple[Floats, Ints, Floats]:
    """Depth [H, W], surface index [H, W] and world rays [3, H, W] of every pixel."""
    height, width = len(view.rows), len(view.columns)
    x, y = view.columns[None, :], view.rows[:, None]
    bend = view.bend(x, y)
    rays = np.ascontiguousarray(view.directions(view.basis, x, y, bend))
    depth, surface = shell_hit(scene.room, view.eye, rays.reshape(3, -1))
    depth, surface = depth.reshape(height, width), surface.reshape(height, width).astype(np.int32)
    ranges = view.bounds(scene).tolist()
    # Camera axes in the frame of each primitive, split by image axis so that a ray costs one addition.
    local = np.einsum("kw,pwl->pkl", view.basis, scene.axes)
    origins = np.einsum("pw,pwl->pl", view.eye - scene.centre, scene.axes)
    across = local[:, 0, :, None] * view.columns + local[:, 2, :, None]
    down = local[:, 1, :, None] * view.rows
    kinds = scene.kind.tolist()
    sizes = scene.size[:, :, None]
    if bend is not None:
        across -= local[:, 2, :, None]
    for p, (top, bottom, left, right) in enumerate(ranges):
        if top >= bottom or left >= right:
            continue
        d = across[p, :, None, left:right] + down[p, :, top:bottom, None]
        if bend is not None:
            d = d * bend[top:bottom, left:right] + local[p, 2, :, None, None]
        t = HIT[kinds[p]](origins[p][:, None], d.reshape(3, -1), sizes[p]).reshape(bottom - top, right - left)
        window = depth[top:bottom, left:right]
        nearer = t < window
        np.copyto(window, t, where=nearer)
        np.copyto(surface[top:bottom, left:right], p + SHELL_PLANES, where=nearer)
    return depth, surface, rays


def pair_hits(scene: Scene, primitive: Ints, origin: Floats, direction: Floats) -> Floats:
    """Hits of n (ray, primitive) pairs.

    Args:
        primitive: [n] primitive of each pair.
        origin: [3, n] ray origins in the frame of the primitive.
        direction: [3, n] world directions.
    """
    turned = np.take(scene.axes.reshape(-1, 9).T, primitive, axis=1)
    d = np.empty_like(direction)
    for k in range(3):
        np.multiply(turned[k], direction[0], out=d[k])
        d[k] += turned[3 + k] * direction[1]
        d[k] += turned[6 + k] * direction[2]
    sizes = np.take(scene.size.T, primitive, axis=1)
    kinds = scene.kind[primitive]
    t = np.empty(len(primitive), np.float32)
    for kind, hit in enumerate(HIT):
        which = np.flatnonzero(kinds == kind)
        if len(which):
            t[which] = hit(origin[:, which], d[:, which], sizes[:, which])
    return t
