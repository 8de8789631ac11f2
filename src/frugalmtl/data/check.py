"""Check of a dataset before training: every broken or mis-sized file, and what the labels hold, in one pass."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import progress_bar
from frugalmtl.data.base import Dataset, Split
from frugalmtl.data.counting import Examined, SplitCounts
from frugalmtl.data.coverage import coverage
from frugalmtl.data.problems import Note, Problem
from frugalmtl.tasks import Task


@dataclass(frozen=True)
class Findings:
    """What the check of a dataset says.

    Attributes:
        problems: what is wrong, in the order of splits and samples.
        notes: what is worth a look.
        counts: ``{split: counts}`` of the splits that have samples.
    """

    problems: list[Problem]
    notes: list[Note]
    counts: dict[str, SplitCounts]


def check(
    dataset: Dataset, splits: Sequence[str] | None = None, *, workers: int | None = None, progress: bool = True
) -> list[Problem]:
    """The problems of :func:`look_through` alone."""
    return look_through(dataset, splits, workers=workers, progress=progress).problems


def look_through(
    dataset: Dataset, splits: Sequence[str] | None = None, *, workers: int | None = None, progress: bool = True
) -> Findings:
    """Read every file of a dataset: report all that is wrong, and count what the labels hold.

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
    findings = Findings([], list(dataset.notes()), {})
    seen: dict[str, str] = {}
    for name in names:
        try:
            split = dataset.split(name)
        except UserError as error:
            if name not in dataset.splits:
                raise
            empty = Problem(name, str(error), "a split with samples", "correct its list or share", split=name)
            findings.problems.append(empty)
            continue
        listed = coverage(split, name, [task.name for task in dataset.tasks])
        findings.problems.extend(_of_split(name, [*_repeated(split, name, seen), *split.skipped, *listed.problems]))
        findings.notes.extend(listed.notes)
        findings.counts[name] = SplitCounts()
        jobs += [(name, split, index) for index in range(len(split))]
    with progress_bar(shown=progress) as bar, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        shown = bar.add_task("checking samples", total=len(jobs))
        results = pool.map(lambda job: _examine(job[1], job[2], dataset.tasks), jobs)
        for (name, _, _), sample in zip(jobs, results, strict=True):
            findings.problems.extend(_of_split(name, sample.problems))
            findings.counts[name].add(sample)
            bar.advance(shown)
    findings.notes.extend(_unlabelled(findings.counts))
    return findings


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


def _unlabelled(counts: dict[str, SplitCounts]) -> list[Note]:
    """Images that no task learns from, in a split in which others have labels: where none has, that is a problem."""
    return [
        Note(
            f"{len(split.unlabelled)} of {split.samples} images of split {name!r} have no label of any task",
            tuple(split.unlabelled),
        )
        for name, split in counts.items()
        if 0 < len(split.unlabelled) < split.samples
    ]


def _examine(split: Split, index: int, tasks: Sequence[Task]) -> Examined:
    """One sample; whatever happens while it is read is a problem of it, and the others are read on."""
    try:
        return split.examine(index, tasks)
    except Exception as error:  # a decoder may raise anything on a damaged file
        name = split.ids[index] if split.ids else f"sample {index}"
        what = f"cannot be read ({type(error).__name__}: {error})"
        problem = Problem(name, what, "files that can be read", "look at its image and labels, and write them again")
        return Examined([problem])
