"""The product of the losses instead of their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.distributed import average
from frugalmtl.tasks import Task


class GeometricMean(Scalarizer):
    """Geometric loss strategy (Chennupati et al. 2019): the geometric mean of the losses instead of their sum.

    ``L = (prod_t L_t)^(1/T)``. Its gradient is ``sum_t w_t dL_t`` with ``w_t = L / (T L_t)``, and these are the
    weights, as numbers: every task moves by the relative change of its loss. With several processes the losses in w are
    the means over them, so that the update is that of one process with the joint batch.

    A task without labels in the (joint) batch has a loss of exactly 0, which would make the product 0; it is left out
    and T counts the others (our choice; the paper has full labels).

    Args:
        tasks: the tasks.
        weights: fixed weights that multiply the losses before; 1 unless given. They change the length of the update,
            not its direction; a weight of 0 leaves the task out.
        normalise: rescale the weights so that they add up to T (``"sum"``) or 1 (``"mean"``).

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        weights: dict[str, float] | Literal["uniform"] | None = "uniform",
        normalise: Literal["sum", "mean"] | None = None,
    ) -> None:
        super().__init__(tasks, weights, normalise)

    def weigh(self, losses: Tensor) -> Tensor:
        """``L / (T L_t)``, found from logarithms, for a product may overflow."""
        joint = average(losses)
        smallest = torch.finfo(joint.dtype).tiny
        there = joint >= smallest
        logs = joint.clamp(min=smallest).log()
        count = there.sum().clamp(min=1)
        mean = (logs * there).sum() / count
        return torch.exp(mean - logs).where(there, 0.0) / count
