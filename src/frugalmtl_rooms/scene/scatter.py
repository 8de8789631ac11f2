"""Small things: lamps, plants, boxes and balls, on the floor and on tables."""

from __future__ import annotations

import math

import numpy as np

from frugalmtl_rooms.materials.material import Colour
from frugalmtl_rooms.scene.arrangement import Furnished, Top
from frugalmtl_rooms.scene.description import Floats


def scatter(home: Furnished, ceiling: float, bulb: Colour, time: float) -> None:
    """Put in everything small; bulb is the colour of the lamps, time moves the balls."""
    _lamps(home, ceiling, bulb)
    _plants(home)
    for top in home.tops:
        for slot in (-0.6, 0.05, 0.62):
            if home.shop.rng.random() < 0.42:
                _on_top(home, top, slot, bulb)
    for _ in range(int(home.shop.rng.integers(0, 4))):
        if home.shop.rng.random() < 0.6:
            _rolling_ball(home, time)
        else:
            _cartons(home)


def _lamps(home: Furnished, ceiling: float, bulb: Colour) -> None:
    shop, rng = home.shop, home.shop.rng
    if rng.random() < 0.35:
        place = home.plan.spot(0.24, corner=True)
        if place:
            home.lamps.append(shop.lamp(place[0], 0.0, place[1], shop.uniform(1.35, 1.7), bulb))
            home.things.append((place[0], 1.0, place[1]))
    if home.dining and rng.random() < 0.45:
        home.lamps.append(shop.pendant(*home.dining[0], ceiling, shop.uniform(0.5, 0.8), bulb))


def _plants(home: Furnished) -> None:
    shop, rng = home.shop, home.shop.rng
    for _ in range(int(rng.random() < 0.4) + int(rng.random() < 0.15)):
        place = home.plan.spot(0.36, corner=rng.random() < 0.7)
        if place:
            shop.plant(place[0], 0.0, place[1], shop.uniform(0.8, 1.25))
            home.things.append((place[0], 0.6, place[1]))


def _on_top(home: Furnished, top: Top, slot: float, bulb: Colour) -> None:
    """One thing on a table or chest, at a share slot of its half-length."""
    shop, (frame, a, c, y) = home.shop, top
    x, _, z = frame.at(slot * a + shop.uniform(-0.05, 0.05), 0, shop.uniform(-0.4, 0.4) * c)
    kind, size = shop.rng.random(), shop.uniform(0.05, 0.1)
    home.things.append((x, y + 0.1, z))
    if kind < 0.25:
        shop.ball(x, y, z, size)
    elif kind < 0.6:
        shop.carton(x, y, z, shop.uniform(0, 3), (size * 1.4, size * shop.uniform(0.3, 1), size))
    elif kind < 0.8 and y > 0.5 and (a != c or abs(slot) > 0.3):
        home.lamps.append(shop.lamp(x, y, z, shop.uniform(0.38, 0.5), bulb))
    else:
        shop.plant(x, y, z, shop.uniform(0.4, 0.55))


def _rolling_ball(home: Furnished, time: float) -> None:
    """A ball that slows down as it rolls and stops at the end of its free run."""
    shop, plan = home.shop, home.plan
    yaw, radius, wish = shop.uniform(0, 6.28), shop.uniform(0.1, 0.26), shop.uniform(0.3, 1.6)
    place = plan.spot(radius + 0.02, keep=False)
    if place is None:
        return
    length = plan.run(*place, yaw, radius + 0.02, wish)
    plan.take_run(*place, yaw, radius + 0.02, length)
    gone = length * (1 - (1 - time) ** 2)
    x, z = place[0] + gone * math.sin(yaw), place[1] + gone * math.cos(yaw)
    home.things.append((place[0], radius, place[1]))
    shop.ball(x, 0.0, z, radius, _rolled(yaw, gone / radius))


def _cartons(home: Furnished) -> None:
    """A box on the floor, sometimes with a smaller one on it."""
    shop = home.shop
    yaw, half = shop.uniform(0, 6.28), (shop.uniform(0.14, 0.28), shop.uniform(0.1, 0.24), shop.uniform(0.12, 0.24))
    place = home.plan.spot(math.hypot(half[0], half[2]) + 0.03)
    if place is None:
        return
    shop.carton(place[0], 0.0, place[1], yaw, half)
    home.things.append((place[0], half[1], place[1]))
    if shop.rng.random() < 0.3:
        upper = (half[0] * 0.7, half[1] * 0.6, half[2] * 0.7)
        shop.carton(place[0], 2 * half[1] + 0.01, place[1], yaw + 0.4, upper)


def _rolled(yaw: float, angle: float) -> Floats:
    """Orientation of a ball that rolled by an angle in direction yaw, about the horizontal axis across the way."""
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
