"""Tables (CSV) of labels of whole images."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import read_text
from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.tasks import Task

_YES_NO = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0, "-1": 0.0}
NO_LABEL = 255.0


class AttributeTable:
    """Rows of a CSV with a column ``id``.

    For attributes: one column per class with 1/0, true/false, yes/no or 1/-1; an empty cell is no label. For exclusive
    classes: one column ``class`` with a class name; empty is no label.

    Args:
        file: the CSV.
        task: a task without a map.

    Raises:
        UserError: unreadable, a column is missing, an id stands twice.
    """

    def __init__(self, file: Path, task: Task) -> None:
        self.file, self.task = file, task
        self.exclusive = task.label_type == "classes"
        reader = csv.DictReader(io.StringIO(read_text(file, f"table of task {task.name!r}")))
        columns = reader.fieldnames or []
        missing = [name for name in ("id", *(("class",) if self.exclusive else task.classes)) if name not in columns]
        if missing:
            raise UserError(f"{file} lacks the column {', '.join(missing)}: it has {', '.join(columns) or 'none'}")
        self.rows: dict[str, dict[str, str]] = {}
        for row in reader:
            cells = {
                key: (value or "").strip()
                for key, value in row.items()
                if isinstance(key, str) and not isinstance(value, list)
            }
            if cells["id"] in self.rows:
                raise UserError(f"{file} holds the id {cells['id']!r} twice (line {reader.line_num}): keep one row")
            self.rows[cells["id"]] = cells

    def read(self, name: str) -> Tensor | None:
        """The label of an image, or None if the table has no row for it.

        Raises:
            BadFileError: a cell that cannot be read.
        """
        row = self.rows.get(name)
        if row is None:
            return None
        if self.exclusive:
            return self._class(name, row["class"])
        cells = [row[column].lower() for column in self.task.classes]
        for column, cell in zip(self.task.classes, cells, strict=True):
            if cell and cell not in _YES_NO:
                raise self._bad(name, column, cell, "1, 0 or nothing")
        return torch.tensor([_YES_NO[cell] if cell else NO_LABEL for cell in cells])

    def _class(self, name: str, cell: str) -> Tensor:
        if not cell:
            return torch.tensor(255 if self.task.ignore is None else self.task.ignore)
        if cell not in self.task.classes:
            raise self._bad(name, "class", cell, f"one of {', '.join(self.task.classes)}")
        return torch.tensor(self.task.classes.index(cell))

    def _bad(self, name: str, column: str, cell: str, expected: str) -> BadFileError:
        return BadFileError(
            Problem(str(self.file), f"holds {cell!r} for id {name!r}, column {column!r}", expected, "correct the cell")
        )
