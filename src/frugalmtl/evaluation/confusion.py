"""Confusion matrix of a task with classes: which class is taken for which, and the IoU of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import visible
from frugalmtl.evaluation.metrics.mean_iou import class_iou

_PRINTED = 12
"""Classes up to which a terminal shows the matrix."""


@dataclass(frozen=True)
class Confusion:
    """Counts of labels (rows) by predictions (columns), over the valid pixels of a set.

    Attributes:
        classes: names, in the order of rows and columns.
        counts: ``[C][C]``: pixels of the row's class that are predicted as the column's.
    """

    classes: list[str]
    counts: list[list[int]]

    def __post_init__(self) -> None:
        size = len(self.classes)
        if [len(row) for row in self.counts] != [size] * size or any(n < 0 for row in self.counts for n in row):
            raise UserError(
                f"a confusion matrix of {size} classes needs {size} rows of {size} counts, but got rows of "
                f"{[len(row) for row in self.counts]}"
            )

    def iou(self) -> list[float]:
        """IoU of every class: TP / (TP + FP + FN); NaN for one that neither labels nor predictions hold."""
        values: list[float] = class_iou(self._matrix()).tolist()
        return values

    def shares(self) -> list[list[float]]:
        """``[C][C]``: the share of the row's pixels that are predicted as the column's; NaN without such a label."""
        matrix = self._matrix().double()
        values: list[list[float]] = (matrix / matrix.sum(1, keepdim=True)).tolist()
        return values

    def lines(self) -> list[str]:
        """IoU per class, and for few classes the matrix in percent of the label's pixels."""
        names = [visible(name) for name in self.classes]
        scores = (f"{name} {_number(value, '.4f')}" for name, value in zip(names, self.iou(), strict=True))
        lines = [f"iou of each class: {', '.join(scores)}"]
        if len(names) > _PRINTED:
            return lines
        rows = [[_number(100 * share, ".1f") for share in row] for row in self.shares()]
        first = max(len("label"), *map(len, names))
        widths = [max(len(name), 5) for name in names]
        head = "  ".join(name.rjust(width) for name, width in zip(names, widths, strict=True))
        lines += ["% of a label's pixels by prediction:", f"{'label'.ljust(first)}  {head}"]
        for name, row in zip(names, rows, strict=True):
            cells = "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            lines.append(f"{name.ljust(first)}  {cells}")
        return lines

    def _matrix(self) -> Tensor:
        return torch.tensor(self.counts, dtype=torch.int64)


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
