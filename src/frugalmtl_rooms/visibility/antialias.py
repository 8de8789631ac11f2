"""Anti-aliasing: four more rays per outline pixel weigh the colours of its neighbours.

Only visibility is sampled anew; colours are those of the pixel and its four neighbours, so no shading is repeated.
Labels are not touched: they belong to the ray through the middle of the pixel.
"""

from __future__ import annotations

import numpy as np

from frugalmtl_rooms.scene.description import SHELL_PLANES, Bools, Floats, Ints, Scene
from frugalmtl_rooms.visibility.camera import View
from frugalmtl_rooms.visibility.hits import pair_hits, shell_hit

_SUB = np.array([[-0.125, -0.375], [0.375, -0.125], [-0.375, 0.125], [0.125, 0.375]], np.float32)


def outlines(index: Ints) -> Bools:
    """True where one of the four neighbours in an index map [H, W] differs (both sides of every outline)."""
    out = np.zeros(index.shape, bool)
    down, right = index[1:] != index[:-1], index[:, 1:] != index[:, :-1]
    out[1:] |= down
    out[:-1] |= down
    out[:, 1:] |= right
    out[:, :-1] |= right
    return out


def smooth(scene: Scene, view: View, index: Ints, normal: Floats, colour: Floats) -> Floats:
    """Display colours [3, n] with outlines smoothed; index [H, W]."""
    height, width = index.shape
    pixel = np.flatnonzero(outlines(index))
    if not len(pixel):
        return _soften_folds(index, normal, colour)
    i, j = np.divmod(pixel, width)
    slots = np.stack(
        [
            pixel,
            np.where(i > 0, pixel - width, pixel),
            np.where(i < height - 1, pixel + width, pixel),
            np.where(j > 0, pixel - 1, pixel),
            np.where(j < width - 1, pixel + 1, pixel),
        ]
    )
    candidates = index.ravel()[slots]
    fresh = np.ones(candidates.shape, bool)
    for k in range(1, 5):
        for earlier in range(k):
            fresh[k] &= candidates[k] != candidates[earlier]

    step = np.float32(1 / view.focal)
    x = view.columns[j] + _SUB[:, :1] * step
    y = view.rows[i] - _SUB[:, 1:] * step
    rays = np.ascontiguousarray(view.directions(view.basis, x, y, view.bend(x, y))).reshape(3, -1)
    count = len(pixel)
    wall, plane = shell_hit(scene.room, view.eye, rays)
    wall, plane = wall.reshape(4, count), plane.reshape(4, count)
    best = np.full((4, count), np.inf, np.float32)
    choice = np.zeros((4, count), np.int32)
    solid = fresh & (candidates >= SHELL_PLANES)
    origins = np.einsum("pw,pwl->lp", view.eye - scene.centre, scene.axes)
    for k in range(5):
        match = (plane == candidates[k]) & fresh[k]
        np.copyto(best, wall, where=match)
        choice[match] = k
    slot, column = np.divmod(np.flatnonzero(solid), count)
    primitive = candidates[slot, column] - SHELL_PLANES
    origin = np.take(origins, primitive, axis=1)
    origin4 = np.concatenate([origin] * 4, 1)
    ray = (np.arange(4)[:, None] * count + column).ravel()
    t = pair_hits(scene, np.concatenate([primitive] * 4), origin4, np.take(rays, ray, axis=1)).reshape(4, -1)
    cuts = np.searchsorted(slot, np.arange(6))
    for k in range(5):
        part = slice(cuts[k], cuts[k + 1])
        which = column[part]
        nearer = t[:, part] < best[:, which]
        rows, places = np.nonzero(nearer)
        best[rows, which[places]] = t[:, part][rows, places]
        choice[rows, which[places]] = k
    source = np.take_along_axis(slots, choice, axis=0)
    out = _soften_folds(index, normal, colour)
    out[:, pixel] = np.take(colour, source.ravel(), axis=1).reshape(3, 4, count).mean(1)
    return out


def _soften_folds(index: Ints, normal: Floats, colour: Floats) -> Floats:
    """Mix pixels on both sides of an edge between two faces of one primitive (table rims, cabinet corners)."""
    height, width = index.shape
    c, n = colour.reshape(3, height, width), normal.reshape(3, height, width)
    total, weight = 2 * c, np.full((height, width), 2, np.float32)
    solid = index >= SHELL_PLANES
    for a, b in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        fold = (index[a] == index[b]) & solid[a]
        fold &= n[0][a] * n[0][b] + n[1][a] * n[1][b] + n[2][a] * n[2][b] < np.float32(0.7)
        for one, other in ((a, b), (b, a)):
            weight[one] += fold
            for k in range(3):
                total[k][one] += fold * c[k][other]
    return (total / weight).reshape(3, -1)
