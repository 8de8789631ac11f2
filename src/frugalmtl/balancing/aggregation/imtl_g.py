"""A direction that is as long along every gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torchjd.aggregation as torchjd
from torch import Tensor

from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.tasks import Task


class IMTLG(GramianWeightedAggregator):
    """IMTL-G (Liu et al. 2021, IMTL, sec. 3.1): the direction that is as long along every task's gradient.

    The direction ``d = sum_t w_t g_t`` has the same ``d . g_t / ||g_t||`` for every task, with ``sum_t w_t = 1``: ``w =
    v / sum_t v_t`` with ``G v = (||g_1||, ..., ||g_T||)``, by the pseudo-inverse of the inner products G where
    gradients depend on each other. As published, weights may be negative and large, and with three or more tasks of
    very different lengths the sum of v may be negative: then d hurts all tasks alike. Weights are 0 where that sum is
    (opposed gradients). They are computed by torchjd.

    Args:
        tasks: the tasks.
        gradients_at: ``"representation"`` (the paper; one backward pass through the trunk), ``"parameters"``, or
            ``"parameters_batched"``.
        weights: fixed weights of the losses; ``None`` and unnamed tasks take the protocol's, ``"uniform"`` is 1 for
            all.
        normalise: rescale the weights so that they add up to T (``"sum"``) or 1 (``"mean"``, as they do anyway).

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    scale = "mean"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        gradients_at: Literal["representation", "parameters", "parameters_batched"] = "representation",
        weights: dict[str, float] | Literal["uniform"] | None = "uniform",
        normalise: Literal["sum", "mean"] | None = None,
    ) -> None:
        super().__init__(tasks, gradients_at, weights, normalise)
        self.weighting = torchjd.IMTLGWeighting()

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of equal projections."""
        weights: Tensor = self.weighting(gramian)
        return weights
