"""Pinhole camera with radial distortion: rays of every pixel, and the pixels that a primitive can touch.

Camera frame: x right, y up, z forward. A ray is (qx, qy, 1) in it, so the ray parameter t is the metric z-depth.
Pixel (i, j) of an H x W image looks through the middle of its square; the field of view spans the longer side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from frugalmtl_rooms.scene.description import BOX, CAPSULE, CYLINDER, CameraPose, Floats, Ints, Scene

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
_NEAR = 0.02


@dataclass(frozen=True)
class View:
    """A camera with an image size.

    Args:
        eye: [3] position in the world.
        basis: [3, 3], rows are right, up, forward.
        focal: pixels per unit of tangent plane.
        distortion: k1 of q -> q (1 + k1 |q|^2).
        columns: [W] undistorted tangent-plane x of pixel middles.
        rows: [H] same for y.
    """

    eye: Floats
    basis: Floats
    focal: float
    distortion: float
    columns: Floats
    rows: Floats

    @staticmethod
    def of(pose: CameraPose, height: int, width: int) -> View:
        """The view of a pose at an image size."""
        eye, target = np.array(pose.eye), np.array(pose.target)
        forward = target - eye
        forward /= math.sqrt(float((forward * forward).sum()))
        right = np.array([-forward[2], 0.0, forward[0]])
        right /= math.sqrt(float((right * right).sum()))
        up = np.cross(right, forward)
        c, s = math.cos(pose.roll), math.sin(pose.roll)
        focal = 0.5 * max(height, width) / math.tan(math.radians(pose.field_of_view) / 2)
        basis = np.stack([right * c + up * s, up * c - right * s, forward])
        columns = (np.arange(width) + 0.5 - width / 2) / focal
        rows = (height / 2 - np.arange(height) - 0.5) / focal
        return View(
            eye.astype(np.float32),
            basis.astype(np.float32),
            focal,
            pose.distortion,
            columns.astype(np.float32),
            rows.astype(np.float32),
        )

    def bend(self, x: Floats, y: Floats) -> Floats | None:
        """Factor of the radial distortion, None without distortion."""
        if self.distortion == 0.0:
            return None
        bend: Floats = 1 + np.float32(self.distortion) * (x * x + y * y)
        return bend

    def directions(self, axes: Floats, x: Floats, y: Floats, bend: Floats | None) -> Floats:
        """Rays [3, ...] through tangent-plane points, in the frame in which the rows of `axes` are the camera axes.

        Plain products and sums instead of a matrix product: the same bits whatever the number of threads.
        """
        shape = (3,) + (1,) * x.ndim
        right, up, forward = (axes[k].reshape(shape) for k in range(3))
        if bend is not None:
            rays: Floats = (right * x + up * y) * bend + forward
        else:
            rays = (right * x + forward) + up * y
        return rays

    def bounds(self, scene: Scene) -> Ints:
        """[P, 4] pixel ranges (top, bottom, left, right; ends excluded) outside which a primitive surely is not seen.

        Every primitive is the hull of points and ellipsoids; the tangent planes through the eye that touch an
        ellipsoid with middle c and shape matrix A solve (c_z^2 - A_zz) u^2 - 2 (c_x c_z - A_xz) u + c_x^2 - A_xx = 0.
        """
        basis = self.basis.astype(np.float64)
        height, width = len(self.rows), len(self.columns)
        kind, size = scene.kind, scene.size.astype(np.float64)
        centre = (scene.centre - self.eye).astype(np.float64) @ basis.T
        axes = basis @ scene.axes.astype(np.float64)
        y = axes[:, :, 1]
        half = np.where((kind == CYLINDER) | (kind == CAPSULE), size[:, 1], 0.0)
        slope = np.where(kind == CYLINDER, size[:, 2], 0.0)
        low = np.full((len(kind), 2), np.inf)
        high = np.full((len(kind), 2), -np.inf)
        close = np.zeros(len(kind), bool)
        behind = np.ones(len(kind), bool)
        for end in (-1.0, 1.0):
            c = centre + end * half[:, None] * y
            radii = size.copy()
            round_ = kind >= CYLINDER
            radii[round_] = np.abs(size[round_, :1] + end * slope[round_, None] * half[round_, None])
            radii[kind == CYLINDER, 1] = 0.0
            scaled = axes * radii[:, None, :]
            shape = scaled @ scaled.transpose(0, 2, 1)
            depth = np.sqrt(shape[:, 2, 2])
            close |= c[:, 2] - depth <= _NEAR
            behind &= c[:, 2] + depth <= 0
            a = np.maximum(c[:, 2] ** 2 - shape[:, 2, 2], 1e-12)
            for k in range(2):
                b = c[:, k] * c[:, 2] - shape[:, k, 2]
                root = np.sqrt(np.maximum(b * b - a * (c[:, k] ** 2 - shape[:, k, k]), 0))
                low[:, k] = np.minimum(low[:, k], (b - root) / a)
                high[:, k] = np.maximum(high[:, k], (b + root) / a)
        box = kind == BOX
        corners = centre[box, None, :] + (_CORNERS * size[box, None, :]) @ axes[box].transpose(0, 2, 1)
        z = corners[:, :, 2]
        close[box], behind[box] = (z <= _NEAR).any(1), (z <= 0).all(1)
        plane = corners[:, :, :2] / np.maximum(z, _NEAR)[:, :, None]
        low[box], high[box] = plane.min(1), plane.max(1)
        if self.distortion > 0:
            # Bending scales a point by 1..most, so a bent coordinate u comes from some u / factor.
            most = 1 + self.distortion * (float(self.columns[-1]) ** 2 + float(self.rows[0]) ** 2)
            low, high = np.minimum(low, low / most), np.maximum(high, high / most)
        low, high = low * self.focal, high * self.focal
        out = np.stack(
            [
                np.ceil(height / 2 - 0.51 - high[:, 1]),
                np.floor(height / 2 - 0.49 - low[:, 1]) + 1,
                np.ceil(width / 2 - 0.51 + low[:, 0]),
                np.floor(width / 2 - 0.49 + high[:, 0]) + 1,
            ],
            1,
        )
        out[close] = (0, height, 0, width)
        out[behind] = 0
        limit = np.array([height, height, width, width])
        ranges: Ints = np.clip(out, 0, limit).astype(np.int32)
        return ranges
