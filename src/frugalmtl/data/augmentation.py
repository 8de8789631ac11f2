"""Augmentation of training images: typed settings, and one draw from them per sample."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from frugalmtl.core.checks import UserError, fraction, known, positive
from frugalmtl.core.schema import read

RETRIES = 10
"""Crop positions that are tried when a class fills more than ``max_class_share`` of the window (ATRC: 10)."""


@dataclass(frozen=True)
class Draw:
    """The changes of one sample.

    Attributes:
        flip: mirror left and right, before anything else.
        scale: magnification of the image about its centre.
        degrees: turn of the image, counter-clockwise.
        places: window positions, each a pair (x, y) in [0, 1] of the way that the window can move; the first that
            satisfies ``max_class_share`` is taken, the last if none does.
        brightness: factor; 1 changes nothing.
        contrast: factor; 1 changes nothing.
        saturation: factor; 1 changes nothing.
        hue: turn of the colour circle in [-0.5, 0.5]; 0 changes nothing.
    """

    flip: bool = False
    scale: float = 1.0
    degrees: float = 0.0
    places: tuple[tuple[float, float], ...] = ((0.5, 0.5),)
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of training samples; labels follow by the rules of their tasks.

    The order is fixed: mirror, scale and turn about the centre, cut the window, colours (brightness, contrast,
    saturation, hue). Every number is drawn from the sample's seed whether it is used or not, so switching one
    change off leaves the others as they were.

    Args:
        hflip: probability of a mirror.
        scale: two numbers are a range to draw from uniformly; any other count is a choice of values (for a choice of
            two, write each twice).
        rotate: largest turn in degrees, either way.
        crop: where the window lies when the scaled image is larger: ``"centre"`` or ``"random"``.
        max_class_share: a random crop is drawn again (up to 10 times) while one class of the first class map covers
            more than this share of its labelled pixels; 1 never does. Source: ATRC (Bruggemann et al., 2021), code.
        brightness: factor in [1 - b, 1 + b].
        contrast: factor in [1 - c, 1 + c].
        saturation: factor in [1 - s, 1 + s].
        hue: turn in [-h, h], at most 0.5.

    Raises:
        UserError: a value outside its range.
    """

    hflip: float = 0.5
    scale: tuple[float, ...] = (1.0, 1.0)
    rotate: float = 0.0
    crop: Literal["centre", "random"] = "centre"
    max_class_share: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        fraction("hflip", self.hflip)
        if not self.scale:
            raise UserError("scale needs at least one value, but got none")
        for value in self.scale:
            positive("every value of scale", value)
        if len(self.scale) == 2 and self.scale[0] > self.scale[1]:
            raise UserError(f"scale as a range must be (smallest, largest), but got {self.scale!r}")
        if not 0.0 <= self.rotate <= 180.0:
            raise UserError(f"rotate must lie in [0, 180] degrees, but got {self.rotate!r}")
        known("crop", self.crop, ("centre", "random"))
        positive("max_class_share", fraction("max_class_share", self.max_class_share))
        for name in ("brightness", "contrast", "saturation"):
            fraction(name, getattr(self, name))
        if not 0.0 <= self.hue <= 0.5:
            raise UserError(f"hue must lie in [0, 0.5], but got {self.hue!r}")

    def draw(self, seed: int) -> Draw:
        """The changes for the sample with this seed: a pure function of the settings and ``seed``."""
        source = random.Random(seed)
        flip = source.random() < self.hflip
        position = source.random()
        if len(self.scale) == 2:
            scale = self.scale[0] + position * (self.scale[1] - self.scale[0])
        else:
            scale = self.scale[int(position * len(self.scale))]
        degrees = source.uniform(-1.0, 1.0) * self.rotate
        brightness, contrast, saturation = (
            1.0 + source.uniform(-1.0, 1.0) * spread for spread in (self.brightness, self.contrast, self.saturation)
        )
        hue = source.uniform(-1.0, 1.0) * self.hue
        places = tuple((source.random(), source.random()) for _ in range(RETRIES if self.max_class_share < 1.0 else 1))
        if self.crop == "centre":
            places = ((0.5, 0.5),)
        return Draw(flip, scale, degrees, places, brightness, contrast, saturation, hue)


PRESETS: dict[str, Augmentation] = {
    "none": Augmentation(hflip=0.0),
    # Vandenhende et al., TPAMI 2021, NYUD: scales 1, 1.2, 1.5 on a fixed canvas (a centre crop), no turn.
    "survey_nyud": Augmentation(scale=(1.0, 1.2, 1.5)),
    # The same, PASCAL-Context: up to 20 degrees either way, scale 0.75 to 1.25.
    "survey_pascal": Augmentation(scale=(0.75, 1.25), rotate=20.0),
    # ATRC and InvPT, with fit="pad". Their brightness change is additive (32 of 255); a factor stands for it here.
    "atrc": Augmentation(
        scale=(0.5, 2.0),
        crop="random",
        max_class_share=0.75,
        brightness=32 / 255,
        contrast=0.5,
        saturation=0.5,
        hue=18 / 180,
    ),
}
"""Named settings of published protocols, and ``"none"``."""


def augmentation(section: Mapping[str, Any] | str | None) -> Augmentation | None:
    """Settings from a config: a preset's name, the arguments of :class:`Augmentation`, or None.

    Raises:
        UserError: no such preset or argument, or a value that does not fit.
    """
    if section is None or isinstance(section, str):
        return None if section is None else preset(section)
    return read(Augmentation, section, "augmentation")


def preset(name: str) -> Augmentation:
    """The settings called ``name``.

    Raises:
        UserError: no such preset; the message lists the known ones.
    """
    return PRESETS[known("augmentation", name, PRESETS)]
