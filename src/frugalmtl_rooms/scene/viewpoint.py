"""Camera poses: close to a person, close to a thing, or across the room."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frugalmtl_rooms.scene.description import CameraPose, Point
from frugalmtl_rooms.scene.layout import FloorPlan

Floats64 = NDArray[np.float64]


class Subject(NamedTuple):
    """A person as the camera sees it: middle of the head now, direction faced, place on the floor (x, z) at time 0."""

    head: Point
    yaw: float
    start: tuple[float, float]


def viewpoint(
    rng: np.random.Generator,
    lens_rng: np.random.Generator,
    plan: FloorPlan,
    people: list[Subject],
    things: list[Point],
    ceiling: float,
    time: float,
    shifted: bool,
) -> CameraPose:
    """The camera at a time: with people mostly near one of them; else near a thing, or a view across the room.

    A fifth of the cameras stand still, the others glide towards a fixed heading as far as the floor is free.
    """
    draws, tries = rng.random(14), rng.random((24, 3))
    fov = float(lens_rng.uniform(78, 100) if shifted else lens_rng.uniform(54, 74))
    roll = float(lens_rng.normal(0, 0.05 if shifted else 0.02))
    bend = float(lens_rng.uniform(0.03, 0.12)) if shifted else 0.0
    # Wide lenses stand nearer for the same picture.
    near = max(0.6, math.tan(math.radians(32)) / math.tan(math.radians(fov / 2)))
    still, heading, reach = draws[0] < 0.2, 6.28 * draws[1], 0.25 + 0.5 * draws[2]
    if people and draws[3] < 0.62:
        subject = people[int(draws[4] * len(people))]
        head = subject.head
        x, z = _beside(plan, subject.start, subject.yaw, 2.2, 0.8 * near, 0.9 * near, tries)
        eye = (x, head[1] - 0.45 + 0.5 * draws[6], z)
        followed = (0.0, 0.0) if still else (head[0] - subject.start[0], head[2] - subject.start[1])
        focus = (subject.start[0] + followed[0], head[1] - 0.12 - 0.4 * draws[7], subject.start[1] + followed[1])
        reach *= 0.35
    elif things and draws[12] < 0.4:
        thing = things[int(draws[13] * len(things))]
        toward = math.atan2(plan.width / 2 - thing[0], plan.depth / 2 - thing[2])
        x, z = _beside(plan, (thing[0], thing[2]), toward, 2.6, 1.25 * near, 0.9 * near, tries)
        eye, focus = (x, thing[1] + 0.35 + 0.5 * draws[6], z), thing
        reach *= 0.5
    else:
        x, z, mx, mz = _across(plan, tries)
        eye = (x, 1.05 + 0.75 * draws[6], z)
        focus = (mx + draws[7] - 0.5, 0.55 + 0.6 * draws[8], mz + draws[9] - 0.5)
    if not still:
        go = plan.run(eye[0], eye[2], heading, 0.2, reach) * time
        rise = 0.08 * (draws[10] - 0.5) * time
        eye = (eye[0] + go * math.sin(heading), eye[1] + rise, eye[2] + go * math.cos(heading))
        focus = (focus[0] + 0.3 * (draws[11] - 0.5) * time, focus[1], focus[2] + 0.3 * (draws[5] - 0.5) * time)
    eye = (
        min(max(eye[0], 0.15), plan.width - 0.15),
        min(max(eye[1], 0.5), ceiling - 0.25),
        min(max(eye[2], 0.15), plan.depth - 0.15),
    )
    return CameraPose(eye, focus, roll, fov, bend)


def _beside(
    plan: FloorPlan,
    target: tuple[float, float],
    yaw: float,
    fan: float,
    nearest: float,
    spread: float,
    tries: Floats64,
) -> tuple[float, float]:
    """A free place near by, mostly within a fan (radians) around the direction yaw; else the least bad one."""
    best, place = -math.inf, (plan.width / 2, plan.depth / 2)
    for u, v, w in tries:
        angle = yaw + (fan * (u - 0.5) if v < 0.85 else math.pi + u - 0.5)
        far = nearest + spread * w
        x, z = target[0] + far * math.sin(angle), target[1] + far * math.cos(angle)
        wall = min(x, plan.width - x, z, plan.depth - z) - 0.15
        gap = min((math.hypot(x - a, z - b) - 0.8 * r for a, b, r in plan.discs), default=9.0)
        score = min(wall, gap, 0.15)
        if score > best:
            best, place = score, (x, z)
        if score >= 0.15:
            break
    return place


def _across(plan: FloorPlan, tries: Floats64) -> tuple[float, float, float, float]:
    """A free place far from the middle of what stands in the room, and that middle."""
    marks = plan.discs or [(plan.width / 2, plan.depth / 2, 0.5)]
    mx = sum(a for a, _, _ in marks) / len(marks)
    mz = sum(b for _, b, _ in marks) / len(marks)
    best, place = -math.inf, (plan.width / 2, plan.depth / 2)
    for u, v, w in tries[:14]:
        x, z = 0.25 + u * (plan.width - 0.5), 0.25 + v * (plan.depth - 0.5)
        gap = min((math.hypot(x - a, z - b) - r for a, b, r in plan.discs), default=1.0)
        score = math.hypot(x - mx, z - mz) + 0.6 * w + min(0.0, gap - 0.3) * 6
        if score > best:
            best, place = score, (x, z)
    return (*place, mx, mz)
