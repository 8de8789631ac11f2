"""People made of capsules and ellipsoids with a pose: standing, walking, sitting, each with arms down, busy or raised."""

from __future__ import annotations

import math

import numpy as np

from frugalmtl.data.rooms.materials import Palette, linear
from frugalmtl.data.rooms.scene import PART, Point, SceneBuilder

STAND, WALK, SIT = "stand", "walk", "sit"
# Lengths of a person 1.75 m tall (m).
UPPER_ARM, LOWER_ARM, UPPER_LEG, LOWER_LEG, TORSO = 0.28, 0.25, 0.43, 0.42, 0.50
HIP = UPPER_LEG + LOWER_LEG + 0.06


def person(
    build: SceneBuilder,
    palette: Palette,
    rng: np.random.Generator,
    place: tuple[float, float],
    yaw: float,
    pose: str,
    raised: bool,
    phase: float = 0.0,
    seat: float = 0.45,
) -> tuple[int, Point]:
    """Add one person; every choice is drawn before the phase is used, so the same person moves through a clip.

    Args:
        place: x and z of the point under the pelvis.
        yaw: direction the person faces (0 is +z).
        pose: STAND, WALK or SIT.
        raised: both arms above the shoulders.
        phase: of the walk, or of the idle sway of arms and head (radians).
        seat: height of the seat (m), for SIT.

    Returns:
        Instance number and the centre of the head.
    """
    height = float(rng.uniform(1.52, 1.92)) / 1.75
    girth = float(rng.uniform(0.88, 1.18))
    draws = rng.random(16)
    skin, shirt, trousers = build.paint(palette.skin()), build.paint(palette.shirt()), build.paint(palette.trousers())
    hair, shoe, eye = build.paint(palette.hair()), build.paint(palette.shoes()), build.paint(palette.plain(linear("1b1512"), 0.4))
    sleeve = shirt if draws[0] < 0.55 else skin
    shorts = skin if draws[1] < 0.2 else trousers
    who = build.instance("person")
    build.poses[who] = f"{pose}{'_raised' if raised else ''}"

    cos, sin = math.cos(yaw), math.sin(yaw)

    def world(x: float, y: float, z: float) -> Point:
        x, y, z = x * height, y * height, z * height
        return place[0] + cos * x + sin * z, y, place[1] - sin * x + cos * z

    def limb(a: Point, b: Point, radius: float, paint: int, part: str) -> None:
        build.limb(who, world(*a), world(*b), radius * height, paint, PART[part])

    def blob(at: Point, radii: Point, paint: int, part: str, turn: float = 0.0) -> None:
        size = (radii[0] * height, radii[1] * height, radii[2] * height)
        build.ellipsoid(who, world(*at), size, paint, yaw + turn, PART[part])

    bob = 0.015 * abs(math.cos(phase)) if pose == WALK else 0.0
    hip = (seat / height + 0.09) if pose == SIT else HIP - 0.02 + bob
    lean = 0.05 * (2 * draws[2] - 1) + (0.04 if pose == WALK else -0.05 if pose == SIT else 0.0)
    neck = hip + TORSO

    # Torso: pelvis, belly, chest and a shoulder bar.
    wide = 0.155 * girth
    blob((0, hip + 0.02, 0), (wide, 0.115, 0.115 * girth), trousers, "torso")
    blob((0, hip + 0.2, lean * 0.4), (wide * 0.95, 0.19, 0.105 * girth), shirt, "torso")
    blob((0, hip + 0.35, lean * 0.8), (wide * 1.06, 0.17, 0.115 * girth), shirt, "torso")
    limb((-0.12, neck - 0.05, lean), (0.12, neck - 0.05, lean), 0.065, shirt, "torso")

    # Head: neck, skull, hair, nose, eyes; it looks a little aside.
    turn = 0.9 * (draws[3] - 0.5) + 0.15 * math.sin(phase)
    top = neck + 0.185
    ct, st = math.cos(turn), math.sin(turn)

    def face(x: float, y: float, z: float) -> Point:
        return ct * x + st * z, top + y, lean + 0.03 - st * x + ct * z

    limb((0, neck - 0.03, lean), (0, neck + 0.09, lean + 0.015), 0.052, skin, "head")
    blob(face(0, 0, 0), (0.076, 0.112, 0.094), skin, "head", turn)
    blob(face(0, 0.035, -0.018), (0.084, 0.094, 0.092), hair, "head", turn)
    if draws[4] < 0.4:
        blob(face(0, -0.06, -0.06), (0.082, 0.15, 0.05), hair, "head", turn)
    blob(face(0, -0.015, 0.095), (0.014, 0.022, 0.02), skin, "head", turn)
    for side in (-1, 1):
        blob(face(0.03 * side, 0.012, 0.083), (0.012, 0.008, 0.01), eye, "head", turn)

    for side in (-1, 1):
        own = draws[5:10] if side < 0 else draws[10:15]
        if pose == SIT:
            thigh, knee = 1.42 + 0.12 * own[0], -1.35 - 0.25 * own[1]
        elif pose == WALK:
            thigh, knee = 0.48 * side * math.sin(phase), -0.15 - 0.55 * max(0.0, -side * math.cos(phase))
        else:
            thigh, knee = 0.08 * own[0], -0.1 * own[1]
        spread = 0.025 + 0.05 * own[2]
        hx = 0.085 * girth * side
        kx, ky, kz = hx + spread * side, hip - UPPER_LEG * math.cos(thigh), UPPER_LEG * math.sin(thigh)
        shin = thigh + knee
        ax, ay, az = kx, ky - LOWER_LEG * math.cos(shin), kz + LOWER_LEG * math.sin(shin)
        limb((hx, hip, 0), (kx, ky, kz), 0.078 * girth, trousers, "upper_leg")
        limb((kx, ky, kz), (ax, ay, az), 0.054 * girth, shorts, "lower_leg")
        limb((ax, ay - 0.015, az - 0.02), (ax + 0.02 * side, ay - 0.03, az + 0.14), 0.042, shoe, "lower_leg")

        sway = 0.08 * math.sin(phase + side)
        if raised:
            swing, away, bend = 0.15, 1.5 + 1.1 * own[3] + sway, 0.5 * own[4]
            forward = (0.0, 1.0, 0.2)
        elif pose == WALK:
            swing, away, bend = -0.5 * side * math.sin(phase), 0.12, 0.35
            forward = (0.0, 0.1, 1.0)
        elif pose == SIT:
            swing, away, bend = 0.45 + 0.3 * own[3] + sway, 0.12, 0.9 * own[4] + 0.3
            forward = (-0.25 * side, 0.1, 1.0)
        else:
            swing, away, bend = -0.15 + 0.6 * own[3] * own[3] + sway, 0.12 + 0.2 * own[4], 0.1 + 1.5 * own[4] * own[4]
            forward = (-0.3 * side, 0.45, 1.0)
        ux, uy, uz = math.sin(away) * side, -math.cos(away) * math.cos(swing), math.sin(swing) * abs(math.cos(away)) + (0.15 if raised else 0.0)
        length = math.sqrt(ux * ux + uy * uy + uz * uz)
        ux, uy, uz = ux / length, uy / length, uz / length
        cb, sb = math.cos(bend), math.sin(bend)
        fx, fy, fz = ux * cb + forward[0] * sb, uy * cb + forward[1] * sb, uz * cb + forward[2] * sb
        length = math.sqrt(fx * fx + fy * fy + fz * fz)
        fx, fy, fz = fx / length, fy / length, fz / length
        sx, sy, sz = 0.165 * girth * side, neck - 0.055, lean
        ex, ey, ez = sx + UPPER_ARM * ux, sy + UPPER_ARM * uy, sz + UPPER_ARM * uz
        wx, wy, wz = ex + LOWER_ARM * fx, ey + LOWER_ARM * fy, ez + LOWER_ARM * fz
        limb((sx, sy, sz), (ex, ey, ez), 0.05 * girth, shirt, "upper_arm")
        limb((ex, ey, ez), (wx, wy, wz), 0.04 * girth, sleeve, "lower_arm")
        limb((wx, wy, wz), (wx + 0.09 * fx, wy + 0.09 * fy, wz + 0.09 * fz), 0.036, skin, "lower_arm")
    return who, world(*face(0, 0, 0))
