"""Assembly of a scene from a seed and a moment: walls, furniture, people, lights, camera.

Two independent streams of choices: one for shape and motion, one for looks (materials). The shifted variant replaces
looks, lights and lens; the layout stays. Nothing is drawn after the time is used, so a clip shows one room.
"""

from __future__ import annotations

import math

import numpy as np

from frugalmtl_rooms.materials import furnishing
from frugalmtl_rooms.materials.material import PLANKS, WHITE, mix, plain
from frugalmtl_rooms.materials.palette import Palette
from frugalmtl_rooms.scene.arrangement import Furnished, furnish
from frugalmtl_rooms.scene.builder import SceneBuilder
from frugalmtl_rooms.scene.description import SHELL_PLANES, Ints, Scene
from frugalmtl_rooms.scene.furniture import Seat, Workshop
from frugalmtl_rooms.scene.illumination import Illumination
from frugalmtl_rooms.scene.layout import FloorPlan
from frugalmtl_rooms.scene.people import SIT, STAND, WALK, Pose, person
from frugalmtl_rooms.scene.scatter import scatter
from frugalmtl_rooms.scene.viewpoint import Subject, viewpoint

_SHAPE, _LOOK, _LIGHT, _LENS = 1, 2, 3, 4


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
    illumination = Illumination(light_rng, shifted)

    home = Furnished(shop, plan)
    furnish(home, illumination.outside)
    people = _people(shop, plan, home.seats, time)
    scatter(home, height, illumination.bulb, time)
    lights = illumination.lights(width, height, depth, home.lamps)
    camera = viewpoint(rng, lens_rng, plan, people, home.things, height, time, shifted)

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


def _shell(b: SceneBuilder, palette: Palette) -> tuple[Ints, bool]:
    """Instances and materials of walls, floor and ceiling; one wall may have an accent colour."""
    for name in ("wall", "wall", "floor", "ceiling", "wall", "wall"):
        b.instance(name)
    wall, floor = b.paint(furnishing.wall(palette)), furnishing.floor(palette)
    accent = b.paint(furnishing.wall(palette)) if palette.rng.random() < 0.35 else wall
    ceiling = b.paint(plain(mix(WHITE, palette.pick(palette.paints), 0.15)))
    where = int(palette.rng.integers(4))
    walls = [accent if i == where else wall for i in range(4)]
    materials = [walls[0], walls[1], b.paint(floor), ceiling, walls[2], walls[3]]
    return np.array(materials, np.int32), floor.pattern == PLANKS


def _people(shop: Workshop, plan: FloorPlan, seats: list[Seat], time: float) -> list[Subject]:
    """Nobody in a third of the rooms, else one to three people; the shape stream draws, the time only moves them."""
    rng, u = shop.rng, shop.rng.random()
    people: list[Subject] = []
    for _ in range(0 if u < 0.32 else 1 if u < 0.68 else 2 if u < 0.9 else 3):
        raised = bool(rng.random() < 0.3)
        sit, kind, yaw, phase = rng.random(), rng.random(), shop.uniform(0, 6.28), shop.uniform(0, 6.28)
        body_rng = np.random.Generator(np.random.PCG64(int(rng.integers(1 << 62))))
        if seats and sit < 0.5:
            seat = seats.pop(int(rng.integers(len(seats))))
            pose = Pose(SIT, raised, phase + 6.0 * time)
            head = person(shop.build, shop.palette, body_rng, (seat.x, seat.z), seat.yaw, pose, seat.height)
            people.append(Subject(head, seat.yaw, (seat.x, seat.z)))
            continue
        radius = 0.5 if raised else 0.36
        start = plan.spot(radius, tries=24, keep=False)
        if start is None:
            continue
        walks = kind < 0.45
        length = plan.run(*start, yaw, radius, 1.4) if walks else 0.0
        plan.take_run(*start, yaw, radius, length)
        gone = length * time
        place = (start[0] + gone * math.sin(yaw), start[1] + gone * math.cos(yaw))
        pose = Pose(WALK if walks else STAND, raised, phase + (4.5 * gone if walks else 6.0 * time))
        head = person(shop.build, shop.palette, body_rng, place, yaw, pose, 0.45)
        people.append(Subject(head, yaw, start))
    return people
