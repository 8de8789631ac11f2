"""Scenes: primitives with materials, lights and a camera, as arrays.

World frame: x and z span the floor from (0, 0) to (width, depth), y points up, the floor is at y = 0; metres.
A surface index names what a ray meets: 0..5 are the planes of the room (x=0, x=w, floor, ceiling, z=0, z=d), 6+i is
primitive i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frugalmtl_rooms.materials.material import Material
from frugalmtl_rooms.vocabulary import CLASSES, PARTS

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]
Point = tuple[float, float, float]

BOX, ELLIPSOID, CYLINDER, CAPSULE = 0, 1, 2, 3
SHELL_PLANES = 6
LABEL = {name: index for index, name in enumerate(CLASSES)}
PART = {name: index for index, name in enumerate(PARTS)}
# Flat things on walls and floor throw no shadow worth its rays.
FLAT = frozenset(LABEL[name] for name in ("window", "door", "picture", "rug"))


class Light(NamedTuple):
    """A small round light: position (m), linear RGB intensity, radius (m), and the instance that holds it (0: none)."""

    position: Point
    colour: Point
    radius: float
    holder: int = 0


class CameraPose(NamedTuple):
    """Where the camera stands, what it looks at (m), roll (radians), field of view of the longer side (degrees), k1.

    A pixel at tangent-plane position q (longer side spans 2 tan(fov / 2)) looks along q (1 + k1 |q|^2).
    """

    eye: Point
    target: Point
    roll: float
    field_of_view: float
    distortion: float


class Finish(NamedTuple):
    """Exposure target (mean of the tone-mapped image, 0..1), standard deviation of the sensor noise."""

    exposure: float
    noise: float


@dataclass(frozen=True)
class Scene:
    """One moment of one room. P primitives, S = P + 6 surfaces, I instances.

    Args:
        room: width, height, depth (m).
        kind: [P] one of BOX, ELLIPSOID, CYLINDER, CAPSULE.
        centre: [P, 3].
        axes: [P, 3, 3], columns are the primitive's own x, y, z axes in the world.
        size: [P, 3]; half-edges of a box, radii of an ellipsoid, (radius, half height, taper) of a cylinder whose
            radius at local height y is radius + taper * y, (radius, half length, radius) of a capsule along its own y
            axis.
        instance: [S] instance number of each surface, 1-based; the planes of the room are instances 1..6.
        material: [S] position in `materials`.
        part: [S] human part, 0 for none.
        instance_class: [I + 1] semantic class by instance number (entry 0 unused).
        poses: instance number of each person to its pose.
    """

    room: Floats
    kind: Ints
    centre: Floats
    axes: Floats
    size: Floats
    instance: Ints
    material: Ints
    part: Ints
    instance_class: Ints
    materials: tuple[Material, ...]
    poses: dict[int, str]
    lights: tuple[Light, ...]
    ambient: Floats
    camera: CameraPose
    finish: Finish
    warm: bool
    wooden_floor: bool
