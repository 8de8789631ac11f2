"""Furniture and things: each method adds one object to the scene and returns what others need to know of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from frugalmtl_rooms.materials import furnishing
from frugalmtl_rooms.materials.material import WHITE, Colour, linear, plain
from frugalmtl_rooms.materials.palette import Palette
from frugalmtl_rooms.scene.builder import SceneBuilder
from frugalmtl_rooms.scene.description import Floats, Point
from frugalmtl_rooms.scene.layout import Frame


class Seat(NamedTuple):
    """A place to sit: point on the floor under the seat, direction the sitter faces, height of the seat (m)."""

    x: float
    z: float
    yaw: float
    height: float


@dataclass(frozen=True)
class Workshop:
    """Builder, palette (look) and generator (shape) that all furniture shares."""

    build: SceneBuilder
    palette: Palette
    rng: np.random.Generator

    def uniform(self, low: float, high: float) -> float:
        """A number between low and high."""
        return low + (high - low) * float(self.rng.random())

    def legs(
        self, who: int, frame: Frame, half_x: float, half_z: float, height: float, thick: float, paint: int
    ) -> None:
        """Four straight legs."""
        for sx in (-1, 1):
            for sz in (-1, 1):
                centre = frame.at(sx * (half_x - thick), height / 2, sz * (half_z - thick))
                self.build.box(who, centre, (thick, height / 2, thick), paint, frame.yaw)

    def table(self, x: float, z: float, yaw: float, half_x: float, half_z: float, height: float) -> None:
        """A table: rectangular on four legs, or round on a foot where both half-edges agree."""
        b, p, frame = self.build, self.palette, Frame(x, z, yaw)
        who, top = b.instance("table"), b.paint(furnishing.wood(p))
        if half_x == half_z:
            foot = b.paint(furnishing.metal(p))
            b.cylinder(who, (x, height - 0.02, z), half_x, 0.02, top)
            b.cylinder(who, (x, height / 2, z), 0.04, height / 2, foot)
            b.cylinder(who, (x, 0.02, z), half_x * 0.5, 0.02, foot, -2.0)
            return
        leg = top if self.rng.random() < 0.7 else b.paint(furnishing.metal(p))
        b.box(who, frame.at(0, height - 0.02, 0), (half_x, 0.02, half_z), top, yaw)
        if height > 0.6:
            b.box(who, frame.at(0, height - 0.08, 0), (half_x - 0.05, 0.045, half_z - 0.05), leg, yaw)
        else:
            b.box(who, frame.at(0, height * 0.35, 0), (half_x - 0.05, 0.012, half_z - 0.05), leg, yaw)
        self.legs(who, frame, half_x, half_z, height - 0.03, 0.03, leg)

    def chair(self, x: float, z: float, yaw: float) -> Seat:
        """A dining chair with slats or a panel as back, or an upholstered one."""
        b, p, frame = self.build, self.palette, Frame(x, z, yaw)
        who, wood = b.instance("chair"), b.paint(furnishing.wood(p))
        seat = wood if self.rng.random() < 0.5 else b.paint(furnishing.cloth(p))
        a, height, back = 0.21, self.uniform(0.43, 0.47), self.uniform(0.4, 0.55)
        b.box(who, frame.at(0, height - 0.025, 0), (a, 0.025, a), seat, yaw)
        self.legs(who, frame, a, a, height - 0.05, 0.018, wood)
        if self.rng.random() < 0.5:
            for sx in (-1, 1):
                b.box(
                    who, frame.at(sx * (a - 0.018), height + back / 2, -a + 0.018), (0.018, back / 2, 0.018), wood, yaw
                )
            for k in (0.45, 0.85):
                b.box(who, frame.at(0, height + back * k, -a + 0.018), (a - 0.03, 0.045, 0.012), seat, yaw)
        else:
            b.box(who, frame.at(0, height + back / 2, -a + 0.025), (a, back / 2, 0.025), seat, yaw)
        return Seat(*frame.at(0, 0, -0.02)[::2], yaw, height)

    def sofa(self, x: float, z: float, yaw: float, half: float) -> list[Seat]:
        """A sofa (an armchair where half < 0.5) with cushions and rounded arms."""
        b, p, frame = self.build, self.palette, Frame(x, z, yaw)
        who, cloth, foot = b.instance("sofa"), b.paint(furnishing.cloth(p, 0.1)), b.paint(furnishing.metal(p))
        seat, deep, arm = 0.42, 0.42, 0.1
        b.box(who, frame.at(0, 0.19, 0), (half, 0.11, deep - 0.02), cloth, yaw)
        b.box(who, frame.at(0, 0.45, -deep + 0.09), (half, 0.36, 0.09), cloth, yaw)
        b.limb(who, frame.at(-half + 0.06, 0.79, -deep + 0.09), frame.at(half - 0.06, 0.79, -deep + 0.09), 0.088, cloth)
        for sx in (-1, 1):
            b.box(who, frame.at(sx * (half - arm / 2), 0.34, 0), (arm, 0.23, deep), cloth, yaw)
            ends = (
                frame.at(sx * (half - arm / 2), 0.57, -deep + 0.1),
                frame.at(sx * (half - arm / 2), 0.57, deep - 0.09),
            )
            b.limb(who, *ends, arm * 0.98, cloth)
            for sz in (-1, 1):
                b.box(who, frame.at(sx * (half - 0.06), 0.04, sz * (deep - 0.07)), (0.025, 0.04, 0.025), foot, yaw)
        count = max(1, round((half - arm) / 0.33))
        wide = (half - 1.5 * arm) / count
        seats = []
        for k in range(count):
            cx = (2 * k + 1 - count) * wide
            b.box(who, frame.at(cx, seat - 0.06, 0.06), (wide - 0.008, 0.07, deep - 0.08), cloth, yaw)
            b.box(who, frame.at(cx, 0.6, -deep + 0.22), (wide - 0.012, 0.18, 0.055), cloth, yaw)
            px, _, pz = frame.at(cx, 0, 0.02)
            seats.append(Seat(px, pz, yaw, seat))
        if self.rng.random() < 0.6:
            pillow = b.paint(furnishing.cloth(p, 0.6))
            sx = 1 if self.rng.random() < 0.5 else -1
            tilt = yaw + sx * -0.35
            b.ellipsoid(who, frame.at(sx * (half - 0.34), 0.6, -0.06), (0.2, 0.18, 0.075), pillow, tilt)
        return seats

    def cabinet(self, x: float, z: float, yaw: float, half: float, deep: float, height: float) -> None:
        """A chest with drawers or doors; above 1.3 m a bookcase."""
        b, p, frame = self.build, self.palette, Frame(x, z, yaw)
        who, wood = b.instance("cabinet"), b.paint(furnishing.wood(p))
        if height > 1.3:
            books = b.paint(furnishing.books(p))
            b.box(who, frame.at(0, height / 2, -0.02), (half - 0.01, height / 2 - 0.01, deep - 0.03), books, yaw)
            for sx in (-1, 1):
                b.box(who, frame.at(sx * (half - 0.015), height / 2, 0), (0.015, height / 2, deep), wood, yaw)
            count = round(height / 0.36)
            for k in range(count + 1):
                y = 0.015 + k * (height - 0.03) / count
                b.box(who, frame.at(0, y, 0), (half - 0.03, 0.015, deep - 0.005), wood, yaw)
            return
        knob = b.paint(furnishing.metal(p))
        b.box(who, frame.at(0, height / 2 + 0.03, 0), (half, height / 2 - 0.03, deep), wood, yaw)
        b.box(who, frame.at(0, 0.03, 0), (half - 0.04, 0.03, deep - 0.04), knob, yaw)
        front = b.paint(furnishing.paint(p)) if self.rng.random() < 0.3 else wood
        rows, columns = (round(height / 0.26), 1) if self.rng.random() < 0.6 else (1, max(2, round(half / 0.22)))
        wide, tall = half / columns, (height - 0.08) / (2 * rows)
        for i in range(columns):
            for j in range(rows):
                cx, cy = (2 * i + 1 - columns) * wide, 0.06 + (2 * j + 1) * tall
                b.box(who, frame.at(cx, cy, deep), (wide - 0.015, tall - 0.012, 0.012), front, yaw)
                b.ellipsoid(who, frame.at(cx, cy, deep + 0.025), (0.04, 0.01, 0.014), knob, yaw)

    def lamp(self, x: float, y: float, z: float, height: float, colour: Colour) -> tuple[int, Point]:
        """A lamp on the floor or on a table (height of the whole lamp); returns its instance and its bulb."""
        b, p, big = self.build, self.palette, height > 1.0
        who, metal, shade = b.instance("lamp"), b.paint(furnishing.metal(p)), b.paint(furnishing.shade(colour))
        radius, half = (0.2, 0.14) if big else (0.13, 0.09)
        b.cylinder(who, (x, y + 0.012, z), radius * 0.7, 0.012, metal)
        if big:
            b.cylinder(who, (x, y + height / 2 - half, z), 0.014, height / 2 - half, metal)
        else:
            b.ellipsoid(who, (x, y + 0.1, z), (0.065, 0.1, 0.065), metal)
            b.cylinder(who, (x, y + height / 2, z), 0.012, height / 2 - half, metal)
        b.cylinder(who, (x, y + height - half, z), radius, half, shade, -0.4)
        return who, (x, y + height - half, z)

    def pendant(self, x: float, z: float, ceiling: float, drop: float, colour: Colour) -> tuple[int, Point]:
        """A lamp that hangs from the ceiling."""
        b, p = self.build, self.palette
        who, metal, shade = b.instance("lamp"), b.paint(furnishing.metal(p)), b.paint(furnishing.shade(colour))
        b.cylinder(who, (x, ceiling - drop / 2, z), 0.008, drop / 2, metal)
        if self.rng.random() < 0.5:
            b.ellipsoid(who, (x, ceiling - drop - 0.14, z), (0.16, 0.15, 0.16), shade)
        else:
            b.cylinder(who, (x, ceiling - drop - 0.08, z), 0.18, 0.1, shade, -0.9)
        return who, (x, ceiling - drop - 0.12, z)

    def plant(self, x: float, y: float, z: float, size: float) -> None:
        """A potted plant: arching leaves from the pot, or a small tree with a crown of leaves."""
        b, p, rng = self.build, self.palette, self.rng
        who, pot, soil = b.instance("plant"), b.paint(furnishing.pot(p)), b.paint(plain(linear("3a2a1e")))
        green = [b.paint(furnishing.foliage(p))] * 2 + [b.paint(furnishing.foliage(p))]
        r, h = 0.15 * size, 0.14 * size
        b.cylinder(who, (x, y + h, z), r * 0.88, h, pot, 0.22)
        b.cylinder(who, (x, y + 2 * h, z), r * 0.9, 0.006, soil)
        top, start = y + 2 * h, float(rng.uniform(0, 6.28))
        if size < 0.6 or rng.random() < 0.55:
            count = int(rng.integers(9, 14)) if size > 0.6 else 8
            rnd = rng.random((count, 3))
            for k in range(count):
                angle = start + 2.4 * k
                reach, rise = (0.3 + 0.28 * rnd[k, 0]) * size, (0.3 + 0.45 * rnd[k, 1]) * size
                dx, dz = math.sin(angle), math.cos(angle)
                knee = (x + dx * reach * 0.45, top + rise, z + dz * reach * 0.45)
                tip = (x + dx * reach * 1.15, top + rise * (0.4 + 0.4 * rnd[k, 2]), z + dz * reach * 1.15)
                root = (x + dx * 0.03, top - 0.02, z + dz * 0.03)
                wide = (0.055 if size > 0.6 else 0.085) * size
                bent = (knee[0] + dx * 0.03, knee[1] + 0.02, knee[2] + dz * 0.03)
                b.leaf(who, root, bent, wide * 0.8, 0.008, green[k % 3])
                b.leaf(who, (knee[0] - dx * 0.04, knee[1] - 0.03, knee[2] - dz * 0.04), tip, wide, 0.008, green[k % 3])
            return
        bark = b.paint(plain(linear("6b4f38")))
        crown = top + 0.75 * size
        b.limb(who, (x, top - 0.02, z), (x + 0.04, crown, z), 0.016, bark)
        rnd = rng.random((22, 4))
        for k in range(22):
            angle, polar = start + 2.4 * k, -0.5 + 1.45 * (k + 0.5) / 22
            dx, dy, dz = math.sin(angle) * math.cos(polar), math.sin(polar), math.cos(angle) * math.cos(polar)
            near, far = (0.05 + 0.08 * rnd[k, 0]) * size, (0.24 + 0.14 * rnd[k, 1]) * size
            droop = 0.1 * size * rnd[k, 2]
            base = (x + 0.04 + dx * near, crown + dy * near, z + dz * near)
            tip = (x + 0.04 + dx * far, crown + dy * far - droop, z + dz * far)
            b.leaf(who, base, tip, (0.05 + 0.03 * rnd[k, 3]) * size, 0.008, green[k % 3])

    def ball(self, x: float, y: float, z: float, radius: float, axes: Floats | None = None) -> None:
        """A ball that touches height y."""
        b, p = self.build, self.palette
        who, paint = b.instance("ball"), b.paint(furnishing.toy(p))
        b.ellipsoid(who, (x, y + radius, z), (radius, radius, radius), paint)
        if axes is not None:
            b.spin(axes)

    def carton(self, x: float, y: float, z: float, yaw: float, half: Point) -> None:
        """A cardboard or storage box with a lid."""
        b, p = self.build, self.palette
        who, paint = b.instance("box"), b.paint(furnishing.carton(p))
        b.box(who, (x, y + half[1], z), half, paint, yaw)
        if half[1] > 0.1 and self.rng.random() < 0.5:
            lid = (half[0] + 0.012, 0.03, half[2] + 0.012)
            b.box(who, (x, y + 2 * half[1] - 0.02, z), lid, paint, yaw)

    def rug(self, x: float, z: float, yaw: float, half_x: float, half_z: float) -> None:
        """A rug: a rectangle or a disc, one centimetre thick."""
        b, p = self.build, self.palette
        who, paint = b.instance("rug"), b.paint(furnishing.rug(p))
        if abs(half_x - half_z) < 0.12:
            b.cylinder(who, (x, 0.005, z), half_x, 0.007, paint)
        else:
            b.box(who, (x, 0.005, z), (half_x, 0.007, half_z), paint, yaw)

    def window(self, frame: Frame, middle: float, half: float, tall: float, brightness: float) -> None:
        """A window with panes, sill and sometimes curtains."""
        b, p, yaw = self.build, self.palette, frame.yaw
        who, wood, glass = b.instance("window"), b.paint(plain(WHITE, 0.1)), b.paint(furnishing.glass(p, brightness))
        b.box(who, frame.at(0, middle, 0), (half, tall, 0.03), wood, yaw)
        columns = 1 if half < 0.4 else 2
        wide = half / columns
        for i in range(columns):
            cx = (2 * i + 1 - columns) * wide
            b.box(who, frame.at(cx, middle, 0), (wide - 0.045, tall - 0.06, 0.036), glass, yaw)
        b.box(who, frame.at(0, middle - tall - 0.015, 0.05), (half + 0.05, 0.018, 0.07), wood, yaw)
        if self.rng.random() < 0.5:
            cloth = b.paint(furnishing.cloth(p, 0.3))
            for sx in (-1, 1):
                for k in range(3):
                    cx = sx * (half + 0.13 - 0.09 * k)
                    ends = frame.at(cx, middle - tall - 0.25, 0.07), frame.at(cx, middle + tall + 0.08, 0.07)
                    b.limb(who, *ends, 0.05, cloth)

    def door(self, frame: Frame) -> None:
        """A door with frame, two panels and a handle."""
        b, p, yaw = self.build, self.palette, frame.yaw
        who, wood, rim = b.instance("door"), b.paint(furnishing.wood(p)), b.paint(furnishing.paint(p))
        b.box(who, frame.at(0, 1.03, 0), (0.5, 1.04, 0.02), rim, yaw)
        b.box(who, frame.at(0, 1.0, 0), (0.43, 1.0, 0.028), wood, yaw)
        for y, tall in ((0.52, 0.36), (1.48, 0.36)):
            b.box(who, frame.at(0, y, 0), (0.3, tall, 0.036), wood, yaw)
        b.ellipsoid(who, frame.at(0.36, 1.02, 0.06), (0.06, 0.016, 0.02), b.paint(furnishing.metal(p)), yaw)

    def picture(self, frame: Frame, middle: float, half: float, tall: float) -> None:
        """A painting with frame and mount."""
        b, p, yaw = self.build, self.palette, frame.yaw
        who, rim, art = b.instance("picture"), b.paint(furnishing.wood(p)), b.paint(furnishing.art(p))
        b.box(who, frame.at(0, middle, 0), (half, tall, 0.025), rim, yaw)
        inner = 0.03
        if half > 0.25:
            mount = b.paint(plain(WHITE))
            b.box(who, frame.at(0, middle, 0), (half - 0.025, tall - 0.025, 0.028), mount, yaw)
            inner = 0.09
        b.box(who, frame.at(0, middle, 0), (half - inner, tall - inner, 0.031), art, yaw)
