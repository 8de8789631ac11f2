"""Aggregators: one direction of a gradient per task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from frugalmtl.balancing._report import compared
from frugalmtl.balancing._sharing import Sharing, refuse_hidden, sharing
from frugalmtl.balancing._transfers import HostCopy
from frugalmtl.balancing.base import Balancer, BalancerReport, ForwardPass, check_choice, rescaled
from frugalmtl.balancing.gradients import Level, RepresentationCut, TaskGradients, take_gradients
from frugalmtl.core.distributed import average, broadcast
from frugalmtl.model import Cut
from frugalmtl.tasks import Task


class Aggregator(Balancer):
    """A balancer that makes one direction of a gradient per task; :mod:`frugalmtl.balancing.gradients` says where they
    are taken.

    Parameters that only one task uses, heads above all, get the gradient of its (fixed-weighted) loss as it is.
    Gradients of accumulated batches and of several processes are those of the joint batch.

    Args:
        tasks: the tasks.
        gradients_at: where gradients are taken: ``"representation"`` (where the tasks part; about the cost of one
            backward pass), the shared ``"parameters"`` (T passes) or ``"parameters_batched"`` (the same, all tasks side
            by side).
        **options: see :class:`Balancer`; the fixed weights multiply the losses before any gradient is taken.

    Attributes:
        levels: where the method may take gradients.

    Raises:
        UserError: a level at which the method is not defined.
    """

    explicit_reduction: ClassVar[bool] = True
    levels: ClassVar[tuple[Level, ...]] = ("representation", "parameters", "parameters_batched")

    def __init__(self, tasks: Sequence[Task], *, gradients_at: Level = "representation", **options: Any) -> None:
        super().__init__(tasks, **options)
        check_choice(f"gradients_at of {self.method}", gradients_at, self.levels)
        self.gradients_at = gradients_at
        self._sharing: Sharing | None = None
        self._gradients: TaskGradients | None = None
        self._losses: list[Tensor] = []

    @abstractmethod
    def direct(self, gradients: TaskGradients, losses: Tensor) -> BalancerReport:
        """Let the direction reach the shared parameters.

        Args:
            gradients: of the whole step; :meth:`TaskGradients.apply_weights` or :meth:`TaskGradients.apply_directions`
                uses them up.
            losses: of the joint batch, fixed-weighted, ``[T]``, on their device.
        """

    def cut(self) -> Cut | None:
        """The cut at the shared representation."""
        return RepresentationCut()

    def level(self) -> Level:
        """Where the gradients of the step that begins are taken."""
        return self.gradients_at

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """A new stage may have changed what the tasks share: look again."""
        super().enter_epoch(epoch, epochs)
        self._sharing, self._gradients, self._losses = None, None, []

    def backward(self, step: ForwardPass) -> BalancerReport:
        """Take the gradients of one batch; with the last one, let the direction reach the shared parameters.

        Raises:
            UserError: gradients are taken at the representation, but the encoder's tasks do not share one.
        """
        losses = [loss * self.weights[name] for name, loss in step.losses.items()]
        gradients = self._gradients = self._gradients or take_gradients(self._place(step, losses))
        gradients.add(step, losses)
        self._losses.append(torch.stack([loss.detach() for loss in losses]) * (step.scale / step.loss_scale))
        if not step.last:
            return BalancerReport()
        joint = average(torch.stack(self._losses).sum(dim=0))
        self._gradients, self._losses = None, []
        return self.direct(gradients, joint)

    def _place(self, step: ForwardPass, losses: Sequence[Tensor]) -> Level:
        """The level, or the parameters where the tasks do not meet at the cut: what they do not share stays plain."""
        level = self.level()
        if level != "representation":
            return level
        if self._sharing is None:
            self._sharing = sharing(step, losses)
            if self.gradients_at == "representation":
                refuse_hidden(self._sharing)
        return level if self._sharing == "meeting" else "parameters"


class GramianWeightedAggregator(Aggregator):
    """A gradient balancer whose direction is ``sum_t a_t g_t`` with weights that depend on the inner products of the
    gradients alone (and on the losses).

    Only these ``T x T`` numbers are compared, so gradients are never copied into one matrix. Weights are found on the
    CPU in float64 from gradients divided by their root mean square norm, so methods need no thresholds that depend on
    the scale of losses. For that the host waits for the device once in a step. A task without a label in the joint
    batch (its loss and its gradient are exactly 0) is left out. With several processes the first one's weights count.
    """

    host_waits: ClassVar[int] = 1

    @abstractmethod
    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Inner products ``[T, T]`` and losses ``[T]`` -> weights ``[T]``; float64, on the CPU.

        Args:
            gramian: ``g_i . g_j``, divided by the mean of its diagonal; positive semi-definite up to rounding.
            losses: fixed-weighted.
        """

    def solve(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights ``[T]`` of gradients of any scale, rescaled as :attr:`normalise` says.

        Where no gradient is there, or one is not finite, there is no direction to find: weights are then 1 (or 1 / T),
        which carries the gradients on to the loss scaler or the engine's guard as they are.
        """
        count = len(losses)
        even = torch.full((count,), 1.0 / count if self.scale == "mean" else 1.0, dtype=torch.float64)
        size = gramian.diagonal().mean()
        if not bool(gramian.isfinite().all() and losses.isfinite().all()) or size == 0:
            return rescaled(even, self.normalise)
        has_label = labelled(gramian, losses)
        weights = torch.zeros_like(even)
        weights[has_label] = self.weigh(
            gramian[has_label][:, has_label] / gramian.diagonal()[has_label].mean(), losses[has_label]
        ).double()
        return rescaled(weights, self.normalise)

    def aggregate(self, gradients: Tensor, losses: Tensor | None = None) -> Tensor:
        """Gradients ``[T, N]`` (and losses ``[T]``; 1 if not given) -> direction ``[N]``."""
        matrix = gradients.double()
        values = torch.ones(len(matrix)) if losses is None else losses
        direction = self.solve((matrix @ matrix.T).cpu(), values.double().cpu()).to(matrix.device) @ matrix
        return direction.to(gradients.dtype)

    def direct(self, gradients: TaskGradients, losses: Tensor) -> BalancerReport:
        """Weigh the gradients, let their sum reach the shared parameters."""
        gramian, joint = HostCopy([gradients.gramian(), losses]).get()
        weights = self.solve(gramian, joint)
        broadcast([weights])
        gradients.apply_weights(weights.tolist())
        fixed = list(self.weights.values())
        return compared(
            self.task_names,
            gramian,
            [weight * factor for weight, factor in zip(weights.tolist(), fixed, strict=True)],
            fixed,
        )


def labelled(gramian: Tensor, losses: Tensor) -> Tensor:
    """Which tasks have a label in the joint batch, ``[T]``: their loss or their gradient is not exactly 0."""
    return (losses != 0) | (gramian.diagonal() != 0)
