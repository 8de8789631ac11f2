"""Saliency and attributes of a picture, by written rules from its instance map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalmtl_rooms.scene.description import LABEL, PART, Bools, Floats, Ints, Scene
from frugalmtl_rooms.scene.people import SIT
from frugalmtl_rooms.vocabulary import ATTRIBUTES

VISIBLE = 0.003
"""Share of the image that an object must cover to count as visible in the attributes."""
CLOSE = 0.12
"""Share of the image that the largest person covers in a close-up."""
DARK = 85.0
"""Mean luma (Rec. 601 weights, 0..255) below which a room is dark."""
FLOOR = 0.02
"""Share of the image that the floor must cover for its material to count."""

_NEVER_SALIENT = ("wall", "floor", "ceiling", "window", "door", "picture", "rug")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def saliency(scene: Scene, instances: Ints, colour: Floats) -> Bools:
    """The objects a viewer would look at first.

    Every visible instance except room, openings, pictures and rugs, covering at least 1 % of the image, has the score

        sqrt(area) * centre * (1 + contrast) * kind * (1 - 0.75 * cut)

    area: its share of the image; centre: mean over its pixels of exp(-(dx^2 + dy^2) / 0.12), dx and dy measured from
    the middle in image widths and heights; contrast: mean absolute difference of its mean display colour from that of
    the image, in units of 0.16; kind: 1.5 for a person, 1 otherwise; cut: length of its contact with the image border
    divided by half the perimeter of its bounding box, at most 1 (a whole object has 0, one that fills a corner has
    about 1). Salient are all pixels of instances whose score is at least 0.75 of the highest. Colours are those before
    sensor noise.

    Args:
        instances: [H, W]. colour: [3, H * W] display values in 0..1.
    """
    height, width = instances.shape
    flat = instances.ravel()
    many = len(scene.instance_class)
    count = np.bincount(flat, minlength=many)
    blocked = np.isin(scene.instance_class, [LABEL[name] for name in _NEVER_SALIENT])
    valid = (count >= 0.01 * flat.size) & ~blocked
    if not valid.any():
        return np.zeros((height, width), bool)
    area = np.maximum(count, 1)
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    prior = np.exp(-(y * y) / 0.12)[:, None] * np.exp(-(x * x) / 0.12)
    centre = np.bincount(flat, prior.ravel(), many) / area
    contrast = np.zeros(many)
    for channel in colour:
        contrast += np.abs(np.bincount(flat, channel, many) / area - float(channel.mean())) / (3 * 0.16)
    border = np.concatenate([instances[0], instances[-1], instances[:, 0], instances[:, -1]])
    touch = np.bincount(border, minlength=many)
    half = np.ones(many)
    for i in np.flatnonzero(valid & (touch > 0)):
        mask = instances == i
        half[i] = int(mask.any(0).sum()) + int(mask.any(1).sum())
    cut = np.minimum(touch / half, 1.0)
    kind = np.where(scene.instance_class == LABEL["person"], 1.5, 1.0)
    score = np.where(valid, np.sqrt(count / flat.size) * centre * (1 + contrast) * kind * (1 - 0.75 * cut), 0.0)
    chosen: Bools = score >= 0.75 * score.max()
    return chosen[instances]


def attributes(scene: Scene, instances: Ints, parts: NDArray[np.uint8], image: NDArray[np.uint8]) -> Bools:
    """[K] facts of the image in the order of ATTRIBUTES.

    An object is visible where its instance covers at least 0.3 % of the image.
    person, several_people: at least one / two visible people. sitting: a visible person sits. arms_raised: a visible
    person has both arms up and at least 0.1 % of the image are lower arms of that person. close_up: one person covers
    at least 12 %. window ... box: an object of the class is visible. dark: mean luma of the image below 85 (of 255).
    warm_light: the lamps have a warm colour. wooden_floor: the floor is of wood and covers at least 2 %.
    """
    flat = instances.ravel()
    many = len(scene.instance_class)
    share = np.bincount(flat, minlength=many) / flat.size
    seen = share >= VISIBLE
    arms = np.bincount(flat, (parts == PART["lower_arm"]).ravel(), many) / flat.size
    people = [i for i in scene.poses if seen[i]]
    facts = {
        "person": len(people) >= 1,
        "several_people": len(people) >= 2,
        "sitting": any(scene.poses[i].startswith(SIT) for i in people),
        "arms_raised": any(scene.poses[i].endswith("raised") and arms[i] >= 0.001 for i in people),
        "close_up": any(share[i] >= CLOSE for i in people),
        "dark": float((image.reshape(-1, 3).mean(0) * _LUMA).sum()) < DARK,
        "warm_light": scene.warm,
        "wooden_floor": scene.wooden_floor and bool(share[scene.instance_class == LABEL["floor"]].sum() >= FLOOR),
    }
    classes = set(scene.instance_class[seen].tolist())
    return np.array([facts[name] if name in facts else LABEL[name] in classes for name in ATTRIBUTES], bool)
