"""Sources of labels: files by a pattern, or the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from frugalmtl.data.attribute_table import AttributeTable
from frugalmtl.data.datasets.folder.listing import Listing
from frugalmtl.data.datasets.folder.nearest import difference, nearest_file
from frugalmtl.data.datasets.folder.patterns import Pattern
from frugalmtl.data.encodings import Encoding, read_label
from frugalmtl.data.files import Exif
from frugalmtl.data.problems import BadFileError, Problem
from frugalmtl.data.sample_problems import usable
from frugalmtl.tasks import Task


class Source(Protocol):
    """Labels of one task, by the ids of images."""

    @property
    def task(self) -> Task:
        """The task."""
        ...

    def has(self, name: str) -> bool:
        """Whether an image has a label; nothing is opened."""
        ...

    def place(self, name: str) -> str:
        """The file of an image's label, in messages."""
        ...

    def listed_problem(self, name: str) -> Problem | None:
        """What is wrong with an image's label that can be seen without opening a file."""
        ...

    def label(self, name: str, *, raw: bool = False) -> Tensor | None:
        """The label of an image, or None if there is none.

        Args:
            name: the image's id.
            raw: as stored; else repaired as the task does, and refused if its values cannot be a label.

        Raises:
            BadFileError: it cannot be used.
        """
        ...

    def absence(self, ids: Sequence[str], what: str) -> Problem:
        """The reason why none of the ids has a label; ``what`` says so in words."""
        ...


@dataclass(frozen=True)
class FileSource:
    """A label file per image.

    Attributes:
        task: the task.
        pattern: of the files.
        encoding: how such a file is read.
        listing: of the root.
        exif: whether images are turned as their EXIF says.
    """

    task: Task
    pattern: Pattern
    encoding: Encoding
    listing: Listing
    exif: Exif = "apply"

    def has(self, name: str) -> bool:
        """Whether a file of the pattern exists."""
        return bool(self.pattern.files(name, self.listing))

    def place(self, name: str) -> str:
        """The file."""
        return str(the_file(self.pattern, self.listing, name))

    def listed_problem(self, name: str) -> Problem | None:
        """More than one file of the id."""
        files = self.pattern.files(name, self.listing)
        return same_id(files, name) if len(files) > 1 else None

    def label(self, name: str, *, raw: bool = False) -> Tensor | None:
        """The label in the image's file."""
        if not self.has(name):
            return None
        file = the_file(self.pattern, self.listing, name)
        label = read_label(file, self.task, self.encoding, self.exif)
        return label if raw else usable(self.task, label, str(file))

    def absence(self, ids: Sequence[str], what: str) -> Problem:
        """What exists nearest to the file of the first id."""
        file = self.pattern.example(ids[0])
        remedy = f"{nearest_file(self.listing, file)}; correct 'files' of task {self.task.name!r}"
        return Problem(self.pattern.text, what, f"files such as {file}", remedy)


@dataclass(frozen=True)
class TableSource:
    """A table with a row per image.

    Attributes:
        task: the task.
        table: the rows.
    """

    task: Task
    table: AttributeTable

    def has(self, name: str) -> bool:
        """Whether the image's row has a cell that is not empty."""
        return self.table.labels(name)

    def place(self, name: str) -> str:
        """The table and the id."""
        return f"{self.table.file}, id {name!r}"

    def listed_problem(self, name: str) -> Problem | None:
        """A cell that cannot be read."""
        try:
            self.table.read(name)
        except BadFileError as error:
            return error.problem
        return None

    def label(self, name: str, *, raw: bool = False) -> Tensor | None:  # noqa: ARG002 (cells are never repaired)
        """The label in the image's row."""
        return self.table.read(name)

    def absence(self, ids: Sequence[str], what: str) -> Problem:
        """How the ids of the table differ from those of the images."""
        table, wanted = self.table, f"rows with ids such as {ids[0]!r}"
        if any(name in table.rows for name in ids):
            return Problem(str(table.file), what, "a cell that is not empty", "fill in the rows of these images")
        remedy = f"{difference(table.rows, ids)}; correct the column 'id'"
        return Problem(str(table.file), what, wanted, remedy)


def the_file(pattern: Pattern, listing: Listing, name: str) -> Path:
    """The one file of an id, below the root; where there is none, the one that should be.

    Raises:
        BadFileError: there are several, or it leads out of the root.
    """
    files = pattern.files(name, listing) or [pattern.example(name)]
    if len(files) > 1:
        raise BadFileError(same_id(files, name))
    return listing.path(files[0])


def same_id(files: Sequence[str], name: str) -> Problem:
    """The problem that several files are of one id."""
    what = f"is a file of the id {name!r}, and so is {', '.join(files[1:])}"
    return Problem(files[0], what, "one file per id", "remove the other, or state the ending in the pattern")
