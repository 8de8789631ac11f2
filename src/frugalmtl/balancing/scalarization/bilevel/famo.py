"""FAMO: fast adaptive multitask optimization (Liu et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.balancing._transfers import constant, flags
from frugalmtl.balancing.base import StepContext
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.balancing.scalarization.bilevel._buffered_adam import BufferedAdam
from frugalmtl.core.checks import finite, known
from frugalmtl.core.distributed import average, broadcast
from frugalmtl.core.rng import RngState
from frugalmtl.tasks import Task

_EPSILON = 1e-8


class FAMO(Scalarizer):
    """FAMO (Liu et al. 2023): all losses fall at the same relative rate, judged by their values before and after.

    The step is the gradient of ``c sum_t z_t log(L_t - b_t)`` with ``z = softmax(w)`` and ``1 / c = sum_t z_t / (L_t -
    b_t)``, that is with weights ``c z_t / (L_t - b_t)``, which add up to 1. After it, the losses of the same batches
    are computed anew (one more forward pass, no backward pass; the same dropout, ours), and w takes a step of Adam
    along the gradient of ``sum_t z_t delta_t`` with ``delta_t = log(L_t - b_t) before - after``: a task that fell less
    than the others gains.

    Losses are those of the joint batch: means over the processes, and for w over the accumulated batches as well. A
    task without labels in it is left out: its weight and its gradient are 0, and z is a softmax over the others; w of a
    task that no batch of the step is for stays. A step that the loss scaler skips leaves w alone (gradients that are
    not finite tell). Fixed weights of the losses cancel in the logarithm, and only change c.

    Args:
        tasks: the tasks.
        lr: of w (the paper: 0.025).
        weight_decay: of w (the authors' ``weight_methods.py``: 0.00001).
        min_losses: lower bounds b of the unweighted losses; 0 for a task that is not named. A loss at or below its
            bound counts as 1e-8 above (ours).

    Raises:
        UserError: a weight or bound for an unknown task, a weight below 0, or a number out of range.
    """

    scale = "mean"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        lr: float = 0.025,
        weight_decay: float = 1e-3,
        min_losses: dict[str, float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        for name, bound in (min_losses or {}).items():
            finite(f"min_losses of famo for {known('task in min_losses of famo:', name, self.task_names)!r}", bound)
        bounds = [(min_losses or {}).get(name, 0.0) * self.weights[name] for name in self.task_names]
        self.register_buffer("bounds", torch.tensor(bounds), persistent=False)
        self.register_buffer("logits", torch.zeros(len(bounds)))
        self.bounds: Tensor
        self.logits: Tensor
        self.adam = BufferedAdam(self.logits, self.method, lr, weight_decay)
        self._before: list[Tensor] = []
        self._present: set[str] = set()
        self._rng: RngState | None = None

    def weigh(self, losses: Tensor) -> Tensor:
        """``c z_t / (L_t - b_t)``; all 0 if no task has a label."""
        joint = average(losses)
        self._before.append(joint)
        self._present |= {*self.task_names} - self._absent
        rates = torch.softmax(self.logits, 0).to(joint) / self._above(joint)
        rates = torch.where(joint != 0, rates, 0.0)
        return rates / rates.sum().clamp(min=torch.finfo(rates.dtype).tiny)

    def before_step(self, context: StepContext) -> None:
        """Remember what dropout is about to draw."""
        self._before, self._present = [], set()
        self._rng = RngState(context.batches[0].image.device)

    def after_step(self, context: StepContext) -> None:
        """See what the step did to the losses, and move w."""
        if self._rng is None:
            raise RuntimeError("before_step was not called")
        before = torch.stack(self._before).mean(dim=0)
        fixed = constant([self.weights[name] for name in self.task_names], before)
        with torch.no_grad(), self._rng.restored():
            losses = [torch.stack([*context.losses(batch).values()]) for batch in context.batches]
        after = average(torch.stack(losses).mean(dim=0).to(before) * fixed)
        labelled = before != 0
        delta = torch.where(labelled, self._above(before).log() - self._above(after).log(), 0.0)
        z = torch.softmax(self.logits.to(before).masked_fill(~labelled, -torch.inf), 0)
        gradient = z * (delta - (z * delta).sum())
        broadcast([gradient])
        moving = None if len(self._present) == len(self.task_names) else flags(self.task_names, self._present, gradient)
        self._before, self._rng = [], None
        # Not finite: no task has a label, or a loss is not finite, which the engine or the loss scaler deals with.
        self.adam(self.logits, gradient, _moved(context.model) & gradient.isfinite().all(), moving)

    def _above(self, losses: Tensor) -> Tensor:
        return (losses - self.bounds.to(losses)).clamp(min=0.0) + _EPSILON


def _moved(model: nn.Module) -> Tensor:
    """A boolean scalar: false after a step that the loss scaler has skipped, of which no loss tells anything."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients).isfinite()
