"""From a seed and a moment to a scene: room, furniture, people, lights, camera.

Two independent streams of choices: one for shape and motion, one for looks (materials). The shifted variant replaces looks,
lights and lens; the layout stays. Nothing is drawn after the time is used, so a clip shows one room.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from frugalmtl.data.rooms.furniture import Frame, Seat, Workshop
from frugalmtl.data.rooms.layout import FloorPlan
from frugalmtl.data.rooms.materials import PLANKS, WHITE, Colour, Palette, linear, mix, times
from frugalmtl.data.rooms.people import SIT, STAND, WALK, person
from frugalmtl.data.rooms.scene import CameraPose, Finish, Light, Point, Scene, SceneBuilder, SHELL_PLANES

_SHAPE, _LOOK, _LIGHT, _LENS = 1, 2, 3, 4


class _Person(NamedTuple):
    instance: int
    head: Point
    yaw: float
    start: tuple[float, float]


def stream(seed: int, *keys: int) -> np.random.Generator:
    """A generator that depends on the numbers alone: same on every machine and in every process."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *keys))))


def build(seed: int, time: float = 0.0, shifted: bool = False) -> Scene:
    """The scene of a seed at a time in [0, 1]."""
    rng, look = stream(seed, _SHAPE), stream(seed, _LOOK, int(shifted))
    light_rng, lens_rng = stream(seed, _LIGHT, int(shifted)), stream(seed, _LENS, int(shifted))
    b, palette = SceneBuilder(), Palette(look, shifted)
    shop = Workshop(b, palette, rng)
    width, depth, height = shop.uniform(3.6, 6.5), shop.uniform(3.6, 6.5), shop.uniform(2.4, 3.0)
    plan = FloorPlan(rng, width, depth)
    shell_materials, wooden = _shell(b, palette)
    illumination = _Illumination(light_rng, shifted)

    _openings(shop, plan, illumination.outside)
    seats, tops, clear = _furnish(shop, plan)
    people = _people(shop, plan, seats, time)
    lamps = _small_things(shop, plan, tops, clear, height, illumination.bulb, time)
    lights = illumination.lights(width, height, depth, lamps)
    camera = _camera(rng, lens_rng, plan, people, height, time, shifted)

    kind, centre, axes, size, tags = b.arrays()
    shell = np.arange(1, SHELL_PLANES + 1, dtype=np.int32)
    zero = np.zeros(SHELL_PLANES, np.int32)
    return Scene(
        room=np.array([width, height, depth], np.float32),
        kind=kind,
        centre=centre,
        axes=axes,
        size=size,
        instance=np.concatenate([shell, tags[:, 0]]),
        material=np.concatenate([shell_materials, tags[:, 1]]),
        part=np.concatenate([zero, tags[:, 2]]),
        instance_class=np.array(b.classes, np.int32),
        materials=tuple(b.materials),
        poses=b.poses,
        lights=lights,
        ambient=np.array(illumination.ambient, np.float32),
        camera=camera,
        finish=illumination.finish,
        warm=illumination.warm,
        wooden_floor=wooden,
    )


def _shell(b: SceneBuilder, palette: Palette) -> tuple[np.ndarray, bool]:
    """Instances and materials of walls, floor and ceiling; one wall may have an accent colour."""
    for name in ("wall", "wall", "floor", "ceiling", "wall", "wall"):
        b.instance(name)
    wall, floor = b.paint(palette.wall()), palette.floor()
    accent = b.paint(palette.wall()) if palette.rng.random() < 0.35 else wall
    ceiling = b.paint(palette.plain(mix(WHITE, palette.pick(palette.paints), 0.15)))
    where = int(palette.rng.integers(4))
    walls = [accent if i == where else wall for i in range(4)]
    materials = [walls[0], walls[1], b.paint(floor), ceiling, walls[2], walls[3]]
    return np.array(materials, np.int32), floor.pattern == PLANKS


class _Illumination:
    """Colour, number and strength of the lights of a room, and what the windows show."""

    def __init__(self, rng: np.random.Generator, shifted: bool) -> None:
        self.rng, self.shifted = rng, shifted
        self.warm = bool(rng.random() < 0.45)
        self.night = bool(rng.random() < 0.35)
        white, warm = linear("f4f6ff"), linear("ffb873")
        if shifted:
            white, warm = linear("b9d0ff"), linear("ff9a55")
        self.bulb: Colour = mix(warm if self.warm else white, WHITE, 0.15 * float(rng.random()))
        self.outside = 0.12 if self.night else float(rng.uniform(0.75, 1.0))
        level = float(rng.uniform(0.05, 0.12)) if self.night else float(rng.uniform(0.22, 0.4))
        tint = self.bulb if self.night else mix(self.bulb, linear("dfe9f7"), 0.25 if self.warm else 0.6)
        self.ambient: Colour = times(tint, level)
        target = float(rng.uniform(0.2, 0.31)) if self.night else float(rng.uniform(0.42, 0.56))
        if shifted:
            target *= float(rng.uniform(0.75, 1.1))
        self.finish = Finish(target, float(rng.uniform(0.012, 0.03) if shifted else rng.uniform(0.004, 0.016)), (1.0, 1.0, 1.0))

    def lights(
        self, width: float, height: float, depth: float, lamps: list[tuple[int, Point]]
    ) -> tuple[Light, ...]:
        """A ceiling light or the lamps of the room; two at most (three when shifted)."""
        rng, found = self.rng, []
        limit = 3 if self.shifted else 2
        for holder, bulb in lamps[: limit - 1]:
            found.append(Light(bulb, times(self.bulb, float(rng.uniform(1.2, 2.2))), 0.06, holder))
        low = 0.9 if self.shifted else 0.25
        place = (width * float(rng.uniform(0.25, 0.75)), height - float(rng.uniform(0.15, low)), depth * float(rng.uniform(0.25, 0.75)))
        strength = float(rng.uniform(2.0, 4.0)) * (0.5 if self.night and found else 1.0)
        found.append(Light(place, times(self.bulb, strength), 0.12 if self.shifted else 0.18))
        if self.shifted and len(found) < limit:
            hue = linear(("ff5f7a", "6f8bff", "6fffc4")[int(rng.integers(3))])
            corner = (width * float(rng.uniform(0.1, 0.9)), float(rng.uniform(1.2, 2.0)), depth * float(rng.uniform(0.1, 0.9)))
            found.append(Light(corner, times(hue, 1.2), 0.1))
        return tuple(found)


def _openings(shop: Workshop, plan: FloorPlan, outside: float) -> None:
    """Doors and windows."""
    for _ in range(int(shop.rng.random() < 0.7) + int(shop.rng.random() < 0.25)):
        span = plan.wall_span(0.55, 0.0, 2.1)
        if span:
            _, _, x, z, yaw = span
            shop.door(Frame(x, z, yaw))
            plan.discs.append((x + 0.3 * math.sin(yaw), z + 0.3 * math.cos(yaw), 0.45))
    for _ in range((0, 1, 1, 2, 2)[int(shop.rng.integers(5))]):
        half, tall = shop.uniform(0.35, 0.85), shop.uniform(0.45, 0.65)
        middle = shop.uniform(1.45, 1.6)
        span = plan.wall_span(half + 0.2, middle - tall - 0.3, middle + tall + 0.1)
        if span:
            _, _, x, z, yaw = span
            shop.window(Frame(x, z, yaw), middle, half, tall, outside)


def _furnish(shop: Workshop, plan: FloorPlan) -> tuple[list[Seat], list[tuple[Frame, float, float, float]], list[tuple[float, float]]]:
    """Large furniture. Returns seats, table tops (frame, half-edges, height) and places where a pendant may hang."""
    rng, seats = shop.rng, list[Seat]()
    tops: list[tuple[Frame, float, float, float]] = []
    clear: list[tuple[float, float]] = []
    if rng.random() < 0.6:
        half = shop.uniform(0.7, 1.0)
        span = plan.wall_span(half + 0.08, 0.0, 0.9, out=0.95)
        if span:
            _, _, x, z, yaw = span
            f = Frame(x, z, yaw)
            sx, _, sz = f.at(0, 0, 0.47)
            seats += shop.sofa(sx, sz, yaw, half)
            tx, _, tz = f.at(0, 0, 1.45)
            if rng.random() < 0.55 and plan.free(tx, tz, 0.42):
                a, c, h = shop.uniform(0.4, 0.55), shop.uniform(0.25, 0.34), shop.uniform(0.36, 0.45)
                plan.discs.append((tx, tz, 0.5))
                shop.table(tx, tz, yaw, a, c, h)
                tops.append((Frame(tx, tz, yaw), a, c, h))
            if rng.random() < 0.6:
                rx, _, rz = f.at(0, 0, 1.6)
                shop.rug(rx, rz, yaw, half + 0.2, shop.uniform(0.65, 0.95))
    elif rng.random() < 0.55:
        a, c = min(1.3, plan.width / 2 - 0.5), shop.uniform(0.7, 1.1)
        shop.rug(plan.width / 2, plan.depth / 2, shop.uniform(-0.3, 0.3), a if rng.random() < 0.7 else c, c)
    for _ in range(int(rng.random() < 0.55) + int(rng.random() < 0.15)):
        a = shop.uniform(0.55, 0.8)
        c = a if rng.random() < 0.3 else shop.uniform(0.38, 0.45)
        place = plan.spot(a + 0.5, tries=10)
        if place is None:
            continue
        yaw, h = (shop.uniform(0, 6.28) if rng.random() < 0.3 else int(rng.integers(2)) * math.pi / 2), shop.uniform(0.7, 0.77)
        shop.table(*place, yaw, a, c, h)
        f = Frame(*place, yaw)
        tops.append((f, a, c, h))
        clear.append(place)
        for side, out in ((0.0, c), (math.pi, c), (math.pi / 2, a), (-math.pi / 2, a)):
            if rng.random() < 0.5:
                d = out + shop.uniform(0.12, 0.3)
                cx, _, cz = f.at(d * math.sin(side), 0, d * math.cos(side))
                seats.append(shop.chair(cx, cz, yaw + side + math.pi + shop.uniform(-0.25, 0.25)))
    for _ in range(int(rng.integers(0, 3))):
        tall = rng.random() < 0.4
        half, deep, h = shop.uniform(0.35, 0.7), shop.uniform(0.17, 0.25), shop.uniform(1.5, 2.05) if tall else shop.uniform(0.6, 1.05)
        span = plan.wall_span(half, 0.0, h, out=2 * deep + 0.05)
        if span:
            _, _, x, z, yaw = span
            f = Frame(x, z, yaw)
            cx, _, cz = f.at(0, 0, deep + 0.02)
            shop.cabinet(cx, cz, yaw, half, deep, h)
            if not tall:
                tops.append((Frame(cx, cz, yaw), half, deep, h))
    if rng.random() < 0.3:
        place = plan.spot(0.55)
        if place:
            toward = math.atan2(plan.width / 2 - place[0], plan.depth / 2 - place[1])
            seats += shop.sofa(*place, toward + shop.uniform(-0.4, 0.4), 0.44)
    if rng.random() < 0.35:
        place = plan.spot(0.36)
        if place:
            seats.append(shop.chair(*place, shop.uniform(0, 6.28)))
    for _ in range(int(rng.integers(0, 4))):
        half, tall = shop.uniform(0.18, 0.5), shop.uniform(0.2, 0.42)
        middle = shop.uniform(1.5, 1.65)
        span = plan.wall_span(half + 0.05, middle - tall, middle + tall)
        if span:
            _, _, x, z, yaw = span
            shop.picture(Frame(x, z, yaw), middle, half, tall)
    return seats, tops, clear


def _people(shop: Workshop, plan: FloorPlan, seats: list[Seat], time: float) -> list[_Person]:
    """Nobody in a third of the rooms, else one to three people; the shape stream draws, the time only moves them."""
    rng = shop.rng
    u = rng.random()
    count = 0 if u < 0.32 else 1 if u < 0.68 else 2 if u < 0.9 else 3
    found: list[_Person] = []
    for _ in range(count):
        raised = bool(rng.random() < 0.3)
        sit, kind, yaw = rng.random(), rng.random(), shop.uniform(0, 6.28)
        phase = shop.uniform(0, 6.28)
        own = np.random.Generator(np.random.PCG64(int(rng.integers(1 << 62))))
        if seats and sit < 0.5:
            seat = seats.pop(int(rng.integers(len(seats))))
            start = place = (seat.x, seat.z)
            yaw, pose = seat.yaw, SIT
            height = seat.height
        else:
            spot = plan.spot(0.36, tries=24)
            if spot is None:
                continue
            start = place = spot
            height, pose = 0.45, WALK if kind < 0.45 else STAND
            plan.discs.pop()
            if pose == WALK:
                length = plan.run(*place, yaw, 0.36, 1.4)
                plan.take_run(*place, yaw, 0.36, length)
                gone = length * time
                place = (place[0] + gone * math.sin(yaw), place[1] + gone * math.cos(yaw))
                phase += 4.5 * gone
            else:
                plan.discs.append((*place, 0.36))
        beat = phase if pose == WALK else phase + 6.0 * time
        who, head = person(shop.build, shop.palette, own, place, yaw, pose, raised, beat, height)
        found.append(_Person(who, head, yaw, start))
    return found


def _small_things(
    shop: Workshop,
    plan: FloorPlan,
    tops: list[tuple[Frame, float, float, float]],
    clear: list[tuple[float, float]],
    ceiling: float,
    bulb: Colour,
    time: float,
) -> list[tuple[int, Point]]:
    """Lamps, plants, boxes and balls on the floor and on tables; returns the lamps."""
    rng, lamps = shop.rng, list[tuple[int, Point]]()
    if rng.random() < 0.35:
        place = plan.spot(0.24, corner=True)
        if place:
            lamps.append(shop.lamp(place[0], 0.0, place[1], shop.uniform(1.35, 1.7), bulb))
    for place in clear[:1]:
        if rng.random() < 0.45:
            lamps.append(shop.pendant(*place, ceiling, shop.uniform(0.5, 0.8), bulb))
    for _ in range(int(rng.random() < 0.4) + int(rng.random() < 0.15)):
        place = plan.spot(0.36, corner=rng.random() < 0.7)
        if place:
            shop.plant(place[0], 0.0, place[1], shop.uniform(0.8, 1.25))
    for frame, a, c, h in tops:
        for slot in (-0.6, 0.05, 0.62):
            if rng.random() > 0.42:
                continue
            x, _, z = frame.at(slot * a + shop.uniform(-0.05, 0.05), 0, shop.uniform(-0.4, 0.4) * c)
            kind, size = rng.random(), shop.uniform(0.05, 0.09)
            if kind < 0.25:
                shop.ball(x, h, z, size)
            elif kind < 0.6:
                shop.carton(x, h, z, shop.uniform(0, 3), (size * 1.4, size * shop.uniform(0.3, 1), size))
            elif kind < 0.8 and h > 0.5 and (a != c or abs(slot) > 0.3):
                lamps.append(shop.lamp(x, h, z, shop.uniform(0.38, 0.5), bulb))
            else:
                shop.plant(x, h, z, shop.uniform(0.4, 0.55))
    for _ in range(int(rng.integers(0, 3))):
        ball, yaw = rng.random() < 0.55, shop.uniform(0, 6.28)
        if ball:
            r = shop.uniform(0.1, 0.26)
            place = plan.spot(r + 0.02)
            if place is None:
                continue
            plan.discs.pop()
            length = plan.run(*place, yaw, r + 0.02, shop.uniform(0.3, 1.6))
            plan.take_run(*place, yaw, r + 0.02, length)
            # The ball slows down as it rolls and stops at the end of its free run.
            gone = length * (1 - (1 - time) ** 2)
            shop.ball(place[0] + gone * math.sin(yaw), 0.0, place[1] + gone * math.cos(yaw), r, _rolled(yaw, gone / r))
        else:
            half = (shop.uniform(0.14, 0.28), shop.uniform(0.1, 0.24), shop.uniform(0.12, 0.24))
            place = plan.spot(math.hypot(half[0], half[2]) + 0.03)
            if place:
                shop.carton(*place[:1], 0.0, place[1], yaw, half)
                if rng.random() < 0.3:
                    top = (half[0] * 0.7, half[1] * 0.6, half[2] * 0.7)
                    shop.carton(place[0], 2 * half[1], place[1], yaw + 0.4, top)
    return lamps


def _rolled(yaw: float, angle: float) -> np.ndarray:
    """Orientation of a ball that rolled by an angle in direction yaw (about the horizontal axis across the way)."""
    x, z = math.cos(yaw), -math.sin(yaw)
    c, s = math.cos(angle), math.sin(angle)
    return np.array(
        [
            [c + x * x * (1 - c), -z * s, x * z * (1 - c)],
            [z * s, c, -x * s],
            [x * z * (1 - c), x * s, c + z * z * (1 - c)],
        ],
        np.float32,
    )


def _camera(
    rng: np.random.Generator,
    lens_rng: np.random.Generator,
    plan: FloorPlan,
    people: list[_Person],
    ceiling: float,
    time: float,
    shifted: bool,
) -> CameraPose:
    """A view across the room, or (with people, about every other time) a view of one person from near by."""
    draws = rng.random(12)
    tries = rng.random((24, 3))
    fov = float(lens_rng.uniform(78, 100) if shifted else lens_rng.uniform(54, 74))
    roll = float(lens_rng.normal(0, 0.05 if shifted else 0.02))
    bend = float(lens_rng.uniform(0.03, 0.12)) if shifted else 0.0
    still, heading, reach = draws[0] < 0.2, 6.28 * draws[1], 0.25 + 0.5 * draws[2]
    close = bool(people) and draws[3] < 0.52
    focus: Point
    if close:
        subject = people[int(draws[4] * len(people))]
        # Wide lenses stand nearer for the same picture.
        scale = math.tan(math.radians(32)) / math.tan(math.radians(fov / 2))
        eye = (plan.width / 2, 1.3, plan.depth / 2)
        best = -1.0
        for u, v, w in tries:
            angle = subject.yaw + (2.2 * (u - 0.5) if v < 0.85 else math.pi + u - 0.5)
            far = (0.8 + 0.9 * w) * max(0.75, scale)
            x, z = subject.start[0] + far * math.sin(angle), subject.start[1] + far * math.cos(angle)
            room = min(x, plan.width - x, z, plan.depth - z) - 0.15
            gap = min((math.hypot(x - a, z - b) - r * 0.8 for a, b, r in plan.discs), default=9.0)
            score = min(room, gap, 0.1)
            if score > best or best == -1.0:
                best, eye = score, (x, subject.head[1] - 0.45 + 0.5 * draws[6], z)
            if score >= 0.1:
                break
        focus = (subject.head[0], subject.head[1] - 0.12 - 0.4 * draws[7], subject.head[2])
        reach *= 0.35
    else:
        marks = plan.discs or [(plan.width / 2, plan.depth / 2, 0.5)]
        mx = sum(a for a, _, _ in marks) / len(marks)
        mz = sum(c for _, c, _ in marks) / len(marks)
        eye, best = (plan.width / 2, 1.4, plan.depth / 2), -1e9
        for u, v, w in tries[:14]:
            x, z = 0.25 + u * (plan.width - 0.5), 0.25 + v * (plan.depth - 0.5)
            gap = min((math.hypot(x - a, z - c) - r for a, c, r in plan.discs), default=1.0)
            score = math.hypot(x - mx, z - mz) + 0.6 * w + min(0.0, gap - 0.3) * 6
            if score > best:
                best, eye = score, (x, 1.05 + 0.75 * draws[6], z)
        focus = (mx + draws[7] - 0.5, 0.55 + 0.6 * draws[8], mz + draws[9] - 0.5)
    if not still:
        go = plan.run(eye[0], eye[2], heading, 0.2, reach) * time
        eye = (eye[0] + go * math.sin(heading), eye[1] + 0.08 * (draws[10] - 0.5) * time, eye[2] + go * math.cos(heading))
        focus = (focus[0] + 0.3 * (draws[11] - 0.5) * time, focus[1], focus[2] + 0.3 * (draws[5] - 0.5) * time)
    eye = (
        min(max(eye[0], 0.15), plan.width - 0.15),
        min(max(eye[1], 0.5), ceiling - 0.25),
        min(max(eye[2], 0.15), plan.depth - 0.15),
    )
    return CameraPose(eye, focus, roll, fov, bend)
