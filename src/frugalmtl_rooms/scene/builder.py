"""Collection of primitives, one by one, into the arrays of a scene."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from frugalmtl_rooms.materials.material import Material
from frugalmtl_rooms.scene.description import BOX, CAPSULE, CYLINDER, ELLIPSOID, LABEL, Floats, Ints, Point


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
        for index, turned in self._spun.items():
            axes[index] = turned
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
