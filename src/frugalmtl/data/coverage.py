"""Coverage of a split: how many of its samples have a label of each task, judged without opening a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frugalmtl.core.checks import UserError
from frugalmtl.data.base import Dataset, Split
from frugalmtl.data.problems import Problem

FEW = 0.05
"""Share of labelled samples below which a task is mentioned: partial labels are a use of this library, no mistake."""


@dataclass(frozen=True)
class Coverage:
    """What can be said of a split before a sample is loaded.

    Attributes:
        problems: what no training or evaluation may begin with: a task without a label, samples that are not there.
        notes: what is worth a look: few labels of a task, files that are left out.
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def coverage(split: Split, name: str, tasks: Sequence[str]) -> Coverage:
    """The coverage of a split called ``name`` for tasks by name."""
    problems = split.listed_problems(tasks)
    notes = [f"left out of split {name!r}: {problem}" for problem in split.skipped]
    for task in tasks:
        count = split.labelled(task)
        if not count:
            problems.append(split.absence(task))
        elif count < FEW * len(split):
            share = 100 * count / len(split)
            notes.append(
                f"task {task!r} has labels for {count} of {len(split)} images of split {name!r} ({share:.2g} %)"
            )
    return Coverage(tuple(problems), tuple(notes))


def require_labels(dataset: Dataset, tasks: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Check that every task has a label in every split, and that all samples are there; returns notes.

    Args:
        dataset: the dataset.
        tasks: names of those of its tasks that are trained and scored.
        splits: names of the splits that they are trained and scored on.

    Raises:
        UserError: a task has no label in a split, a sample is not there, or a split is unknown or empty.
    """
    notes: list[str] = []
    for name in dict.fromkeys(splits):
        judged = coverage(dataset.split(name), name, tasks)
        if judged.problems:
            count = len(judged.problems) - 1
            more = f" (and {count} more: 'frugalmtl data check' lists all)" if count else ""
            raise UserError(f"split {name!r} cannot be used: {judged.problems[0]}{more}")
        notes += judged.notes
    return notes
