"""Problems of a user's files, as records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from frugalmtl.core.checks import UserError

_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|\b(?:inf|nan)\b)")
_ID = re.compile(r"\bid ('[^']*'|\"[^\"]*\")(?:, and so is .*?(?=;))?")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: the file at fault (or the id of a sample, if no single file is).
        what: what is wrong with it.
        expected: what it should be.
        remedy: what to do.
        task: name of the task whose label it is; empty if it is no label.
        split: name of the split; empty if that is not known.
    """

    file: str
    what: str
    expected: str
    remedy: str
    task: str = field(default="", compare=False)
    split: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; expected {self.expected}: {self.remedy}"


@dataclass(frozen=True)
class Note:
    """What is worth a look and keeps nothing from working.

    Attributes:
        text: what it is.
        names: of the files or ids that it is about.
        remedy: what to do where it is not meant so; may be empty.
    """

    text: str
    names: tuple[str, ...] = ()
    remedy: str = ""

    def line(self, most: int | None = 3) -> str:
        """The note in a line, with ``most`` of the names, or all.

        >>> Note("5 files take no part", ("a", "b", "c", "d", "e"), "rename them").line(2)
        '5 files take no part (a, b and 3 more): rename them'
        """
        shown = self.names[:most]
        more = len(self.names) - len(shown)
        names = f" ({', '.join(shown)}{f' and {more} more' if more else ''})" if shown else ""
        return f"{self.text}{names}{f': {self.remedy}' if self.remedy else ''}"

    def __str__(self) -> str:
        return self.line()


def in_groups(problems: Sequence[Problem], first: int = 3) -> Iterator[str]:
    """A line per problem; of more than ``first`` with one cause, in one task and split, the others are one line.

    Causes are the same where their words are, whatever numbers and ids they hold.
    """
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.split, problem.task, _cause(problem)), []).append(problem)
    for group in groups.values():
        yield from map(str, group[:first])
        more = len(group) - first
        if more > 0:
            kind = "file" if len({problem.file for problem in group}) > 1 else "line"
            of_task = f" of task {group[0].task!r}" if group[0].task else ""
            yield f"... and {more} more {kind}{'s' * (more > 1)}{of_task} with the same problem"


def _cause(problem: Problem) -> str:
    words = f"{problem.what}; {problem.expected}".replace(problem.file, "")
    return _NUMBER.sub("0", _ID.sub("id", words))


class BadFileError(UserError):
    """A file that cannot be used; holds the record of why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem
