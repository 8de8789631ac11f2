"""Every gradient is turned until it hurts no task; their mean is the direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torchjd.aggregation as torchjd
from torch import Tensor
from torchjd.linalg import DualConeProjector

from frugalmtl.balancing.aggregation._cones import lengths_and_units, projected
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.tasks import Task


class UPGrad(GramianWeightedAggregator):
    """UPGrad (Quinton and Rey 2024, eq. 4): every gradient is turned until it hurts no task, then they are averaged.

    Each gradient is projected onto the dual cone of all, ``{d : g_t . d >= 0 for all t}``; the direction is the mean of
    the projections, so it lies in the cone. Its weights add up to 1 or more; without conflicts they are all 1 / T. The
    weights are computed by torchjd, with a projector of ours: its own adds 1e-4 to the diagonal of the inner products,
    which leaves conflicts of that order and overlooks tasks with short gradients; ours solves the same problem by
    non-negative least squares.

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
        self.weighting = torchjd.UPGradWeighting(projector=ExactProjector())

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the mean of the projected gradients."""
        weights: Tensor = self.weighting(gramian)
        return weights


class ExactProjector(DualConeProjector):
    """Projects onto the dual cone without regularisation."""

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:  # noqa: N803  # torchjd's names
        """Weights ``[..., T]`` of vectors, inner products ``[T, T]`` -> weights of their projections ``[..., T]``."""
        lengths, units = lengths_and_units(G)
        rows = U.double().reshape(-1, len(lengths)).numpy()
        return torch.from_numpy(np.stack([projected(lengths, units, row) for row in rows])).reshape(U.shape)
