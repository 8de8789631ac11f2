"""Problems of a user's files, as records."""

from __future__ import annotations

from dataclasses import dataclass

from frugalmtl.core.checks import UserError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: the file at fault (or the id of a sample, if no single file is).
        what: what is wrong with it.
        expected: what it should be.
        remedy: what to do.
    """

    file: str
    what: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; expected {self.expected}: {self.remedy}"


class BadFileError(UserError):
    """A file that cannot be used; holds the record of why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem
