"""Pictures that encoders give of themselves and of single images, in a results file, and their checks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Curve, Distribution, Heatmap, Overlay, Picture


@dataclass
class ImagePictures:
    """What an encoder does with single images, by kind; see :mod:`frugalmtl.core.types`."""

    overlays: list[Overlay] = field(default_factory=list)
    distributions: list[Distribution] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    @classmethod
    def of(cls, pictures: Sequence[Picture]) -> ImagePictures:
        """Pictures sorted by kind; heat maps are left out."""
        return cls(
            [picture for picture in pictures if isinstance(picture, Overlay)],
            [picture for picture in pictures if isinstance(picture, Distribution)],
            [picture for picture in pictures if isinstance(picture, Curve)],
        )

    def all(self) -> list[Overlay | Distribution | Curve]:
        """In the order of the report."""
        return [*self.distributions, *self.overlays, *self.curves]

    def photographs(self) -> set[int]:
        """The numbers of the images that any picture shows."""
        return {
            *(number for picture in self.overlays for number in picture.images),
            *(number for picture in self.distributions for number in picture.extremes),
        }


def check_pictures(where: str, pictures: Sequence[Picture], images: int) -> None:
    """Check the pictures of one row.

    Args:
        where: the row, for messages.
        pictures: all of it; a name becomes part of a file's name.
        images: how many photographs there are.

    Raises:
        UserError: a name does not fit or is doubled, numbers are missing or too many, or an image is not there.
    """
    names = [picture.name for picture in pictures]
    for picture in pictures:
        kind = {Heatmap: "heat map", Overlay: "overlay", Distribution: "distribution", Curve: "curve"}[type(picture)]
        title = f"{kind} {picture.name!r} of {where}"
        if not re.fullmatch(r"[\w-]+", picture.name) or names.count(picture.name) > 1:
            raise UserError(f"{title}: its name must be unique and hold only letters, digits, '_' and '-'")
        if isinstance(picture, Heatmap):
            _check_heat_map(title, picture)
        elif isinstance(picture, Overlay):
            _check_overlay(title, picture, images)
        elif isinstance(picture, Distribution):
            _check_distribution(title, picture, images)
        else:
            _check_curve(title, picture)


def _check_heat_map(title: str, picture: Heatmap) -> None:
    """Numbers fill a rectangle."""
    if not (picture.rows and picture.columns):
        raise UserError(f"{title} is empty: it needs at least one row and one column")
    lengths = [len(values) for values in picture.values]
    if lengths != [len(picture.columns)] * len(picture.rows):
        expected = f"{len(picture.rows)} rows of {len(picture.columns)} numbers"
        raise UserError(f"{title} must hold {expected}, but has rows of {lengths}")
    if not (all(map(math.isfinite, picture.limits)) and picture.limits[0] < picture.limits[1]):
        raise UserError(f"{title}: limits must be two numbers, the lower one first, but are {picture.limits!r}")


def _check_overlay(title: str, picture: Overlay, images: int) -> None:
    """An image and a mask per panel."""
    counts = [len(picture.panels), len(picture.images), len(picture.masks)]
    if not picture.panels or len(set(counts)) > 1:
        raise UserError(f"{title} must have as many panels as images and masks, one at least, but has {counts}")
    _check_numbers(title, picture.images, images)
    for name, mask in zip(picture.panels, picture.masks, strict=True):
        lengths = {len(row) for row in mask}
        if len(lengths) != 1 or lengths == {0}:
            raise UserError(f"{title}: the mask of panel {name!r} must be rows of equal length, one at least")
        if any(not (math.isnan(value) or 0 <= value <= 1) for row in mask for value in row):
            raise UserError(f"{title}: the mask of panel {name!r} must hold shares from 0 to 1")


def _check_distribution(title: str, picture: Distribution, images: int) -> None:
    """Values in every group, and one per image that is shown."""
    if not picture.groups:
        raise UserError(f"{title} is empty: it needs at least one group")
    for name, values in picture.groups.items():
        if not values or any(map(math.isinf, values)):
            raise UserError(f"{title}: group {name!r} must hold at least one value, none of them infinite")
    if len(picture.extremes) != len(picture.extreme_values):
        counts = f"{len(picture.extremes)} and {len(picture.extreme_values)}"
        raise UserError(f"{title} must have as many extremes as extreme values, but has {counts}")
    _check_numbers(title, picture.extremes, images)


def _check_curve(title: str, picture: Curve) -> None:
    """A line, with a point on each."""
    if not picture.lines or not all(picture.lines.values()):
        raise UserError(f"{title} must hold at least one line, and at least one point on each")


def _check_numbers(title: str, numbers: Sequence[int], images: int) -> None:
    for number in numbers:
        if not 0 <= number < images:
            raise UserError(f"{title} shows image {number}, but there are {images}, numbered from 0")
