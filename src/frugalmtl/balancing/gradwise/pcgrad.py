"""Gradients that hurt each other lose the part that hurts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torchjd.aggregation as torchjd
from torch import Tensor

from frugalmtl.balancing.gradwise.base import GradientBalancer
from frugalmtl.tasks import Task


class PCGrad(GradientBalancer):
    """Projecting conflicting gradients (Yu et al. 2020, algorithm 1); the projection is torchjd's.

    For every task i, and every other task j in random order: if ``g_i . g_j < 0`` then ``g_i -= (g_i . g_j) / ||g_j||^2
    g_j`` with the original ``g_j``; the direction is the sum of the projected gradients.

    Args:
        tasks: the tasks.
        gradients_at: ``"representation"`` (one backward pass through the trunk; ours) or ``"parameters"`` (the paper).
        weights: fixed weights of the losses; ``None`` and unnamed tasks take the protocol's, ``"uniform"`` is 1 for
            all.

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        gradients_at: Literal["representation", "parameters"] = "representation",
        weights: dict[str, float] | Literal["uniform"] | None = None,
    ) -> None:
        super().__init__(tasks, gradients_at, weights)
        self.aggregator = torchjd.PCGrad()

    def aggregate(self, gradients: Tensor) -> Tensor:
        """Sum of the projected gradients."""
        direction: Tensor = self.aggregator(gradients)
        return direction
