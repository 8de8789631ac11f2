"""MGDA: the shortest vector in the convex hull of the gradients (Désidéri, 2012; Sener and Koltun, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from frugalmtl.balancing.aggregation._solvers.cones import shortest
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.balancing.base import check_choice
from frugalmtl.balancing.gradients import Level
from frugalmtl.tasks import Task


class MGDA(GramianWeightedAggregator):
    """Multiple-gradient descent (Désidéri 2012; Sener and Koltun 2018, eq. 3): the shortest mean of the gradients.

    Weights solve ``min_w ||sum_t w_t g_t||^2`` over ``w_t >= 0``, ``sum_t w_t = 1``. The direction d has ``g_t . d >=
    ||d||^2`` for every task; it is 0 where some convex combination of the gradients is, so a task with a loss but a
    gradient of 0 stops what the tasks share. At the representation this is MGDA-UB (sec. 3.3). The problem is solved
    exactly, as non-negative least squares: the paper's Frank-Wolfe iterations are still up to 6 % above the optimum
    after 250 rounds with five random gradients. Where many weights solve it, as with equal gradients, even ones are
    taken. Heads get the plain gradient of their own loss (ours; the authors' code scales theirs by the weights too).

    Args:
        tasks: the tasks.
        divide_by: what gradients are divided by before the weights are sought: nothing (``"none"``), their length
            (``"l2"``), the loss's absolute value (``"loss"``) or both (``"loss+"``); a divisor of 0 counts as 1. The
            weights then multiply the gradients as they were, as in the authors' code, so that d may hurt a task.
        gradients_at: ``"parameters"`` (the paper's MGDA), ``"parameters_batched"``, or ``"representation"`` (MGDA-UB:
            one backward pass through the trunk).

    Raises:
        UserError: an unknown choice.
    """

    scale = "mean"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        divide_by: Literal["none", "l2", "loss", "loss+"] = "none",
        gradients_at: Level = "parameters",
        **options: Any,
    ) -> None:
        super().__init__(tasks, gradients_at=gradients_at, **options)
        check_choice("divide_by of mgda", divide_by, ("none", "l2", "loss", "loss+"))
        self.divide_by = divide_by

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights on the simplex."""
        divisor = torch.ones_like(losses)
        if self.divide_by in ("l2", "loss+"):
            divisor = divisor * gramian.diagonal().sqrt()
        if self.divide_by in ("loss", "loss+"):
            divisor = divisor * losses.abs()
        divisor = torch.where(divisor == 0, 1.0, divisor)
        return torch.from_numpy(shortest(gramian / divisor / divisor[:, None]))
