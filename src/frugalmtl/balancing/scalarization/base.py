"""Scalarizers: weighted sums of the losses, and one backward pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.balancing._report import compared
from frugalmtl.balancing._sharing import shared_parts
from frugalmtl.balancing._transfers import constant
from frugalmtl.balancing.base import Balancer, BalancerReport, ForwardPass, rescaled
from frugalmtl.balancing.gradients import AtRepresentation, TaskGradients, joint_products, take_gradients
from frugalmtl.tasks import Task


class Scalarizer(Balancer):
    """A balancer whose update is the gradient of ``sum_t w_t L_t`` with weights that follow the losses.

    On several processes it runs under DistributedDataParallel; where losses are means over equally many labels per
    process, the update equals that of one process with the joint batch. Accumulated batches are weighted each by
    itself.

    Args:
        tasks: the tasks.
        **options: see :class:`Balancer`.
    """

    def __init__(self, tasks: Sequence[Task], **options: Any) -> None:
        super().__init__(tasks, **options)
        self._gradients: TaskGradients | None = None
        self._products: list[Tensor] = []
        self._absent: frozenset[str] = frozenset()

    @abstractmethod
    def weigh(self, losses: Tensor) -> Tensor:
        """Fixed-weighted losses ``[T]`` (detached, float32 or better) -> weights ``[T]``.

        A loss of exactly 0 says that the task has no label in the batch, or that the batch is not for it. Weights that
        depend on trainable parameters of the balancer carry their graph; the gradient of ``sum_t w_t L_t +
        regulariser()`` reaches those parameters.
        """

    def regulariser(self, losses: Tensor) -> Tensor | None:
        """A term of the objective that depends on the balancer's own parameters alone; argument as in :meth:`weigh`."""
        return None

    def backward(self, step: ForwardPass) -> BalancerReport:
        """One ordinary backward pass of the weighted sum plus the penalty.

        Where gradients are to be measured, those of the tasks are taken apart instead (at the representation where the
        tasks meet in one, else at the parameters), and their weighted sum goes on.
        """
        losses, weights = self.weighted(step)
        if step.measure:
            measured = self._measured(step, losses, weights)
            if measured is not None:
                return measured
        else:
            total = torch.stack(losses).sum()
            total = total if step.penalty is None else total + step.penalty
            if total.requires_grad:  # else nothing is wanted
                step.backward(total)
        return BalancerReport(dict(zip(step.losses, weights, strict=True)))

    def weighted(self, step: ForwardPass) -> tuple[list[Tensor], Tensor]:
        """The weighted losses of one pass, ``T`` scalars, and the weights ``[T]`` of the unweighted ones, detached.

        Trainable parameters of the balancer get the gradient of ``sum_t w_t L_t + regulariser()`` here.
        """
        self._absent = step.absent
        values = torch.stack([loss.detach() for loss in step.losses.values()])
        fixed = constant([self.weights[name] for name in step.losses], values)
        values = values * fixed
        weights = self.weigh(values)
        self._backward_weights(step, weights, values)
        final = rescaled(weights.detach(), self.normalise) * fixed
        return [loss * weight for loss, weight in zip(step.losses.values(), final, strict=True)], final

    def _backward_weights(self, step: ForwardPass, weights: Tensor, values: Tensor) -> None:
        regulariser = self.regulariser(values)
        terms = [] if not weights.requires_grad else [(weights * values).sum()]
        terms += [] if regulariser is None or not regulariser.requires_grad else [regulariser]
        if terms:
            torch.autograd.backward(torch.stack(terms).sum() * step.scale)

    def _per_task(self, parameters: nn.ParameterDict) -> Tensor:
        """A learned number per task, ``[T]``; those of tasks that the batch is not for are constants in it."""
        rows = [(name in self._absent, parameters[name]) for name in self.task_names]
        return torch.stack([parameter.detach() if absent else parameter for absent, parameter in rows])

    def _measured(self, step: ForwardPass, losses: Sequence[Tensor], weights: Tensor) -> BalancerReport | None:
        gradients = self._gradients = self._gradients or self._place(step, losses)
        gradients.add(step, losses)
        ones = [1.0] * len(losses)
        if isinstance(gradients, AtRepresentation):  # inner products add up, so that each batch can go back at once
            self._products.append(gradients.products())
            gradients.apply_weights(ones)
            self._gradients = AtRepresentation()
        if not step.last:
            return None
        gradients, self._gradients = self._gradients, None
        if isinstance(gradients, AtRepresentation):
            gramian = joint_products(torch.stack(self._products).sum(dim=0), step.loss_scale)
            self._products = []
        else:
            gramian = gradients.gramian()
            gradients.apply_weights(ones)
        return compared(list(step.losses), gramian, [*weights.detach()], weights)

    def _place(self, step: ForwardPass, losses: Sequence[Tensor]) -> TaskGradients:
        shared = shared_parts(step, losses)
        return take_gradients("representation" if shared.kind == "meeting" else "parameters", shared.parameters)
