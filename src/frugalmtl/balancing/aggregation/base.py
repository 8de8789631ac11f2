"""Aggregators: one direction of a gradient per task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from frugalmtl.balancing._report import compared
from frugalmtl.balancing._sharing import SharedParts, refuse_hidden, shared_parts
from frugalmtl.balancing._stacking import SCALARIZERS
from frugalmtl.balancing._transfers import HostCopy, constant, widest
from frugalmtl.balancing.base import Balancer, BalancerReport, ForwardPass, check_choice, rescaled
from frugalmtl.balancing.gradients import Level, RepresentationCut, TaskGradients, take_gradients
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.distributed import average, broadcast
from frugalmtl.core.recipe import ParameterGroup
from frugalmtl.core.types import Scores
from frugalmtl.model import Cut
from frugalmtl.tasks import Task

Losses = Annotated[str | dict[str, Any], SCALARIZERS]
"""Section of a scalarizer that weighs the losses before an aggregator takes their gradients."""


class Aggregator(Balancer):
    """A balancer that makes one direction of a gradient per task; :mod:`frugalmtl.balancing.gradients` says where they
    are taken.

    Parameters that only one task uses, heads above all, get the gradient of its (fixed-weighted) loss as it is.
    Gradients of accumulated batches and of several processes are those of the joint batch. A task that no batch of a
    step is for is left out of it, as one without labels is.

    A scalarizer can be stacked below: ``losses`` names it, and the aggregator then takes the gradients of the losses
    that it has weighted, and these are its losses too. Everything else stays as it is for each of the two: what only
    one task uses gets the gradient of its weighted loss, parameters of the scalarizer learn from its own objective,
    :attr:`scale` and ``normalise`` speak of the weights of those gradients. Weights in the log are the products of
    both.

    Args:
        tasks: the tasks.
        gradients_at: where gradients are taken: ``"representation"`` (where the tasks part; about the cost of one
            backward pass), the shared ``"parameters"`` (T passes) or ``"parameters_batched"`` (the same, all tasks side
            by side).
        losses: a scalarizer that weighs the losses first: its name, or its name and options. It must do no more in a
            step than that; None leaves the losses as they are.
        **options: see :class:`Balancer`; the fixed weights multiply the losses before any gradient is taken, and after
            the scalarizer, if there is one, which has fixed ``weights`` of its own that go before it.

    Attributes:
        levels: where the method may take gradients.
        scalarizer: that of ``losses``, or None.

    Raises:
        UserError: a level at which the method is not defined; a section of ``losses`` that does not fit, or a balancer
            in it that does more than weigh losses.
    """

    explicit_reduction: ClassVar[bool] = True
    levels: ClassVar[tuple[Level, ...]] = ("representation", "parameters", "parameters_batched")

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        gradients_at: Level = "representation",
        losses: Losses | None = None,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        check_choice(f"gradients_at of {self.method}", gradients_at, self.levels)
        self.gradients_at = gradients_at
        self._sharing: SharedParts | None = None
        self._gradients: TaskGradients | None = None
        self._losses: list[Tensor] = []
        self.scalarizer: Scalarizer | None = None
        if losses is not None:
            self.scalarizer = SCALARIZERS.build(losses, tasks)
            self.needs_scores = self.needs_scores or self.scalarizer.needs_scores
            self.host_waits += self.scalarizer.host_waits

    @abstractmethod
    def direct(self, gradients: TaskGradients, losses: Tensor, factors: Tensor) -> BalancerReport:
        """Let the direction reach the shared parameters.

        Args:
            gradients: of the whole step; :meth:`TaskGradients.apply_weights` or :meth:`TaskGradients.apply_directions`
                uses them up.
            losses: of the joint batch, weighted by the scalarizer and the fixed weights, ``[T]``, on their device.
            factors: these weights, ``[T]``, float64 where the device has it; of accumulated batches those of the last.
        """

    def attach(self, model: nn.Module) -> None:
        """Attach the scalarizer."""
        super().attach(model)
        if self.scalarizer is not None:
            self.scalarizer.attach(model)

    def groups(self) -> tuple[ParameterGroup, ...]:
        """Those of the scalarizer."""
        groups = () if self.scalarizer is None else self.scalarizer.groups()
        return tuple(replace(group, pattern=f"scalarizer.{group.pattern}") for group in groups)

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
        if self.scalarizer is not None:
            self.scalarizer.enter_epoch(epoch, epochs)

    def enter_turn(self) -> None:
        """Look again, as after a new stage."""
        super().enter_turn()
        self._sharing = None
        if self.scalarizer is not None:
            self.scalarizer.enter_turn()

    def end_epoch(self, losses: Mapping[str, float], scores: Scores | None) -> None:
        """Let the scalarizer see the losses, which are unweighted, and the scores."""
        super().end_epoch(losses, scores)
        if self.scalarizer is not None:
            self.scalarizer.end_epoch(losses, scores)

    def backward(self, step: ForwardPass) -> BalancerReport:
        """Take the gradients of one batch; with the last one, let the direction reach the shared parameters.

        Raises:
            UserError: gradients are taken at the representation, but the encoder's tasks do not share one.
        """
        losses, factors = self._weighted(step)
        gradients = self._gradients = self._gradients or self._place(step, losses)
        gradients.add(step, losses)
        self._losses.append(torch.stack([loss.detach() for loss in losses]) * (step.scale / step.loss_scale))
        if not step.last:
            return BalancerReport()
        joint = average(torch.stack(self._losses).sum(dim=0))
        self._gradients, self._losses = None, []
        return self.direct(gradients, joint, factors)

    def _weighted(self, step: ForwardPass) -> tuple[list[Tensor], Tensor]:
        """The losses whose gradients are taken, and what the unweighted ones were multiplied with, ``[T]``."""
        fixed = [self.weights[name] for name in step.losses]
        losses = list(step.losses.values())
        factors = constant(fixed, losses[0].new_empty(0, dtype=widest(losses[0].device)))
        if self.scalarizer is not None:
            losses, scales = self.scalarizer.weighted(step)
            factors = factors * scales
        return [loss * weight for loss, weight in zip(losses, fixed, strict=True)], factors

    def _place(self, step: ForwardPass, losses: Sequence[Tensor]) -> TaskGradients:
        """The level, or the parameters where the tasks do not meet at the cut: what they do not share stays plain."""
        level = self.level()
        if level != "representation" and not step.absent:
            return take_gradients(level)
        if self._sharing is None:
            self._sharing = shared_parts(step, losses)
            if self.gradients_at == "representation":
                refuse_hidden(self._sharing.kind)
        if level == "representation" and self._sharing.kind != "meeting":
            level = "parameters"
        return take_gradients(level, self._sharing.parameters)


class GramianWeightedAggregator(Aggregator):
    """A gradient balancer whose direction is ``sum_t a_t g_t`` with weights that depend on the inner products of the
    gradients alone (and on the losses).

    Only these ``T x T`` numbers are compared, so gradients are never copied into one matrix. Weights are found on the
    CPU in float64 from gradients divided by their root mean square norm, so methods need no thresholds that depend on
    the scale of losses. For that the host waits for the device once in a step. A task without a label in the joint
    batch (its loss and its gradient are exactly 0) is left out. With several processes the first one's weights count.
    """

    host_waits = 1

    @abstractmethod
    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Inner products ``[T, T]`` and losses ``[T]`` -> weights ``[T]``; float64, on the CPU.

        Args:
            gramian: ``g_i . g_j``, divided by the mean of its diagonal; positive semi-definite up to rounding.
            losses: weighted as those whose gradients were taken.
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

    def direct(self, gradients: TaskGradients, losses: Tensor, factors: Tensor) -> BalancerReport:
        """Weigh the gradients, let their sum reach the shared parameters."""
        gramian, joint, before = HostCopy([gradients.gramian(), losses, factors]).get()
        weights = self.solve(gramian, joint)
        broadcast([weights])
        gradients.apply_weights(weights.tolist())
        return compared(self.task_names, gramian, (weights * before).tolist(), before)


def labelled(gramian: Tensor, losses: Tensor) -> Tensor:
    """Which tasks have a label in the joint batch, ``[T]``: their loss or their gradient is not exactly 0."""
    return (losses != 0) | (gramian.diagonal() != 0)
