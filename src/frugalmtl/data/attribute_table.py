"""Tables (CSV) of labels of whole images."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.files import read_text
from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.tasks import Task

_YES_NO = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0, "-1": 0.0}
_TAKEN = {value: ", ".join(cell for cell, read in _YES_NO.items() if read == value) for value in (1.0, 0.0)}
_CELLS = f"{_TAKEN[1.0]} (it is so), {_TAKEN[0.0]} (it is not) or nothing (no label)"
"""All that a cell may hold, in words."""
_SEPARATORS = (",", ";", "\t")
NO_LABEL = 255.0


@dataclass(frozen=True)
class TableRow:
    """The cells of one image.

    Attributes:
        line: number of its (last) line in the file.
        cells: by the names of the columns.
    """

    line: int
    cells: dict[str, str]


class AttributeTable:
    """Rows of a CSV with a column ``id``; cells are separated by commas, semicolons or tabs.

    For attributes: one column per class with 1/0, true/false, yes/no or 1/-1; an empty cell is no label. For exclusive
    classes: one column ``class`` with a class name; empty is no label.

    Args:
        file: the CSV.
        task: a task without a map.

    Attributes:
        rows: by id.

    Raises:
        UserError: unreadable, a column is missing, an id stands twice, a row has more or fewer cells than there are
            columns.
    """

    def __init__(self, file: Path, task: Task) -> None:
        self.file, self.task = file, task
        self.exclusive = task.label_type == "classes"
        self.columns = ("class",) if self.exclusive else task.classes
        self._what = f"table of task {task.name!r}"
        text = read_text(file, self._what)
        lines = text.split("\n")
        marked = lines[0].strip().lower()
        first = 1 if marked[:4] == "sep=" and len(marked) == 5 else 0  # spreadsheets may name the separator so
        separator = marked[4] if first else self._separator(lines)
        self.rows: dict[str, TableRow] = {}
        try:
            self._read(self._records(lines[first:], separator, first))
        except csv.Error as error:
            raise UserError(f"cannot read {self._what} {file}: {error}; save it as CSV with commas") from None

    def labels(self, name: str) -> bool:
        """Whether the row of an image has a cell that is not empty."""
        row = self.rows.get(name)
        return row is not None and any(row.cells[column] for column in self.columns)

    def read(self, name: str) -> Tensor | None:
        """The label of an image, or None if the table has no row for it.

        Raises:
            BadFileError: a cell that cannot be read.
        """
        row = self.rows.get(name)
        if row is None:
            return None
        if self.exclusive:
            return self._class(name, row.cells["class"])
        for column in self.columns:
            cell = row.cells[column]
            if cell and cell.lower() not in _YES_NO:
                raise self._bad(name, column, _CELLS, "correct the cell")
        cells = [row.cells[column].lower() for column in self.columns]
        return torch.tensor([_YES_NO[cell] if cell else NO_LABEL for cell in cells])

    def _class(self, name: str, cell: str) -> Tensor:
        if not cell:
            return torch.tensor(255 if self.task.ignore is None else self.task.ignore)
        if cell not in self.task.classes:
            close = get_close_matches(cell, self.task.classes, n=1)
            remedy = f"correct the cell; did you mean {close[0]!r}?" if close else "correct the cell, or 'classes'"
            raise self._bad(name, "class", f"one of {', '.join(self.task.classes)}", remedy)
        return torch.tensor(self.task.classes.index(cell))

    def _bad(self, name: str, column: str, expected: str, remedy: str) -> BadFileError:
        row = self.rows[name]
        where = f"column {column!r} of task {self.task.name!r}"
        what = f"line {row.line} holds {shown(row.cells[column])} for id {name!r}, {where}"
        return BadFileError(Problem(str(self.file), what, expected, remedy))

    def _separator(self, lines: Sequence[str]) -> str:
        """What separates the names of the columns: the sign that gives most of those that are needed."""
        header = next((line for line in lines if line.strip()), "")
        needed = {"id", *self.columns}

        def columns(separator: str) -> int:
            return len(
                needed.intersection(name.strip() for name in next(csv.reader([header], delimiter=separator), []))
            )

        return max(_SEPARATORS, key=columns)  # the first of equals: the comma

    def _records(self, lines: Sequence[str], separator: str, before: int) -> Iterator[tuple[int, list[str]]]:
        """Number of the line and cells of every row that is not empty."""
        reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator)
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num + before, stripped

    def _read(self, records: Iterator[tuple[int, list[str]]]) -> None:
        _, names = next(records, (0, []))
        width = max((number for number, name in enumerate(names, 1) if name), default=0)
        missing = [name for name in ("id", *self.columns) if name not in names]
        if missing:
            close = [near for name in missing for near in get_close_matches(name, names, n=1)]
            hint = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
            raise UserError(
                f"{self._what} {self.file} lacks the column {', '.join(missing)}: it has "
                f"{', '.join(filter(None, names)) or 'none'}{hint}"
            )
        for line, cells in records:
            where = f"{self._what} {self.file}, line {line}"
            if any(cells[len(names) :]):
                raise UserError(
                    f"{where}: {len(cells)} cells, but the table has {len(names)} columns; quote cells that hold a "
                    "separator"
                )
            if len(cells) < width:
                raise UserError(
                    f"{where}: {len(cells)} of the {width} cells of a row; write an empty cell, with its separator, "
                    "where there is no label"
                )
            row = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
            earlier = self.rows.get(row["id"])
            if earlier is not None:
                raise UserError(
                    f"{where}: the id {shown(row['id'])} stands there twice (line {earlier.line} too); keep one row"
                )
            self.rows[row["id"]] = TableRow(line, row)
