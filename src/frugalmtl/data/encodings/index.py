"""Class maps in numbers: the pixel (of a PNG or array) is the class, or the id of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError, shown
from frugalmtl.data.encodings.base import NO_LABEL, UNLISTED, Encoding, Marker, class_of, markers, translate
from frugalmtl.data.files.stored import StoredLabel
from frugalmtl.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Index(Encoding):
    """Class maps: the stored number is the class, or an id that ``map`` gives a class. Palette images give indices.

    ``{name: index, map: {7: road, 8: road, 11: building}, invalid: [0, 1]}``: every id is listed or invalid.

    Attributes:
        first: stored value of class 0; class k is stored as ``first + k``.
        map: stored ids and their classes, by name or index; an id of the task's ``ignore`` value may be among them.
        invalid: stored values that mean "no label", beside the task's own ``ignore``.
        void: earlier name of ``invalid``.
    """

    first: int = 0
    map: dict[int, str | int] = field(default_factory=dict)
    invalid: Marker = field(default_factory=list)
    void: list[int] = field(default_factory=list)

    label_types: ClassVar[tuple[str, ...]] = ("classes",)

    def check(self, task: Task) -> None:
        """Refuse two meanings of one stored value, and names that are no class."""
        if self.map and self.first:
            raise UserError("state 'map' or 'first', not both: a map lists the stored values themselves")
        classes, empty = self._classes(task), self._empty()
        both = sorted(empty & classes.keys())
        if both:
            raise UserError(f"{both[0]} is listed both as a class and as no label: remove it from 'invalid' or 'map'")
        ignore = self._ignore(task)
        if not self.map and ignore in classes:
            name = task.classes[classes[ignore]]
            raise UserError(f"{ignore} is the stored value of class {name!r} and the task's 'ignore': change 'ignore'")

    def decode(self, stored: StoredLabel, task: Task, /) -> Tensor:
        """``[H, W]`` long."""
        values = stored.indices()
        ignore = self._ignore(task)
        empty = np.zeros(values.shape, bool)
        if values.dtype.kind == "f":
            empty = np.isnan(values)
            values = np.where(empty, ignore, values)
            if (values != np.rint(values)).any() or np.isinf(values).any():
                raise stored.refuse(
                    "holds fractions", "whole numbers, or NaN for no label", "save the classes themselves"
                )
        elif values.dtype.kind == "b":
            values = values.astype(np.uint8)
        table = {ignore: ignore, **dict.fromkeys(self._empty(), ignore), **self._classes(task)}
        classes = translate(values, table)
        if empty.any():
            classes[empty] = ignore
        if classes.min() == UNLISTED:
            raise self._unlisted(values[classes == UNLISTED], values.size, stored, task)
        self._check_two_values(classes, stored, task)
        return torch.from_numpy(classes)

    def _classes(self, task: Task) -> dict[int, int]:
        if self.map:
            return {value: class_of(name, task) for value, name in self.map.items()}
        return {self.first + index: index for index in range(task.channels)}

    def _empty(self) -> set[int]:
        return {*self.void, *(int(value) for (value,) in markers(self.invalid, 1))}

    def _ignore(self, task: Task) -> int:
        return NO_LABEL if task.ignore is None else task.ignore

    def _unlisted(self, values: npt.NDArray[np.int64], size: int, stored: StoredLabel, task: Task) -> Exception:
        ids, counts = np.unique(values, return_counts=True)
        most = np.argsort(-counts)[:8]
        listed = ", ".join(f"{int(ids[place])} ({100 * counts[place] / size:.2g} % of pixels)" for place in most)
        listed += ", ..." if len(ids) > 8 else ""
        empty = ", ".join(str(value) for value in sorted({*self._empty(), self._ignore(task)}))
        if self.map:
            expected, keys = f"the ids of 'map', or {empty} for no label", "'map' or 'invalid'"
        else:
            last = self.first + task.channels - 1
            expected = f"{self.first}..{last}, or {empty} for no label"
            keys = "'first', 'map' or 'invalid' (ids of classes: encoding {name: index, map: {7: road, ...}})"
        return stored.refuse(f"holds class {listed}", expected, f"correct the map, 'classes', or the encoding's {keys}")

    def _check_two_values(self, classes: npt.NDArray[np.int64], stored: StoredLabel, task: Task) -> None:
        """A black and white mask of two classes would lose its object: 255 means "no label" unless somebody says so."""
        ignore = self._ignore(task)
        stated = "ignore" in task.section or ignore in self._empty() or self.map or self.first
        if task.channels != 2 or ignore != 255 or stated:
            return
        if not (classes == 1).any() and (classes == ignore).any():
            white = task.classes[1]
            raise stored.refuse(
                "holds 255 but no 1, for two classes",
                "0 and 1, or 255 for no label beside them",
                f"if 255 is {shown(white)}, say encoding {{name: index, map: {{0: 0, 255: 1}}}}; "
                "if it means no label, say {name: index, invalid: 255}",
            )
