"""Names of the classes, body parts and attributes in the labels of a picture."""

from __future__ import annotations

CLASSES: tuple[str, ...] = (
    "wall",
    "floor",
    "ceiling",
    "window",
    "door",
    "picture",
    "rug",
    "table",
    "chair",
    "cabinet",
    "sofa",
    "lamp",
    "plant",
    "ball",
    "box",
    "person",
)
"""Semantic classes; the position in the tuple is the label."""

PARTS: tuple[str, ...] = ("background", "head", "torso", "upper_arm", "lower_arm", "upper_leg", "lower_leg")
"""Human parts; label 0 is everything that is not a person. Hands belong to the lower arm, feet to the lower leg."""

ATTRIBUTES: tuple[str, ...] = (
    *("person", "several_people", "sitting", "arms_raised", "close_up"),
    *CLASSES[CLASSES.index("window") : CLASSES.index("person")],
    *("dark", "warm_light", "wooden_floor"),
)
"""Binary facts of a whole image; `labels.attributes` holds the exact rule of each."""
