"""Label maps in colours: each colour of an image stands for a class, or for a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.encodings.base import NO_LABEL, UNLISTED, Encoding, Marker, class_of, colour_of, markers, translate
from frugalmtl.data.files.stored import StoredLabel, hexadecimal
from frugalmtl.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Colours(Encoding):
    """Coloured masks (RGB, RGBA, palette or grey images): a class, or for maps of numbers a number, for each colour.

    ``{name: colours, map: {"#804080": road, "[70, 70, 70]": building}, invalid: "#000000"}``: every colour is listed or
    invalid. Keys stand in quotes, since YAML takes ``#`` for a comment and knows no lists as keys. Transparency is
    dropped.

    Attributes:
        map: colours (``'#rrggbb'``, ``'[red, green, blue]'``, or one number for a grey) and their classes, by name or
            index; for maps of numbers (saliency: 0 and 1) their values.
        invalid: colours that mean "no label": a number for a grey, ``'#rrggbb'``, ``[red, green, blue]``, or a list.
    """

    map: dict[str | int, str | float]
    invalid: Marker = field(default_factory=list)

    label_types: ClassVar[tuple[str, ...]] = ("classes", "continuous")

    def check(self, task: Task) -> None:
        """Refuse colours that are none, classes that are none, and two meanings of one colour."""
        if task.label_channels > 1:
            raise UserError(f"'colours' gives one value per pixel, but the task has {task.label_channels}")
        if not self.map:
            raise UserError("'map' is empty: list the colours and what they mean")
        self._table(task)

    def decode(self, stored: StoredLabel, task: Task, /) -> Tensor:
        """``[H, W]`` long, or ``[1, H, W]`` float with NaN for "no label"."""
        colours = stored.colours().astype(np.int32)
        packed = (colours[..., 0] << 16) | (colours[..., 1] << 8) | colours[..., 2]
        table = self._table(task)
        # Places in a list, since values may be fractions.
        places = translate(packed, {key: place for place, key in enumerate(table)})
        unlisted = places == UNLISTED
        if unlisted.any():
            raise self._unlisted(packed[unlisted], packed.size, stored)
        if task.label_type == "classes":
            return torch.from_numpy(np.array(list(table.values()), np.int64)[places])
        return torch.from_numpy(np.array(list(table.values()), np.float32)[places])[None]

    def _table(self, task: Task) -> dict[int, float]:
        classes = task.label_type == "classes"
        empty = float("nan") if not classes else NO_LABEL if task.ignore is None else task.ignore
        table: dict[int, float] = {_packed(colour): empty for colour in markers(self.invalid, 3)}
        for key, value in self.map.items():
            packed = _packed((key, key, key) if isinstance(key, int) else colour_of(key))
            if packed in table:
                raise UserError(f"colour {key!r} is listed twice: keep one, in 'map' or in 'invalid'")
            table[packed] = self._value(value, task)
        return table

    def _value(self, value: str | float, task: Task) -> float:
        if task.label_type == "classes":
            return class_of(int(value) if isinstance(value, float) and value.is_integer() else str(value), task)
        try:
            return float(value)
        except ValueError:
            raise UserError(f"'map' gives {value!r}, but the task needs a number") from None

    def _unlisted(self, packed: npt.NDArray[np.int32], size: int, stored: StoredLabel) -> Exception:
        keys, counts = np.unique(packed, return_counts=True)
        most = np.argsort(-counts)[:4]
        listed = ", ".join(f"#{int(keys[place]):06x} ({100 * counts[place] / size:.2g} % of pixels)" for place in most)
        listed += f", and {len(keys) - 4} others" if len(keys) > 4 else ""
        return stored.refuse(
            f"holds {'colour' if len(keys) == 1 else 'colours'} {listed}",
            "the colours of 'map' or 'invalid'",
            "add what is missing to the encoding's 'map' or 'invalid'",
        )


def _packed(colour: tuple[float, ...]) -> int:
    if not all(0 <= value <= 255 for value in colour):
        raise UserError(f"{list(colour)} is no colour: its numbers lie outside 0..255")
    return int(hexadecimal(np.array(colour, np.uint8))[1:], 16)
