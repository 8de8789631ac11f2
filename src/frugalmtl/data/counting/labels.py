"""Counts of the labels of one task, in sums of fixed size that may be added in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from frugalmtl.tasks import Task

_LOW, _HIGH, _BINS = 1e-4, 1e5, 1 << 14
"""Values that the histogram tells apart, and how many bins there are on a logarithmic scale: each 0.13 % wide."""
_WIDTH = math.log(_HIGH / _LOW) / _BINS


@dataclass
class LabelCounts:
    """What some labels of one task hold.

    Attributes:
        labels: number of labels (files, or rows of a table).
        positions: pixels of these labels; of labels without a map, their values.
        valid: how many of the positions carry a label.
        by_class: ``[C]`` int64: positions of each class; of attributes and of binary maps, those that are yes.
        labels_with: ``[C]`` int64: labels that hold the class.
        beside: ``[C]`` int64: valid positions of the labels that hold the class.
        low: least value of a continuous map with one channel; NaN without one.
        high: its greatest value.
        histogram: ``[K]`` int64: its positive values, on a logarithmic scale.
    """

    labels: int = 0
    positions: int = 0
    valid: int = 0
    by_class: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    labels_with: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    beside: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    low: float = math.nan
    high: float = math.nan
    histogram: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def add(self, other: LabelCounts) -> None:
        """Add the counts of other labels of the task."""
        self.labels += other.labels
        self.positions += other.positions
        self.valid += other.valid
        self.by_class = _sum(self.by_class, other.by_class)
        self.labels_with = _sum(self.labels_with, other.labels_with)
        self.beside = _sum(self.beside, other.beside)
        self.low, self.high = _least(self.low, other.low), -_least(-self.high, -other.high)
        self.histogram = _sum(self.histogram, other.histogram)

    @property
    def median(self) -> float:
        """The median of the positive values, to 0.07 %; NaN without one.

        Values outside 0.0001..100000 count as the nearest of them, and the result never leaves ``low``..``high``.
        """
        total = int(self.histogram.sum())
        if not total:
            return math.nan
        place = int(torch.searchsorted(self.histogram.cumsum(0), (total + 1) // 2))
        return min(max(_LOW * math.exp((place + 0.5) * _WIDTH), self.low), self.high)

    def shares(self) -> list[float]:
        """The share of each class among the valid positions; NaN without any.

        Attributes are each a question of their own, and so their share is one of the labels.
        """
        return [count / self.valid if self.valid else math.nan for count in self.by_class.tolist()]


def label_counts(task: Task, label: Tensor) -> LabelCounts:
    """The counts of one label.

    Args:
        task: the task.
        label: as stored: ``[H, W]`` or ``[]`` of classes, ``[K]`` of attributes, ``[C, H, W]`` of a continuous map.
    """
    valid = task.valid(label)
    counts = LabelCounts(1, valid.numel(), int(valid.sum()))
    if task.label_type == "classes":
        _classes(counts, torch.bincount(label[valid].long(), minlength=task.channels)[: task.channels])
    elif not task.dense:
        _classes(counts, (valid & (label >= 0.5)).long())
        counts.positions, counts.valid = 1, int(valid.any())
        counts.beside = valid.long()
    elif is_probability(task):
        _classes(counts, (label[0][valid] >= 0.5).sum()[None])
    elif task.label_channels == 1:
        _values(counts, label[0][valid])
    return counts


def is_probability(task: Task) -> bool:
    """Whether a task's map holds probabilities, of which a share is yes, and not a quantity."""
    return task.dense and task.label_channels == 1 and (task.stored.low, task.stored.high) == (0.0, 1.0)


def is_quantity(task: Task) -> bool:
    """Whether a task's map is one number per pixel, such as metres."""
    return task.dense and task.label_channels == 1 and not is_probability(task)


def _classes(counts: LabelCounts, by_class: Tensor) -> None:
    counts.by_class = by_class
    counts.labels_with = (by_class > 0).long()
    counts.beside = counts.labels_with * counts.valid


def _values(counts: LabelCounts, values: Tensor) -> None:
    if not values.numel():
        return
    counts.low, counts.high = (float(bound) for bound in values.aminmax())
    positive = values[values > 0].double()
    places = (positive.clamp(_LOW, _HIGH).div(_LOW).log() / _WIDTH).long().clamp(0, _BINS - 1)
    counts.histogram = torch.bincount(places, minlength=_BINS)


def _sum(first: Tensor, second: Tensor) -> Tensor:
    """The sum of two counts, of which an empty one stands for zeros."""
    if not len(first) or not len(second):
        return first if len(first) else second
    return first + second


def _least(first: float, second: float) -> float:
    return second if math.isnan(first) else first if math.isnan(second) else min(first, second)
