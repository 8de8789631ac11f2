"""Options of tasks that are counted from the training labels: class weights, and where a prediction begins."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import progress_bar
from frugalmtl.data.base import Dataset, Split
from frugalmtl.data.counting.labels import LabelCounts, label_counts
from frugalmtl.tasks import Task, make_task

_CHANGED = ("weight", "auxiliary", "primary", "higher_is_better")
"""Facts of a task that an experiment may have changed, beside its section."""


@dataclass(frozen=True)
class Statistic:
    """A value of an option, from counts of labels.

    Attributes:
        value: of the counts.
        most: labels that are read for it, spread evenly over the split; None for all.
    """

    value: Callable[[LabelCounts], Any]
    most: int | None = None


def balanced(counts: LabelCounts) -> list[float]:
    """``w_c = N / (K n_c)`` over the labelled positions with K classes that occur; 1 for those that do not.

    As scikit-learn's ``class_weight="balanced"``.

    >>> import torch
    >>> balanced(LabelCounts(1, 10, 10, by_class=torch.tensor([8, 2, 0])))
    [0.625, 2.5, 1.0]
    """
    seen = [count for count in counts.by_class.tolist() if count]
    return [sum(seen) / (len(seen) * count) if count else 1.0 for count in counts.by_class.tolist()]


def median_frequency(counts: LabelCounts) -> list[float]:
    """``w_c = median(f) / f_c``, with f_c the share of c among the labelled positions of the labels that hold it.

    Eigen and Fergus 2015, section 4.3.2; classes that do not occur have the weight 1 and no part in the median.
    """
    pairs = list(zip(counts.by_class.tolist(), counts.beside.tolist(), strict=True))
    frequencies = [count / beside if count else 0.0 for count, beside in pairs]
    median = statistics.median([share for share in frequencies if share] or [1.0])
    return [median / share if share else 1.0 for share in frequencies]


STATISTICS = {
    "balanced": Statistic(balanced),
    "median_frequency": Statistic(median_frequency),
    "median": Statistic(lambda counts: float(f"{counts.median:.3g}"), most=256),
}
"""What :attr:`Task.from_labels` may name."""

_counted: WeakKeyDictionary[Dataset, dict[tuple[str, str, str, int | None], LabelCounts]] = WeakKeyDictionary()
"""Counts of datasets that are open: runs of a comparison share theirs."""


def settled(tasks: Sequence[Task], dataset: Dataset, split: str, *, progress: bool = False) -> tuple[Task, ...]:
    """Tasks with the values that the labels of a split give to their options (:attr:`Task.from_labels`).

    The values stand in the tasks' sections, so that a run keeps them. Labels are counted as stored, not augmented.

    Args:
        tasks: of the dataset, maybe changed by an experiment.
        dataset: with the split ready.
        split: that is trained on.
        progress: show a bar while labels are read.

    Raises:
        UserError: a label cannot be used, or there is none.
    """
    return tuple(_settled(task, dataset, split, progress) if task.from_labels else task for task in tasks)


def _settled(task: Task, dataset: Dataset, split: str, progress: bool) -> Task:
    values = {}
    for option, name in task.from_labels.items():
        statistic = STATISTICS[name]
        values[option] = statistic.value(_counts(task, dataset, split, statistic.most, progress))
    section = {key: value for key, value in task.section.items() if key != "name"} | values
    kept = {key: getattr(task, key) for key in _CHANGED}
    return replace(make_task(section, task.name), **kept)


def _counts(task: Task, dataset: Dataset, split: str, most: int | None, progress: bool) -> LabelCounts:
    seen = _counted.setdefault(dataset, {})
    key = (split, task.name, repr(sorted(task.section.items())), most)
    if key not in seen:
        seen[key] = _count(task, dataset.split(split), most, progress)
    if not seen[key].valid:
        raise UserError(
            f"task {task.name!r}: no label of split {split!r} holds a value to count for "
            f"{', '.join(task.from_labels)}: state {'it' if len(task.from_labels) == 1 else 'them'} in numbers"
        )
    return seen[key]


def _count(task: Task, samples: Split, most: int | None, progress: bool) -> LabelCounts:
    places = [
        index for index in range(len(samples)) if samples.has_image(index) and samples.has_label(index, task.name)
    ]
    if most is not None and len(places) > most:
        places = [places[number * len(places) // most] for number in range(most)]

    def of_sample(index: int) -> LabelCounts | None:
        label = samples.label(index, task.name)
        return None if label is None else label_counts(task, label)

    total = LabelCounts()
    with progress_bar(shown=progress) as bar, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        shown = bar.add_task(f"counting labels of {task.name}", total=len(places))
        for counts in pool.map(of_sample, places):
            if counts is not None:
                total.add(counts)
            bar.advance(shown)
    return total
