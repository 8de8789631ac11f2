"""Gradients per task -> one direction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from frugalmtl.balancing._sharing import refuse_hidden_sharing
from frugalmtl.balancing.base import Balancer, Pass, Weights, fixed_weights
from frugalmtl.balancing.gradients import RepresentationCut, backward_at_parameters, backward_at_representation
from frugalmtl.model import Cut
from frugalmtl.tasks import Task

Level = Literal["representation", "parameters"]


class GradientBalancer(Balancer):
    """A balancer that aggregates one gradient per task; see :mod:`frugalmtl.balancing.gradients` for where they are
    taken.

    Parameters that only one task uses get the gradient of its weighted loss. With accumulated batches, every batch is
    aggregated by itself and the directions are averaged.

    Args:
        tasks: the tasks.
        gradients_at: ``"representation"`` (about the cost of one backward pass) or ``"parameters"`` (T passes).
        weights: fixed weights that multiply the losses before any gradient is taken.

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    explicit_reduction: ClassVar[bool] = True

    def __init__(self, tasks: Sequence[Task], gradients_at: Level, weights: Weights) -> None:
        super().__init__(tasks)
        self.gradients_at = gradients_at
        self.weights = fixed_weights(tasks, weights)
        self._checked = False

    @abstractmethod
    def aggregate(self, gradients: Tensor) -> Tensor:
        """Gradients ``[T, N]`` -> direction ``[N]``."""

    def cut(self) -> Cut | None:
        """The cut at the shared representation, if gradients are taken there."""
        return RepresentationCut() if self.gradients_at == "representation" else None

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """A new stage may have changed what the tasks share: look again."""
        super().enter_epoch(epoch, epochs)
        self._checked = False

    def backward(self, step: Pass) -> dict[str, Tensor | float]:
        """Aggregate the gradients of the weighted losses.

        Raises:
            UserError: gradients are taken at the representation, but the encoder's tasks do not share one.
        """
        losses = [loss * self.weights[name] for name, loss in step.losses.items()]
        if self.gradients_at == "parameters":
            backward_at_parameters(step, losses, self.aggregate)
            return dict(self.weights)
        if not self._checked:
            refuse_hidden_sharing(step, losses)
            self._checked = True
        backward_at_representation(step, losses, self.aggregate)
        return dict(self.weights)
