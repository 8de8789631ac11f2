"""Coverage of a split: how many of its samples have a label of each task, judged without opening a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frugalmtl.core.checks import UserError
from frugalmtl.data.base import Dataset, Split
from frugalmtl.data.problems import Note, Problem

FEW = 0.05
"""Share of labelled samples below which a task is mentioned: partial labels are a use of this library, no mistake."""


@dataclass(frozen=True)
class Coverage:
    """What can be said of a split before a sample is loaded.

    Attributes:
        problems: what no training or evaluation may begin with: samples that are not there, tasks without a label.
        absent: names of the tasks without a label.
        notes: what is worth a look: few labels of a task.
    """

    problems: tuple[Problem, ...]
    absent: tuple[str, ...]
    notes: tuple[Note, ...]


def coverage(split: Split, name: str, tasks: Sequence[str]) -> Coverage:
    """The coverage of a split called ``name`` for tasks by name."""
    problems = split.listed_problems(tasks)
    notes = []
    counts = {task: split.labelled(task) for task in tasks} if split.present() else {}
    absent = tuple(task for task, count in counts.items() if not count)
    problems += [split.absence(task) for task in absent]
    for task, count in counts.items():
        if 0 < count < FEW * len(split):
            share = 100 * count / len(split)
            what = f"task {task!r} has labels for {count} of {len(split)} images of split {name!r} ({share:.2g} %)"
            notes.append(Note(what))
    return Coverage(tuple(problems), absent, tuple(notes))


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
        split = dataset.split(name)
        judged = coverage(split, name, tasks)
        if judged.problems:
            count = len(judged.problems) - 1
            more = f" (and {count} more: 'frugalmtl data check' lists all)" if count else ""
            hint = "; where a split has no labels of a task, name another split or leave the task out of 'tasks'"
            raise UserError(f"split {name!r} cannot be used: {judged.problems[0]}{more}{hint if judged.absent else ''}")
        notes += [*map(str, judged.notes), *(f"split {name!r}: {problem}" for problem in split.skipped)]
    return notes
