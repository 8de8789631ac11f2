"""How much of each light reaches each pixel: rays at half resolution, then an upsampling that stays on the same object.

Four points of a light take turns over a 2 x 2 pattern of samples; averaging neighbours on the same surface turns them
into a soft edge.
"""

from __future__ import annotations

import numpy as np

from frugalmtl.data.rooms.raycast import pair_hits
from frugalmtl.data.rooms.scene import BOX, CAPSULE, CYLINDER, FLAT, SHELL_PLANES, Floats, Ints, Light, Scene

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
    scene: Scene, casters: Casters, light: Light, point: Floats, normal: Floats, own: Ints, turn: Ints
) -> Floats:
    """1 where the light sees a point, else 0.

    Args:
        point: [3, n] points on surfaces, normal: [3, n], own: [n] their surface index.
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
    near &= casters.primitive[use][:, None] + SHELL_PLANES != own[facing]
    row, column = np.nonzero(near)
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
) -> list[Floats]:
    """Share of each light that reaches each pixel, [n] per light. Inputs are [3, n] and [n] with n = height * width."""
    rows, columns = np.arange(0, height, 2), np.arange(0, width, 2)
    h, w = len(rows), len(columns)
    chosen = (rows[:, None] * width + columns).ravel()
    turn = ((np.arange(h)[:, None] % 2) * 2 + np.arange(w) % 2).ravel().astype(np.int32)
    casters = Casters(scene)
    p, n, own = np.take(point, chosen, axis=1), np.take(normal, chosen, axis=1), index[chosen]
    coarse = [reaches(scene, casters, light, p, n, own, turn).reshape(h, w) for light in lights]
    return _upsample(scene, lights, casters, coarse, point, normal, index, height, width)


def _upsample(
    scene: Scene,
    lights: tuple[Light, ...],
    casters: Casters,
    coarse: list[Floats],
    point: Floats,
    normal: Floats,
    index: Ints,
    height: int,
    width: int,
) -> list[Floats]:
    """Weighted mean of near samples of the same object and a similar normal; exact rays where there is none."""
    instance = scene.instance[index].reshape(height, width)
    n = normal.reshape(3, height, width)
    total = np.zeros((height, width), np.float32)
    sums = [np.zeros((height, width), np.float32) for _ in coarse]
    # Every parity of a pixel has its own fixed set of samples; weights fall with the distance to the sample.
    for i0 in (0, 1):
        for j0 in (0, 1):
            block = (slice(i0, None, 2), slice(j0, None, 2))
            here, facing = instance[block], n[(slice(None), *block)]
            bh, bw = here.shape
            for di in (0, 1) if i0 else (-1, 0, 1):
                for dj in (0, 1) if j0 else (-1, 0, 1):
                    weight = np.float32(
                        (0.5 if di == -1 or (di == 1 and not i0) else 1.0)
                        * (0.5 if dj == -1 or (dj == 1 and not j0) else 1.0)
                    )
                    a = slice(max(0, -di), min(bh, coarse[0].shape[0] - di))
                    b = slice(max(0, -dj), min(bw, coarse[0].shape[1] - dj))
                    ca, cb = slice(a.start + di, a.stop + di), slice(b.start + dj, b.stop + dj)
                    other = instance[::2, ::2][ca, cb]
                    theirs = n[:, ::2, ::2][:, ca, cb]
                    own = facing[:, a, b]
                    dot = own[0] * theirs[0] + own[1] * theirs[1] + own[2] * theirs[2]
                    share = ((here[a, b] == other) & (dot > np.float32(0.5))) * weight
                    total[block][a, b] += share
                    for s, c in zip(sums, coarse, strict=True):
                        s[block][a, b] += share * c[ca, cb]
    alone = np.flatnonzero(total.ravel() == 0)
    scale = np.float32(1) / np.maximum(total, np.float32(1e-3))
    out: list[Floats] = []
    for light, s in zip(lights, sums, strict=True):
        full = np.multiply(s, scale, dtype=np.float32).ravel()
        if len(alone):
            turn = ((alone // width + alone) % 4).astype(np.int32)
            full[alone] = reaches(scene, casters, light, point[:, alone], normal[:, alone], index[alone], turn)
        out.append(full)
    return out
