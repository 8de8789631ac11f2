"""Examination of one sample: what is wrong with it, and what its labels hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from frugalmtl.data.counting.labels import LabelCounts, label_counts
from frugalmtl.data.problems import Problem
from frugalmtl.data.sample_problems import sample_problems
from frugalmtl.tasks import Task


@dataclass(frozen=True)
class Examined:
    """One sample after all of its files were read.

    Attributes:
        problems: everything that is wrong with it.
        size: height and width of its image; None if that cannot be read.
        labels: ``{task: counts}`` of the labels that can be used.
        unlabelled: whether it has no label of any task.
        name: its id.
    """

    problems: list[Problem]
    size: tuple[int, int] | None = None
    labels: dict[str, LabelCounts] = field(default_factory=dict)
    unlabelled: bool = False
    name: str = ""


def examined(
    image: Tensor | None,
    labels: Mapping[str, Tensor],
    tasks: Sequence[Task],
    files: Mapping[str, str],
    *,
    name: str = "",
    earlier: Sequence[Problem] = (),
    unlabelled: bool = False,
) -> Examined:
    """Examine what was read of a sample.

    Args:
        image: ``[3, H, W]``; None if it cannot be read.
        labels: as stored, by task.
        tasks: those that are wanted.
        files: of the labels, by task, for messages.
        name: id of the sample.
        earlier: problems that were met while the files were read.
        unlabelled: whether no task has a label.
    """
    problems = [*earlier, *sample_problems(image, labels, tasks, files)]
    size = None if image is None else (image.shape[-2], image.shape[-1])
    return Examined(problems, size, _counts(labels, tasks, {item.task for item in problems}), unlabelled, name)


def _counts(labels: Mapping[str, Tensor], tasks: Sequence[Task], wrong: Collection[str]) -> dict[str, LabelCounts]:
    """Of labels that are of use alone: values of no sense would make counts of none."""
    return {
        task.name: label_counts(task, labels[task.name])
        for task in tasks
        if task.name in labels and task.name not in wrong
    }
