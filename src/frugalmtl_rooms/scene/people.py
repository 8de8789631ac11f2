"""People made of capsules and ellipsoids: standing, walking or sitting, arms down, busy or raised.

Coordinates of a body: x to its left, y up, z to its front, in units of a person 1.75 m tall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from frugalmtl_rooms.materials import clothing
from frugalmtl_rooms.materials.material import linear, plain
from frugalmtl_rooms.materials.palette import Palette
from frugalmtl_rooms.scene.builder import SceneBuilder
from frugalmtl_rooms.scene.description import PART, Point

STAND, WALK, SIT = "stand", "walk", "sit"
UPPER_ARM, LOWER_ARM, UPPER_LEG, LOWER_LEG, TORSO = 0.28, 0.25, 0.43, 0.42, 0.50
HIP = UPPER_LEG + LOWER_LEG + 0.04


@dataclass(frozen=True)
class Pose:
    """Posture: STAND, WALK or SIT; arms raised or not; phase of the walk or of the idle sway (radians)."""

    kind: str
    raised: bool
    phase: float

    def leg(self, side: int, a: float, b: float) -> tuple[float, float]:
        """Angles of thigh (forward from hanging) and knee of one side; a and b in 0..1 vary the person."""
        if self.kind == SIT:
            return 1.42 + 0.12 * a, -1.35 - 0.25 * b
        if self.kind == WALK:
            return 0.48 * side * math.sin(self.phase), -0.15 - 0.55 * max(0.0, -side * math.cos(self.phase))
        return 0.08 * a, -0.1 * b

    def arm(self, side: int, a: float, b: float) -> tuple[float, float, float, Point]:
        """Swing to the front, angle away from the body, bend of the elbow, direction the elbow bends to."""
        sway = 0.08 * math.sin(self.phase + side)
        if self.raised:
            return 0.3, 1.5 + 1.1 * a + sway, 0.5 * b, (0.0, 1.0, 0.2)
        if self.kind == WALK:
            return -0.5 * side * math.sin(self.phase), 0.12, 0.35, (0.0, 0.1, 1.0)
        if self.kind == SIT:
            return 0.45 + 0.3 * a + sway, 0.12, 0.9 * b + 0.3, (-0.25 * side, 0.1, 1.0)
        return -0.15 + 0.6 * a * a + sway, 0.12 + 0.2 * b, 0.1 + 1.5 * b * b, (-0.3 * side, 0.45, 1.0)


@dataclass(frozen=True)
class _Body:
    """Adds limbs and blobs of one person to the scene."""

    build: SceneBuilder
    who: int
    place: tuple[float, float]
    yaw: float
    height: float
    girth: float

    def world(self, at: Point) -> Point:
        x, y, z = at[0] * self.height, at[1] * self.height, at[2] * self.height
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self.place[0] + c * x + s * z, y, self.place[1] - s * x + c * z

    def limb(self, a: Point, b: Point, radius: float, paint: int, part: str) -> None:
        self.build.limb(self.who, self.world(a), self.world(b), radius * self.height, paint, PART[part])

    def blob(self, at: Point, radii: Point, paint: int, part: str, turn: float = 0.0) -> None:
        size = (radii[0] * self.height, radii[1] * self.height, radii[2] * self.height)
        self.build.ellipsoid(self.who, self.world(at), size, paint, self.yaw + turn, PART[part])

    def torso(self, hip: float, lean: float, shirt: int, trousers: int) -> None:
        """Pelvis, belly, chest and a bar of shoulders."""
        wide, deep, neck = 0.155 * self.girth, 0.115 * self.girth, hip + TORSO
        self.blob((0, hip + 0.02, 0), (wide, 0.115, deep), trousers, "torso")
        self.blob((0, hip + 0.2, lean * 0.4), (wide * 0.95, 0.19, deep * 0.92), shirt, "torso")
        self.blob((0, hip + 0.35, lean * 0.8), (wide * 1.06, 0.17, deep), shirt, "torso")
        self.limb((-0.12, neck - 0.05, lean), (0.12, neck - 0.05, lean), 0.065, shirt, "torso")

    def head(self, neck: float, lean: float, turn: float, long_hair: bool, skin: int, hair: int) -> Point:
        """Neck, skull, hair, nose and eyes, looking aside by turn; gives the middle of the skull."""
        top, c, s = neck + 0.185, math.cos(turn), math.sin(turn)

        def face(x: float, y: float, z: float) -> Point:
            return c * x + s * z, top + y, lean + 0.03 - s * x + c * z

        self.limb((0, neck - 0.03, lean), (0, neck + 0.09, lean + 0.015), 0.052, skin, "head")
        self.blob(face(0, 0, 0), (0.076, 0.112, 0.094), skin, "head", turn)
        self.blob(face(0, 0.035, -0.018), (0.084, 0.094, 0.092), hair, "head", turn)
        if long_hair:
            self.blob(face(0, -0.06, -0.06), (0.082, 0.15, 0.05), hair, "head", turn)
        self.blob(face(0, -0.015, 0.095), (0.014, 0.022, 0.02), skin, "head", turn)
        eye = self.build.paint(_EYE)
        for side in (-1, 1):
            self.blob(face(0.03 * side, 0.012, 0.083), (0.012, 0.008, 0.01), eye, "head", turn)
        return 0.0, top, lean + 0.03

    def leg(
        self, side: int, hip: float, angles: tuple[float, float], spread: float, paints: tuple[int, int, int]
    ) -> None:
        """Thigh, shin and shoe."""
        thigh, shin = angles[0], angles[0] + angles[1]
        trousers, shorts, shoe = paints
        start = (0.085 * self.girth * side, hip, 0.0)
        knee = (start[0] + spread * side, hip - UPPER_LEG * math.cos(thigh), UPPER_LEG * math.sin(thigh))
        ankle = (knee[0], knee[1] - LOWER_LEG * math.cos(shin), knee[2] + LOWER_LEG * math.sin(shin))
        self.limb(start, knee, 0.078 * self.girth, trousers, "upper_leg")
        self.limb(knee, ankle, 0.054 * self.girth, shorts, "lower_leg")
        x, y, z = ankle
        self.limb((x, y - 0.015, z - 0.02), (x + 0.02 * side, y - 0.03, z + 0.14), 0.042, shoe, "lower_leg")

    def arm(
        self, side: int, shoulder: Point, bearing: tuple[float, float, float, Point], paints: tuple[int, int, int]
    ) -> None:
        """Upper arm, lower arm and hand."""
        swing, away, bend, aim = bearing
        shirt, sleeve, skin = paints
        upper = _unit((math.sin(away) * side, -math.cos(away) * math.cos(swing), math.sin(swing) * abs(math.cos(away))))
        c, s = math.cos(bend), math.sin(bend)
        lower = _unit((upper[0] * c + aim[0] * s, upper[1] * c + aim[1] * s, upper[2] * c + aim[2] * s))
        elbow = _step(shoulder, upper, UPPER_ARM)
        wrist = _step(elbow, lower, LOWER_ARM)
        self.limb(shoulder, elbow, 0.05 * self.girth, shirt, "upper_arm")
        self.limb(elbow, wrist, 0.04 * self.girth, sleeve, "lower_arm")
        self.limb(wrist, _step(wrist, lower, 0.09), 0.036, skin, "lower_arm")


_EYE = plain(linear("1b1512"), 0.4)


def person(
    build: SceneBuilder,
    palette: Palette,
    rng: np.random.Generator,
    place: tuple[float, float],
    yaw: float,
    pose: Pose,
    seat: float,
) -> Point:
    """Add one person; nothing that is drawn depends on the pose, so the same person moves through a clip.

    Args:
        build: scene to add to.
        palette: draws skin, hair and clothes.
        rng: draws the body.
        place: x and z of the point under the pelvis (m).
        yaw: direction the person faces (0 is +z).
        pose: what the person does.
        seat: height of the seat (m), used when sitting.

    Returns:
        The middle of the head without the bobbing of the walk: a steady point to look at.
    """
    body = _Body(
        build,
        build.instance("person"),
        place,
        yaw,
        float(rng.uniform(1.52, 1.92)) / 1.75,
        float(rng.uniform(0.88, 1.18)),
    )
    draws = rng.random(16).tolist()
    skin, shirt, trousers, hair, shoe = (
        build.paint(draw(palette))
        for draw in (clothing.skin, clothing.shirt, clothing.trousers, clothing.hair, clothing.shoes)
    )
    sleeve = shirt if draws[0] < 0.55 else skin
    shorts = skin if draws[1] < 0.2 else trousers
    build.poses[body.who] = f"{pose.kind}{'_raised' if pose.raised else ''}"

    bob = 0.015 * abs(math.cos(pose.phase)) if pose.kind == WALK else 0.0
    hip = (seat / body.height + 0.09) if pose.kind == SIT else HIP + bob
    lean = 0.05 * (2 * draws[2] - 1) + {WALK: 0.04, SIT: -0.05, STAND: 0.0}[pose.kind]
    neck = hip + TORSO
    body.torso(hip, lean, shirt, trousers)
    turn = 0.9 * (draws[3] - 0.5) + 0.15 * math.sin(pose.phase)
    x, top, z = body.head(neck, lean, turn, draws[4] < 0.4, skin, hair)
    for side, draw in ((-1, draws[5:10]), (1, draws[10:15])):
        body.leg(side, hip, pose.leg(side, draw[0], draw[1]), 0.025 + 0.05 * draw[2], (trousers, shorts, shoe))
        shoulder = (0.165 * body.girth * side, neck - 0.055, lean)
        body.arm(side, shoulder, pose.arm(side, draw[3], draw[4]), (shirt, sleeve, skin))
    return body.world((x, top - bob, z))


def _unit(v: Point) -> Point:
    length = math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    return v[0] / length, v[1] / length, v[2] / length


def _step(start: Point, direction: Point, length: float) -> Point:
    return start[0] + length * direction[0], start[1] + length * direction[1], start[2] + length * direction[2]
