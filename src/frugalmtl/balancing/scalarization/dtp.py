"""DTP: dynamic task prioritization (Guo et al., 2018)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.checks import UserError, fraction, not_negative, positive
from frugalmtl.core.types import Scores
from frugalmtl.tasks import Task


class DTP(Scalarizer):
    """Dynamic task prioritization (Guo et al. 2018): ``w_t = -(1 - k_t)^gamma log k_t``.

    ``k_t`` in (0, 1) is a moving average of a measure of how well the task is solved: ``k <- momentum * new + (1 -
    momentum) * k``. The measure is made of the task's primary metric in the evaluation after each epoch (our choice;
    the paper follows training):

    - a score (higher is better) is taken as it is; it must be a share in [0, 1], as all such metrics of the library
      are;
    - for an error e (lower is better) the paper has no measure. Ours is ``e_0 / (e_0 + e)`` with the task's first
      error, so it starts at 1/2, grows as the error falls, and depends on no unit.

    Weights are 1 until a task has its first score; a task that is never scored (an auxiliary one) keeps the weight 1. A
    score that is not a number (a set without labels) changes nothing.

    Args:
        tasks: the tasks.
        gamma: how much solved tasks are played down further (1 in the survey).
        momentum: share of the newest measure in k, above 0 (ours: 0.9).
        smallest: k is kept in [smallest, 1 - smallest] (ours), which bounds the weights.

    Raises:
        UserError: an option outside its range; in ``end_epoch``, a score outside [0, 1] or an error below 0.
    """

    scale = "free"
    needs_scores = True
    kpi: Tensor
    first_error: Tensor

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        gamma: float = 1.0,
        momentum: float = 0.9,
        smallest: float = 1e-3,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        not_negative("gamma of dtp", gamma)
        if not 0 < smallest < 0.5:
            raise UserError(f"smallest of dtp must lie between 0 and 0.5, but got {smallest!r}")
        self.tasks = tuple(tasks)
        self.gamma, self.smallest = gamma, smallest
        self.momentum = fraction("momentum of dtp", positive("momentum of dtp", momentum))
        # 0 stands for "none yet": what is kept here is always above 0.
        self.register_buffer("kpi", torch.zeros(len(tasks)))
        self.register_buffer("first_error", torch.zeros(len(tasks)))

    def weigh(self, losses: Tensor) -> Tensor:
        """The weights since the last evaluation."""
        known = self.kpi.clamp(self.smallest, 1 - self.smallest)
        return torch.where(self.kpi > 0, -((1 - known) ** self.gamma) * known.log(), 1.0).to(losses)

    def end_epoch(self, losses: Mapping[str, float], scores: Scores | None) -> None:
        """Take the newest scores into the moving averages.

        Raises:
            UserError: a score outside [0, 1] or an error below 0.
        """
        for index, task in enumerate(self.tasks):
            score = (scores or {}).get(task.name, {}).get(task.primary, float("nan"))
            if math.isnan(score):
                continue
            new = min(max(self._measure(index, task, score), self.smallest), 1 - self.smallest)
            old = float(self.kpi[index])
            self.kpi[index] = self.momentum * new + (1 - self.momentum) * old if old else new

    def _measure(self, index: int, task: Task, score: float) -> float:
        if task.higher_is_better:
            if not 0 <= score <= 1:
                raise UserError(
                    f"dtp needs scores in [0, 1], but {task.primary!r} of task {task.name!r} is {score:g}: "
                    "let the metric give a share"
                )
            return score
        if score < 0:
            raise UserError(f"dtp needs errors of 0 or more, but {task.primary!r} of task {task.name!r} is {score:g}")
        if not self.first_error[index]:
            self.first_error[index] = max(score, torch.finfo(torch.float32).tiny)
        first = float(self.first_error[index])
        return first / (first + score)
