"""Large furniture: openings and pictures on the walls, a sofa corner, dining tables, cabinets, single seats."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from frugalmtl_rooms.scene.description import Point
from frugalmtl_rooms.scene.furniture import Seat, Workshop
from frugalmtl_rooms.scene.layout import FloorPlan, Frame


class Top(NamedTuple):
    """A surface to put things on: its frame, half-edges and height (m)."""

    frame: Frame
    half_x: float
    half_z: float
    height: float


@dataclass
class Furnished:
    """A room being furnished: who builds, the floor plan, and what later steps need to know.

    Args:
        shop: builds furniture.
        plan: free and taken places.
        seats: free seats.
        tops: table tops and the like.
        dining: middles of dining tables, over which a lamp may hang.
        lamps: instance and bulb of every lamp.
        things: middles of small things worth a look.
    """

    shop: Workshop
    plan: FloorPlan
    seats: list[Seat] = field(default_factory=list)
    tops: list[Top] = field(default_factory=list)
    dining: list[tuple[float, float]] = field(default_factory=list)
    lamps: list[tuple[int, Point]] = field(default_factory=list)
    things: list[Point] = field(default_factory=list)


def furnish(home: Furnished, outside: float) -> None:
    """Put in everything large; outside is the brightness behind the windows."""
    _doors(home)
    _windows(home, outside)
    _lounge(home)
    _dining(home)
    _cabinets(home)
    _single_seats(home)
    _pictures(home)


def _doors(home: Furnished) -> None:
    shop, plan = home.shop, home.plan
    for _ in range(int(shop.rng.random() < 0.7) + int(shop.rng.random() < 0.25)):
        wall = plan.wall_span(0.55, 0.0, 2.1)
        if wall:
            shop.door(wall)
            # Nothing may stand right before a door.
            x, _, z = wall.at(0, 0, 0.3)
            plan.discs.append((x, z, 0.45))


def _windows(home: Furnished, outside: float) -> None:
    shop = home.shop
    for _ in range((0, 1, 1, 2, 2)[int(shop.rng.integers(5))]):
        half, tall, middle = shop.uniform(0.35, 0.85), shop.uniform(0.45, 0.65), shop.uniform(1.45, 1.6)
        wall = home.plan.wall_span(half + 0.2, middle - tall - 0.3, middle + tall + 0.1)
        if wall:
            shop.window(wall, middle, half, tall, outside)


def _pictures(home: Furnished) -> None:
    shop = home.shop
    for _ in range(int(shop.rng.integers(0, 4))):
        half, tall, middle = shop.uniform(0.18, 0.5), shop.uniform(0.2, 0.42), shop.uniform(1.5, 1.65)
        wall = home.plan.wall_span(half + 0.05, middle - tall, middle + tall)
        if wall:
            shop.picture(wall, middle, half, tall)


def _lounge(home: Furnished) -> None:
    """A sofa at a wall, often with a low table and a rug before it; else sometimes a rug in the middle."""
    shop, plan, rng = home.shop, home.plan, home.shop.rng
    if rng.random() < 0.6:
        half = shop.uniform(0.7, 1.0)
        wall = plan.wall_span(half + 0.08, 0.0, 0.9, out=0.95)
        if wall is None:
            return
        x, _, z = wall.at(0, 0, 0.47)
        home.seats += shop.sofa(x, z, wall.yaw, half)
        x, _, z = wall.at(0, 0, 1.45)
        if rng.random() < 0.55 and plan.free(x, z, 0.42):
            a, c, h = shop.uniform(0.4, 0.55), shop.uniform(0.25, 0.34), shop.uniform(0.36, 0.45)
            plan.discs.append((x, z, 0.5))
            shop.table(x, z, wall.yaw, a, c, h)
            home.tops.append(Top(Frame(x, z, wall.yaw), a, c, h))
        if rng.random() < 0.6:
            x, _, z = wall.at(0, 0, 1.6)
            shop.rug(x, z, wall.yaw, half + 0.2, shop.uniform(0.65, 0.95))
    elif rng.random() < 0.55:
        a, c = min(1.3, plan.width / 2 - 0.5), shop.uniform(0.7, 1.1)
        shop.rug(plan.width / 2, plan.depth / 2, shop.uniform(-0.3, 0.3), a if rng.random() < 0.7 else c, c)


def _dining(home: Furnished) -> None:
    """Up to two tables with chairs on some of their sides."""
    shop, plan, rng = home.shop, home.plan, home.shop.rng
    for _ in range(int(rng.random() < 0.55) + int(rng.random() < 0.15)):
        a = shop.uniform(0.55, 0.8)
        c = a if rng.random() < 0.3 else shop.uniform(0.38, 0.45)
        place = plan.spot(a + 0.5, tries=10)
        if place is None:
            continue
        yaw = shop.uniform(0, 6.28) if rng.random() < 0.3 else int(rng.integers(2)) * math.pi / 2
        top = Top(Frame(*place, yaw), a, c, shop.uniform(0.7, 0.77))
        shop.table(*place, yaw, a, c, top.height)
        home.tops.append(top)
        home.dining.append(place)
        for side, edge in ((0.0, c), (math.pi, c), (math.pi / 2, a), (-math.pi / 2, a)):
            if rng.random() < 0.5:
                away = edge + shop.uniform(0.12, 0.3)
                x, _, z = top.frame.at(away * math.sin(side), 0, away * math.cos(side))
                home.seats.append(shop.chair(x, z, yaw + side + math.pi + shop.uniform(-0.25, 0.25)))


def _cabinets(home: Furnished) -> None:
    """Up to two chests or bookcases at walls."""
    shop, rng = home.shop, home.shop.rng
    for _ in range(int(rng.integers(0, 3))):
        tall = rng.random() < 0.4
        half, deep = shop.uniform(0.35, 0.7), shop.uniform(0.17, 0.25)
        height = shop.uniform(1.5, 2.05) if tall else shop.uniform(0.6, 1.05)
        wall = home.plan.wall_span(half, 0.0, height, out=2 * deep + 0.05)
        if wall:
            x, _, z = wall.at(0, 0, deep + 0.02)
            shop.cabinet(x, z, wall.yaw, half, deep, height)
            if not tall:
                home.tops.append(Top(Frame(x, z, wall.yaw), half, deep, height))


def _single_seats(home: Furnished) -> None:
    """Sometimes an armchair that faces the room, sometimes a chair anywhere."""
    shop, plan, rng = home.shop, home.plan, home.shop.rng
    if rng.random() < 0.3:
        place = plan.spot(0.55)
        if place:
            inwards = math.atan2(plan.width / 2 - place[0], plan.depth / 2 - place[1])
            home.seats += shop.sofa(*place, inwards + shop.uniform(-0.4, 0.4), 0.44)
    if rng.random() < 0.35:
        place = plan.spot(0.36)
        if place:
            home.seats.append(shop.chair(*place, shop.uniform(0, 6.28)))
