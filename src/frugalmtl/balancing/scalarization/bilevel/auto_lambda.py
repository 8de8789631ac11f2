"""Auto-lambda: weights that make a step for all tasks help the primary ones (Liu et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.balancing._transfers import constant, flags
from frugalmtl.balancing.base import StepContext
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.balancing.scalarization.bilevel._buffered_adam import BufferedAdam
from frugalmtl.core.checks import UserError, known, positive
from frugalmtl.core.distributed import average, average_in_place, broadcast
from frugalmtl.core.preserved import preserved
from frugalmtl.core.rng import RngState
from frugalmtl.core.types import Batch
from frugalmtl.tasks import Task


class AutoLambda(Scalarizer):
    """Auto-lambda (Liu et al. 2022, sec. 4): weights that make a step for all tasks help the primary ones.

    Before every step, w follows the gradient of ``sum_{primary} L_val(theta')`` at the end of a virtual step ``theta' =
    theta - lr (momentum * buffer + grad sum_t w_t L_t + weight_decay * theta)``. Since ``L_val`` does not depend on w
    otherwise, that gradient is ``-lr d . grad L_t(theta)`` with ``d = grad L_val(theta')``, by central difference ``-lr
    (L_t(theta + eps d) - L_t(theta - eps d)) / (2 eps)``, ``eps = epsilon / ||d||``. The difference takes losses alone,
    so a step costs two more forward and backward passes and two more forward passes.

    Every parameter steps by the present rate, momentum and weight decay of its own group (with several rates, d above
    is ``lr d``). Adam's preconditioning is left out and it has no such buffer, as in the authors' code: a plain step.
    Ours: all passes over the training batches draw the same dropout as the step that follows; a weight ends at 0, below
    which a loss would be raised (the authors' code lets it); where d is 0 or not finite the weights stay. The weights
    learn from the objective above whatever ``normalise`` says.

    Losses are means over accumulated batches and processes. A task without labels in the batches has a gradient of 0,
    and the weight of one that none of the batches is for stays; without a label for any primary task in the validation
    batches the weights stay. Losses are not scaled for mixed precision here, so with float16 gradients may underflow
    (prefer bfloat16); and the weights have moved already when a loss scaler skips the step.

    Args:
        tasks: the tasks.
        primary: names of the tasks whose validation losses count; all but the auxiliary ones if not given.
        init: initial weights (the authors: 0.1).
        lr: of the weights' Adam (the authors: 1e-4 on NYUD, 3e-5 on Cityscapes).
        epsilon: length of the displacement in the finite difference (0.01, Liu et al. 2019).
        held_out: share of the training split whose losses the weights are learned from, and which trains nothing else
            (ours). 0 reads the whole split in another order, as the authors' code does: the weights are then learned on
            images that the network has been trained on.

    Raises:
        UserError: an unknown primary task, or none; a number out of range.
    """

    scale = "free"
    needs_validation_stream = True

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        primary: list[str] | None = None,
        init: float = 0.1,
        lr: float = 1e-4,
        epsilon: float = 0.01,
        held_out: float = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        for name in primary or []:
            known("task in primary of auto_lambda:", name, self.task_names)
        self.primary = [task.name for task in tasks if not task.auxiliary] if primary is None else list(primary)
        if not self.primary:
            raise UserError("primary of auto_lambda must name one task or more, but got none")
        self.epsilon = positive("epsilon of auto_lambda", epsilon)
        if not 0.0 <= held_out < 1.0:
            raise UserError(f"held_out of auto_lambda must lie in [0, 1), but got {held_out!r}")
        self.held_out = held_out
        start = positive("init of auto_lambda", init)
        self.register_buffer("lambdas", torch.full((len(self.task_names),), start))
        self.lambdas: Tensor
        self.adam = BufferedAdam(self.lambdas, self.method, lr)
        self._present: set[str] = set()

    def weigh(self, losses: Tensor) -> Tensor:
        """The weights as they are now."""
        return self.lambdas.to(losses, copy=True)

    def before_step(self, context: StepContext) -> None:
        """Try a step, see what it does to the primary tasks, come back, and move the weights."""
        gradient = self.gradient(context)
        broadcast([gradient])
        moving = None if len(self._present) == len(self.task_names) else flags(self.task_names, self._present, gradient)
        self.adam(self.lambdas, gradient, gradient.isfinite().all(), moving)
        self.lambdas.clamp_(min=0.0)

    def gradient(self, context: StepContext) -> Tensor:
        """Gradient ``[T]`` of the primary tasks' validation loss with respect to the weights; not finite if there is
        none.

        Parameters, running statistics and the state of the random generators are afterwards as before.
        """
        passes = _Passes(context, [self.weights[name] for name in self.task_names])
        moves = _moves(context.model, context.optimizer)
        parameters = [move.parameter for move in moves]
        primary = constant([float(name in self.primary) for name in self.task_names], self.lambdas)
        with preserved(parameters) as values:
            slopes = passes.gradients(context.batches, self.lambdas, parameters)
            self._present = set(passes.present)
            for move, slope in zip(moves, slopes, strict=True):
                move.step(slope)
            direction = passes.gradients(context.validation, primary, parameters)
            direction = [slope * move.lr for move, slope in zip(moves, direction, strict=True)]
            length = torch.nn.utils.get_total_norm(direction)
            step = torch.where(length > 0, self.epsilon / length, 0.0)
            ends = []
            for factor in (step, -step):
                for parameter, value, slope in zip(parameters, values, direction, strict=True):
                    parameter.data.copy_(value).addcmul_(slope, factor)
                ends.append(passes.losses(context.batches))
        return (ends[1] - ends[0]) / (2 * step)  # 0 / 0 where d is 0


class _Passes:
    """Losses and their gradients, always with the same dropout.

    Args:
        context: of the step.
        fixed: weights of the losses that go before.
    """

    def __init__(self, context: StepContext, fixed: Sequence[float]) -> None:
        self.context, self.fixed = context, fixed
        self.rng = RngState(context.batches[0].image.device)
        self.present: set[str] = set()

    def losses(self, batches: Sequence[Batch]) -> Tensor:
        """Of the joint batch, ``[T]``."""
        with torch.no_grad(), self.rng.restored():
            return average(torch.stack([self._of(batch) for batch in batches]).mean(dim=0))

    def gradients(self, batches: Sequence[Batch], weights: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Gradient of the joint batch's weighted loss; 0 at what it does not reach."""
        total: list[Tensor] = []
        with self.rng.restored():
            for batch in batches:
                losses = self._of(batch)
                loss = (losses * weights.to(losses)).sum() / len(batches)
                if not loss.requires_grad:  # the batch is for no task
                    loss = loss + 0.0 * torch.stack([parameter.sum() for parameter in parameters]).sum()
                gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
                total = [one + other for one, other in zip(total, gradients, strict=True)] if total else [*gradients]
        average_in_place(total)
        return total

    def _of(self, batch: Batch) -> Tensor:
        by_task = self.context.losses(batch)
        self.present |= {name for name, loss in by_task.items() if loss.requires_grad}
        losses = torch.stack([*by_task.values()])
        return losses * constant(self.fixed, losses)


@dataclass
class _Move:
    """How the optimiser would move one parameter."""

    parameter: Tensor
    lr: float
    decay: float
    momentum_buffer: Tensor | None
    momentum: float

    def step(self, slope: Tensor) -> None:
        values = self.parameter.data
        slope = slope.add(values, alpha=self.decay)
        if self.momentum_buffer is not None:
            slope.add_(self.momentum_buffer, alpha=self.momentum)
        values.sub_(slope, alpha=self.lr)


def _moves(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[_Move]:
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    # An optimiser may be made of several, and then they hold the state.
    states = [member.state for member in getattr(optimizer, "members", [optimizer])]
    moves = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) in trained:
                buffer = next((state[parameter].get("momentum_buffer") for state in states if parameter in state), None)
                moves.append(
                    _Move(parameter, group["lr"], group.get("weight_decay", 0.0), buffer, group.get("momentum", 0.0))
                )
    return moves
