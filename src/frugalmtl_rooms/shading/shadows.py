"""Shadow maps: rays to each light at half resolution, then an upsampling that stays on the same object.

Four points of a light take turns over a 2 x 2 pattern of samples; averaging neighbours on the same surface turns them
into a soft edge.
"""

from __future__ import annotations

import numpy as np

from frugalmtl_rooms.scene.description import (
    BOX,
    CAPSULE,
    CYLINDER,
    FLAT,
    SHELL_PLANES,
    Bools,
    Floats,
    Ints,
    Light,
    Scene,
)
from frugalmtl_rooms.visibility.hits import pair_hits

_SPREAD = np.array([[0.6, 0.3, 0.6], [-0.6, -0.3, 0.6], [0.6, -0.3, -0.6], [-0.6, 0.3, -0.6]], np.float32)
_LIFT = np.float32(0.008)
_BLOCKED = np.float32(0.9985)


class Casters:
    """Primitives that throw shadows, sorted by kind, with bounding radii."""

    def __init__(self, scene: Scene) -> None:
        owner = scene.instance[SHELL_PLANES:]
        throws = ~np.isin(scene.instance_class[owner], list(FLAT))
        order = np.argsort(scene.kind, kind="stable")
        self.primitive = order[throws[order]].astype(np.int32)
        self.owner = owner[self.primitive]
        kind, size = scene.kind[self.primitive], scene.size[self.primitive]
        sphere = np.where(kind == CAPSULE, size[:, 1] + size[:, 0], size.max(1))
        stump = np.hypot(size[:, 0] + np.abs(size[:, 2]) * size[:, 1], size[:, 1])
        radius = np.where(kind == BOX, np.sqrt((size * size).sum(1)), np.where(kind == CYLINDER, stump, sphere))
        self.radius = radius * np.float32(1.001)
        self.centre = scene.centre[self.primitive]


def reaches(
    scene: Scene, casters: Casters, light: Light, point: Floats, normal: Floats, index: Ints, turn: Ints
) -> Floats:
    """1 where the light sees a point, else 0.

    Args:
        point: [3, n] points on surfaces, normal: [3, n], index: [n] their surface index.
        turn: [n] which of the four points of the light is used.
    """
    out = np.ones(point.shape[1], np.float32)
    middle = np.array(light.position, np.float32)[:, None]
    offset = middle - point
    facing = np.flatnonzero((normal * offset).sum(0) > 0)
    use = np.flatnonzero(casters.owner != light.holder)
    if not len(facing) or not len(use):
        return out
    facing = facing[np.argsort(turn[facing], kind="stable")]
    cuts = np.searchsorted(turn[facing], np.arange(5))
    spots = np.array(light.position, np.float32) + light.radius * _SPREAD
    lifted = point[:, facing] + _LIFT * normal[:, facing]
    direction = np.empty_like(lifted)
    near = np.empty((len(use), len(facing)), bool)
    radius = casters.radius[use]
    for k in range(4):
        part = slice(cuts[k], cuts[k + 1])
        direction[:, part] = lifted[:, part] - spots[k][:, None]
        d = direction[:, part]
        far = np.sqrt((d * d).sum(0))
        toward = casters.centre[use] - spots[k]
        gap = np.sqrt((toward * toward).sum(1)) + np.float32(1e-6)
        # A ray can meet the bounding sphere where its angle to the middle is below asin(radius / gap).
        sine = np.minimum(radius / gap, 1)
        cosine = np.where(radius < gap, np.sqrt(1 - sine * sine), -1) - np.float32(1e-4)
        aligned = (toward / gap[:, None]) @ (d / far)
        np.greater(aligned, cosine[:, None], out=near[:, part])
        near[:, part] &= far > (gap - radius)[:, None]
    near &= casters.primitive[use][:, None] + SHELL_PLANES != index[facing]
    # The flat search is several times faster than one over two axes.
    row, column = np.divmod(np.flatnonzero(near), len(facing))
    if not len(row):
        return out
    primitive = casters.primitive[use]
    axes = scene.axes[primitive]
    start = np.einsum("kpw,pwl->lkp", spots[:, None, :] - scene.centre[primitive], axes).reshape(3, -1)
    origin = np.take(start, turn[facing][column] * len(use) + row, axis=1)
    t = pair_hits(scene, primitive[row], origin, np.take(direction, column, axis=1))
    out[facing[column[t < _BLOCKED]]] = 0
    return out


def shadow_maps(
    scene: Scene, lights: tuple[Light, ...], point: Floats, normal: Floats, index: Ints, height: int, width: int
) -> Floats:
    """Share of each light that reaches each pixel.

    Args:
        scene: what throws shadows.
        lights: L lights.
        point: [3, n] points seen, n = height * width; normal: [3, n]; index: [n] surface index.
        height: of the image.
        width: of the image.

    Returns:
        [L, n] between 0 and 1.
    """
    instance, facing = scene.instance[index].reshape(height, width), normal.reshape(3, height, width)
    h, w = (height + 1) // 2, (width + 1) // 2
    chosen = (np.arange(0, height, 2)[:, None] * width + np.arange(0, width, 2)).ravel()
    turn = ((np.arange(h)[:, None] % 2) * 2 + np.arange(w) % 2).ravel().astype(np.int32)
    casters = Casters(scene)
    p, n, i = np.take(point, chosen, axis=1), np.take(normal, chosen, axis=1), index[chosen]
    samples = np.stack([reaches(scene, casters, light, p, n, i, turn) for light in lights]).reshape(-1, h, w)
    samples = _soften(samples, instance[::2, ::2], n.reshape(3, h, w))
    total, sums = _upsample(samples, instance, facing)
    sums /= np.maximum(total, np.float32(1e-3))
    out: Floats = sums.reshape(len(lights), -1)
    alone = np.flatnonzero(total.ravel() == 0)
    if len(alone):
        # No sample on the same surface near by (a chair leg, a leaf): a ray for the pixel itself.
        turn = ((alone // width + alone) % 4).astype(np.int32)
        for k, light in enumerate(lights):
            out[k, alone] = reaches(scene, casters, light, point[:, alone], normal[:, alone], index[alone], turn)
    return out


def _kin(instance: Ints, other_instance: Ints, normal: Floats, other_normal: Floats) -> Bools:
    """Whether two pixels show one object from a similar side."""
    dot = normal[0] * other_normal[0] + normal[1] * other_normal[1] + normal[2] * other_normal[2]
    kin: Bools = (instance == other_instance) & (dot > np.float32(0.5))
    return kin


def _soften(samples: Floats, instance: Ints, normal: Floats) -> Floats:
    """Mean of each sample and its neighbours on the same surface, nearer ones counting more; [L, h, w]."""
    _, h, w = samples.shape
    total, sums = np.ones((h, w), np.float32), samples.copy()
    for di, dj, weight in ((0, 1, 0.5), (1, 0, 0.5), (1, 1, 0.25), (1, -1, 0.25)):
        a = (slice(0, h - di), slice(max(0, -dj), w - max(0, dj)))
        b = (slice(di, h), slice(max(0, dj), w + min(0, dj)))
        share = _kin(instance[a], instance[b], normal[:, *a], normal[:, *b]) * np.float32(weight)
        for one, other in ((a, b), (b, a)):
            total[one] += share
            sums[:, *one] += share * samples[:, *other]
    out: Floats = sums / total
    return out


def _upsample(samples: Floats, instance: Ints, normal: Floats) -> tuple[Floats, Floats]:
    """Weights [H, W] and weighted sums [L, H, W] of the up to nine nearest samples on the same surface.

    Samples sit on the even rows and columns; along an axis an even pixel weighs its own sample 1 and the next ones 1/2,
    an odd pixel both neighbours 1.
    """
    height, width = instance.shape
    coarse_instance, coarse_normal = instance[::2, ::2], normal[:, ::2, ::2]
    _, h, w = samples.shape
    total, sums = np.zeros((height, width), np.float32), np.zeros((len(samples), height, width), np.float32)
    taps = (((-1, 0.5), (0, 1.0), (1, 0.5)), ((0, 1.0), (1, 1.0)))
    for i0, j0 in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = (slice(i0, None, 2), slice(j0, None, 2))
        here, facing, part_total, part_sums = instance[part], normal[:, *part], total[part], sums[:, *part]
        rows, columns = here.shape
        for di, wi in taps[i0]:
            for dj, wj in taps[j0]:
                a = (slice(max(0, -di), min(rows, h - di)), slice(max(0, -dj), min(columns, w - dj)))
                b = (slice(a[0].start + di, a[0].stop + di), slice(a[1].start + dj, a[1].stop + dj))
                share = _kin(here[a], coarse_instance[b], facing[:, *a], coarse_normal[:, *b]) * np.float32(wi * wj)
                part_total[a] += share
                part_sums[:, *a] += share * samples[:, *b]
    return total, sums
