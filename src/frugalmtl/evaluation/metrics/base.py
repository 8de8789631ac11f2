"""The base of all metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

from frugalmtl.core.checks import UserError


class Score(Metric):
    """A metric whose results say which way is better.

    Members take decoded predictions (in the units of the label), labels and a bool mask of where labels count, and keep
    sums of fixed size, so that batches may be split, processes merged and data sets of any length evaluated. Sums are
    float64 or int64: results do not depend on how the set was split into batches beyond rounding in the 12th digit.
    Values where ``valid`` is False are never read, so they may hold anything, NaN included.

    Attributes:
        directions: for every key of ``compute()``: is higher better?
        units: for every key of ``compute()``: its unit, ``""`` for shares and plain numbers.
        nothing: what the set lacks where values are NaN.
    """

    full_state_update: bool | None = False
    is_differentiable: bool | None = False

    directions: Mapping[str, bool]
    units: Mapping[str, str]
    nothing = "no valid label"

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add one batch."""

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Score everything added so far: 0-d tensors, NaN where there is nothing to score."""

    def confusion_matrix(self) -> Tensor | None:
        """Counts ``[C, C]`` of labels (rows) by predictions (columns), of the joint set of all processes; None for a
        metric that keeps none.

        In a process group every process must call it.
        """
        return None

    def remarks(self) -> dict[str, str]:
        """``{key: line}``: why a value is missing, or the rule behind it; of the joint set of all processes.

        In a process group every process must call it.
        """
        values: dict[str, Tensor] = self.compute()
        with self.sync_context():
            return self.explain(values)

    def explain(self, values: Mapping[str, Tensor]) -> dict[str, str]:
        """:meth:`remarks` on values of :meth:`compute`, from the sums; here, of those that are missing."""
        return {key: self.nothing for key, value in values.items() if value.isnan()}


def check_shapes(name: str, prediction: Tensor, target: Tensor, valid: Tensor, *, channels: int = 0) -> None:
    """Refuse predictions, labels and masks that do not lie on the same positions.

    Args:
        name: the metric, for the message.
        prediction: ``[B, ...]``, or ``[B, channels, ...]``.
        target: the same shape.
        valid: bool, the same shape without the channel axis.
        channels: length of the channel axis; 0 where there is none.

    Raises:
        UserError: shapes differ or ``valid`` is not bool.
    """
    expected = valid.shape if channels == 0 else (valid.shape[0], channels, *valid.shape[1:])
    if prediction.shape != expected or target.shape != expected:
        raise UserError(
            f"{name} got a prediction {list(prediction.shape)} and a target {list(target.shape)} for a mask "
            f"{list(valid.shape)}: both must be {list(expected)}"
        )
    if valid.dtype is not torch.bool:
        raise UserError(f"{name} needs a bool mask, but got {valid.dtype}: compare it with 0 first")
