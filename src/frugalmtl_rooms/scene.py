"""What a room is made of: primitives with materials, lights and a camera, as arrays.

World frame: x and z span the floor from (0, 0) to (width, depth), y points up, the floor is at y = 0; metres.
A surface index names what a ray meets: 0..5 are the planes of the room (x=0, x=w, floor, ceiling, z=0, z=d), 6+i is
primitive i.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frugalmtl_rooms.materials import Material
from frugalmtl_rooms.vocabulary import CLASSES, PARTS

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]
Point = tuple[float, float, float]

BOX, ELLIPSOID, CYLINDER, CAPSULE = 0, 1, 2, 3
SHELL = 4
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


@dataclass
class SceneBuilder:
    """Collects primitives one by one and turns them into arrays once."""

    materials: list[Material] = field(default_factory=list)
    classes: list[int] = field(default_factory=lambda: [0])
    poses: dict[int, str] = field(default_factory=dict)
    # kind, centre, size, axis (unit-free direction of local y, or yaw about y), instance, material, part
    _upright: list[tuple[int, float, float, float, float, float, float, float]] = field(default_factory=list)
    _upright_tags: list[tuple[int, int, int]] = field(default_factory=list)
    _along: list[tuple[int, float, float, float, float, float, float, float, float]] = field(default_factory=list)
    _along_tags: list[tuple[int, int, int]] = field(default_factory=list)
    _spun: dict[int, Floats] = field(default_factory=dict)

    def instance(self, name: str) -> int:
        """Open a new object of the class and return its instance number."""
        self.classes.append(LABEL[name])
        return len(self.classes) - 1

    def paint(self, material: Material) -> int:
        """Add a material and return its position."""
        self.materials.append(material)
        return len(self.materials) - 1

    def box(self, who: int, centre: Point, half: Point, material: int, yaw: float = 0.0) -> None:
        """Add a box with the given half-edges, turned by yaw (radians) about the vertical."""
        self._put(BOX, who, centre, half, material, yaw)

    def ellipsoid(self, who: int, centre: Point, radii: Point, material: int, yaw: float = 0.0, part: int = 0) -> None:
        """Add an ellipsoid with the given radii."""
        self._put(ELLIPSOID, who, centre, radii, material, yaw, part)

    def cylinder(self, who: int, centre: Point, radius: float, half: float, material: int, taper: float = 0.0) -> None:
        """Add an upright cylinder or cone stump; its radius at height y from its middle is radius + taper * y."""
        self._put(CYLINDER, who, centre, (radius, half, taper), material, 0.0)

    def spin(self, axes: Floats) -> None:
        """Give the upright primitive added last an orientation of its own (a rolling ball)."""
        self._spun[len(self._upright) - 1] = axes

    def limb(self, who: int, start: Point, end: Point, radius: float, material: int, part: int = 0) -> None:
        """Add a capsule from start to end."""
        self._along.append((CAPSULE, *start, *end, radius, radius))
        self._along_tags.append((who, material, part))

    def leaf(self, who: int, start: Point, end: Point, wide: float, thin: float, material: int) -> None:
        """Add a flattened ellipsoid from start to end, wide sideways and thin upwards."""
        self._along.append((ELLIPSOID, *start, *end, wide, thin))
        self._along_tags.append((who, material, 0))

    def _put(self, kind: int, who: int, centre: Point, size: Point, material: int, yaw: float, part: int = 0) -> None:
        self._upright.append((kind, *centre, *size, yaw))
        self._upright_tags.append((who, material, part))

    def arrays(self) -> tuple[Ints, Floats, Floats, Floats, Ints]:
        """Kinds [P], centres [P, 3], axes [P, 3, 3], sizes [P, 3] and (instance, material, part) tags [P, 3]."""
        up = np.array(self._upright, np.float64).reshape(-1, 8)
        cos, sin = np.cos(up[:, 7]), np.sin(up[:, 7])
        axes = np.zeros((len(up), 3, 3))
        axes[:, 0, 0], axes[:, 0, 2], axes[:, 1, 1], axes[:, 2, 0], axes[:, 2, 2] = cos, sin, 1.0, -sin, cos
        for index, own in self._spun.items():
            axes[index] = own
        al = np.array(self._along, np.float64).reshape(-1, 9)
        y = al[:, 4:7] - al[:, 1:4]
        length = np.sqrt((y * y).sum(1)) + 1e-9
        y /= length[:, None]
        reference = np.where((np.abs(y[:, 1]) > 0.95)[:, None], (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
        x = np.cross(y, reference)
        x /= np.sqrt((x * x).sum(1))[:, None]
        along_axes = np.stack([x, y, np.cross(x, y)], 2)
        along_size = np.stack([al[:, 7], length / 2, al[:, 8]], 1)
        return (
            np.concatenate([up[:, 0], al[:, 0]]).astype(np.int32),
            np.concatenate([up[:, 1:4], (al[:, 1:4] + al[:, 4:7]) / 2]).astype(np.float32),
            np.concatenate([axes, along_axes]).astype(np.float32),
            np.concatenate([up[:, 4:7], along_size]).astype(np.float32),
            np.array(self._upright_tags + self._along_tags, np.int32).reshape(-1, 3),
        )
