"""Encoding: what an encoding has to do, and what several need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.files.stored import StoredLabel
from frugalmtl.tasks import Task

Marker = float | str | list[float | str | list[float]]
"""Stored values that mean "no label": a number, a colour (``'#rrggbb'`` or three numbers), or a list of them."""

NO_LABEL = 255
"""Class index without a label, of tasks that name none."""


class Encoding:
    """Stored label -> label, in the shape and units that the task states.

    A member of the package is a frozen dataclass; its fields are the keys of an ``encoding`` section.

    Attributes:
        label_types: types of labels that it can read (``Task.label_type``).
    """

    label_types: ClassVar[tuple[str, ...]] = ("continuous",)

    def check(self, task: Task) -> None:
        """Refuse what does not suit the task, before any file is read.

        Raises:
            UserError: the first thing that does not.
        """

    def decode(self, stored: StoredLabel, task: Task, /) -> Tensor:
        """The label ``[H, W]`` long (classes) or ``[C, H, W]`` float, NaN for "no label".

        Raises:
            BadFileError: the stored label cannot be one.
        """
        raise NotImplementedError


def colour_of(text: str) -> tuple[int, int, int]:
    """The colour that ``'#rrggbb'`` or ``'[128, 64, 128]'`` names.

    >>> colour_of("#804080"), colour_of("[128, 64, 128]"), colour_of("128 64 128")
    ((128, 64, 128), (128, 64, 128), (128, 64, 128))

    Raises:
        UserError: neither.
    """
    digits = text.strip().removeprefix("#")
    try:
        if text.strip().startswith("#"):
            values = list(bytes.fromhex(digits))
        else:
            values = [int(part) for part in digits.strip("[]()").replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise UserError(f"{text!r} is no colour: write '#rrggbb' or '[red, green, blue]' (0..255), in quotes")
    return values[0], values[1], values[2]


def markers(invalid: Marker, channels: int) -> list[tuple[float, ...]]:
    """The stored values that mean "no label", each with a number per channel.

    In files of one channel a list of numbers holds single values. In files of three channels a list of three numbers is
    one colour, and a single number the grey of that level.

    Raises:
        UserError: a colour for one channel, or a wrong number of values.
    """
    if not isinstance(invalid, list):
        return [_marker(invalid, channels)]
    if channels > 1 and len(invalid) == channels and all(isinstance(item, int | float) for item in invalid):
        return [_marker(invalid, channels)]
    return [_marker(item, channels) for item in invalid]


def _marker(item: float | str | list[Any], channels: int) -> tuple[float, ...]:
    if isinstance(item, int | float):
        return (float(item),) * channels
    colour = colour_of(item) if isinstance(item, str) else tuple(float(value) for value in item)
    if channels == 1 and len(set(colour)) == 1:
        return (float(colour[0]),)
    if len(colour) != channels:
        kind = "one number" if channels == 1 else f"{channels} numbers"
        raise UserError(f"'invalid' holds {item!r}, but a pixel has {kind}")
    return tuple(float(value) for value in colour)


def blank(values: npt.NDArray[Any], invalid: Marker) -> npt.NDArray[np.bool_]:
    """Where the stored values ``[C, H, W]`` are one of ``invalid``: ``[H, W]``."""
    empty = np.zeros(values.shape[-2:], bool)
    for marker in markers(invalid, len(values)):
        same = values[0] == marker[0]
        for channel, value in zip(values[1:], marker[1:], strict=True):
            same &= channel == value
        empty |= same
    return empty


def without(values: npt.NDArray[Any], stored: npt.NDArray[Any], invalid: Marker) -> Tensor:
    """Values ``[C, H, W]`` as float32, NaN where the stored ones ``[C, H, W]`` are invalid."""
    label = np.ascontiguousarray(values, dtype=np.float32)
    if invalid != []:
        label = np.where(blank(stored, invalid), np.float32(np.nan), label)
    return torch.from_numpy(label)


UNLISTED = np.iinfo(np.int64).min
"""Result of :func:`translate` for values that the table does not hold."""
_LARGEST_TABLE = 1 << 17


def translate(values: npt.NDArray[Any], table: Mapping[int, int]) -> npt.NDArray[Any]:
    """Each value's entry in the table, :data:`UNLISTED` where it has none; same shape, int64."""
    keys = np.array(sorted(table), np.int64)
    entries = np.array([table[int(key)] for key in keys], np.int64)
    low, high = int(keys[0]), int(keys[-1])
    if high - low < _LARGEST_TABLE:
        dense = np.full(high - low + 1, UNLISTED, np.int64)
        dense[keys - low] = entries
        if values.dtype in (np.uint8, np.uint16) and low >= 0:
            room = int(np.iinfo(values.dtype).max) + 1
            padded = np.full(max(room, high + 1), UNLISTED, np.int64)
            padded[low : high + 1] = dense
            return padded.take(values, mode="clip")  # never out of bounds: it only skips the look for them
        wide = values.astype(np.int64)
        inside = (wide >= low) & (wide <= high)
        return np.where(inside, dense[np.where(inside, wide - low, 0)], UNLISTED)
    places = np.clip(np.searchsorted(keys, values), 0, len(keys) - 1)
    return np.where(keys[places] == values, entries[places], UNLISTED)


def class_of(name: str | int, task: Task) -> int:
    """The index of a class that is named, or given by its index.

    Raises:
        UserError: no such class.
    """
    if str(name) in task.classes:
        return task.classes.index(str(name))
    if isinstance(name, int) and 0 <= name < task.channels:
        return name
    listed = ", ".join(task.classes[:8]) + (", ..." if len(task.classes) > 8 else "")
    raise UserError(f"'map' names {name!r}, which is no class: expected one of {listed} or 0..{task.channels - 1}")
