"""Check of a dataset before training: every broken or mis-sized file, in one pass."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import progress_bar
from frugalmtl.data.base import Dataset, Split
from frugalmtl.data.coverage import coverage
from frugalmtl.data.problems import Problem
from frugalmtl.tasks import Task


def check(
    dataset: Dataset, splits: Sequence[str] | None = None, *, workers: int | None = None, progress: bool = True
) -> list[Problem]:
    """Read every file of a dataset and report all that is wrong, in the order of splits and samples.

    Args:
        dataset: the dataset.
        splits: names of splits; None takes all.
        workers: threads that read; None takes one per core.
        progress: draw a bar with the remaining time.

    Raises:
        UserError: no split of a name.
    """
    names = dataset.splits if splits is None else tuple(splits)
    jobs: list[tuple[str, Split, int]] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for name in names:
        try:
            split = dataset.split(name)
        except UserError as error:
            if name not in dataset.splits:
                raise
            problems.append(Problem(name, str(error), "a split with samples", "correct its list or share", split=name))
            continue
        listed = coverage(split, name, [task.name for task in dataset.tasks]).problems
        problems += _of_split(name, [*_repeated(split, name, seen), *split.skipped, *listed])
        jobs += [(name, split, index) for index in range(len(split))]
    with progress_bar(shown=progress) as bar, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        shown = bar.add_task("checking samples", total=len(jobs))
        for result in pool.map(lambda job: _of_split(job[0], _problems(job[1], job[2], dataset.tasks)), jobs):
            problems += result
            bar.advance(shown)
    return problems


def _of_split(name: str, problems: Sequence[Problem]) -> list[Problem]:
    return [replace(problem, split=name) for problem in problems]


def _repeated(split: Split, name: str, seen: dict[str, str]) -> list[Problem]:
    """Ids that another split has too: results on it would not be honest."""
    problems = []
    for item in split.ids:
        if item in seen:
            problems.append(
                Problem(item, f"is in the splits {seen[item]!r} and {name!r}", "one split", "remove it from one list")
            )
        seen.setdefault(item, name)
    return problems


def _problems(split: Split, index: int, tasks: Sequence[Task]) -> list[Problem]:
    """The problems of one sample; whatever happens while it is read is one of them, and the others are read on."""
    try:
        return split.problems(index, tasks)
    except Exception as error:  # a decoder may raise anything on a damaged file
        name = split.ids[index] if split.ids else f"sample {index}"
        what = f"cannot be read ({type(error).__name__}: {error})"
        return [Problem(name, what, "files that can be read", "look at its image and labels, and write them again")]
