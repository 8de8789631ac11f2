"""Counts of a split: images, their sizes, and the labels of every task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from frugalmtl.data.counting.examination import Examined
from frugalmtl.data.counting.labels import LabelCounts, is_quantity
from frugalmtl.tasks import Task


@dataclass
class SplitCounts:
    """What the samples of a split hold.

    Attributes:
        samples: number of samples, whether they can be read or not.
        sizes: ``{(height, width): images}``.
        tasks: ``{task: counts}`` of the labels that can be used.
        unlabelled: ids of the images without a label of any task.
    """

    samples: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    tasks: dict[str, LabelCounts] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)

    def add(self, sample: Examined) -> None:
        """Add one sample."""
        self.samples += 1
        if sample.size is not None:
            self.sizes[sample.size] += 1
        for task, counts in sample.labels.items():
            self.tasks.setdefault(task, LabelCounts()).add(counts)
        if sample.unlabelled:
            self.unlabelled.append(sample.name)

    def record(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """The counts in plain values: shares are of the positions with a label, sizes the most frequent first."""
        return {
            "images": sum(self.sizes.values()),
            "sizes": [
                {"height": height, "width": width, "images": count}
                for (height, width), count in sorted(self.sizes.items(), key=lambda item: (-item[1], item[0]))
            ],
            "unlabelled": len(self.unlabelled),
            "tasks": {task.name: task_record(task, self.tasks.get(task.name, LabelCounts())) for task in tasks},
        }


def task_record(task: Task, counts: LabelCounts) -> dict[str, Any]:
    """The counts of one task in plain values; NaN where there is nothing to count."""
    record: dict[str, Any] = {
        "labels": counts.labels,
        "labelled": counts.valid / counts.positions if counts.positions else math.nan,
    }
    if is_quantity(task):
        return {**record, "min": counts.low, "median": counts.median, "max": counts.high, "unit": task.stored.unit}
    if task.label_channels > 1:
        return record
    shares = _yes(counts) if task.label_type == "continuous" else counts.shares()
    names = task.classes or (["yes"] if task.label_type == "continuous" else [])
    labels_with = counts.labels_with.tolist() or [0] * len(names)
    return {
        **record,
        "shares": dict(zip(names, shares or [math.nan] * len(names), strict=True)),
        "labels_with": dict(zip(names, labels_with, strict=True)),
    }


def _yes(counts: LabelCounts) -> list[float]:
    """Shares of yes: of a binary map, of its labelled pixels; of an attribute, of the labels that answer it."""
    if len(counts.by_class) < 2 and counts.valid:
        return counts.shares()
    pairs = zip(counts.by_class.tolist(), counts.beside.tolist(), strict=True)
    return [yes / asked if asked else math.nan for yes, asked in pairs]
