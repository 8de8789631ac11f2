"""Gradients that hurt each other lose the part that hurts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torchjd.aggregation as torchjd
from torch import Tensor

from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.tasks import Task


class PCGrad(GramianWeightedAggregator):
    """PCGrad (Yu et al. 2020, alg. 1): gradients that hurt each other lose the part that hurts.

    For every task i, and every other task j in random order: if ``g_i . g_j < 0`` then ``g_i -= (g_i . g_j) / ||g_j||^2
    g_j`` with the original ``g_j``; the direction is the sum of the projected gradients. Its weights add up to T or
    more; without conflicts they are all 1. They are computed by torchjd.

    Args:
        tasks: the tasks.
        gradients_at: ``"representation"`` (one backward pass through the trunk; ours), ``"parameters"`` (the paper), or
            ``"parameters_batched"``.
        weights: fixed weights of the losses; ``None`` and unnamed tasks take the protocol's, ``"uniform"`` is 1 for
            all.
        normalise: rescale the weights so that they add up to T (``"sum"``) or 1 (``"mean"``).

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        gradients_at: Literal["representation", "parameters", "parameters_batched"] = "representation",
        weights: dict[str, float] | Literal["uniform"] | None = "uniform",
        normalise: Literal["sum", "mean"] | None = None,
    ) -> None:
        super().__init__(tasks, gradients_at, weights, normalise)
        self.weighting = torchjd.PCGradWeighting()

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the projected gradients' sum."""
        weights: Tensor = self.weighting(gramian)
        return weights
