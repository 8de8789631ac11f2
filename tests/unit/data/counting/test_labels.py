"""Counts of labels: the same however they are added."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from frugalmtl.data.counting import LabelCounts, label_counts
from frugalmtl.tasks import Task, make_task

DEPTH = make_task({"kind": "depth"})
MAP = make_task({"kind": "segmentation", "classes": ["a", "b", "c"]})


def counted(task: Task, labels: list[Tensor]) -> LabelCounts:
    total = LabelCounts()
    for label in labels:
        total.add(label_counts(task, label))
    return total


@pytest.mark.parametrize("scale", [0.01, 1.0, 700.0])
def test_the_median_is_that_of_all_pixels(scale: float) -> None:
    metres = torch.rand(5, 1, 30, 40, generator=torch.Generator().manual_seed(1)).add(0.1) * scale
    metres[0, 0, :10] = 0.0
    counts = counted(DEPTH, list(metres))
    known = metres[metres > 0]
    assert counts.median == pytest.approx(known.median().item(), rel=1e-3)
    assert (counts.low, counts.high) == (known.min(), known.max())
    assert (counts.valid, counts.positions) == (len(known), metres.numel())


def test_the_order_of_labels_does_not_matter() -> None:
    labels = [torch.full((1, 2, 2), metres) for metres in (3.0, 1.0, 8.0, 2.0, 0.0)]
    first, second = counted(DEPTH, labels), counted(DEPTH, labels[::-1])
    assert first.median == second.median == pytest.approx(2.0, rel=1e-3)
    assert torch.equal(first.histogram, second.histogram)


def test_classes_are_counted_where_there_is_a_label() -> None:
    counts = counted(MAP, [torch.tensor([[0, 0, 1, 255]]), torch.tensor([[0, 0, 0, 0]])])
    assert counts.by_class.tolist() == [6, 1, 0]
    assert counts.labels_with.tolist() == [2, 1, 0]
    assert counts.beside.tolist() == [7, 3, 0]
    assert counts.shares() == pytest.approx([6 / 7, 1 / 7, 0.0])


def test_nothing_counted_has_no_median() -> None:
    for counts in (LabelCounts(), counted(DEPTH, [torch.zeros(1, 2, 2)])):
        assert all(map(math.isnan, (counts.median, counts.low, counts.high)))
