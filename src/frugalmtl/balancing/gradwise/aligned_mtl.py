"""Gradients made orthogonal and equally long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torchjd.aggregation as torchjd
from torch import Tensor

from frugalmtl.balancing.base import check_choice
from frugalmtl.balancing.gradwise.base import WeightingBalancer
from frugalmtl.tasks import Task


class AlignedMTL(WeightingBalancer):
    """Independent component alignment (Senushkin et al. 2023, algorithm 1); torchjd's.

    The gradients are replaced by the nearest ones with a condition number of 1: ``J^ = sigma U V^T`` for the singular
    value decomposition ``J = U S V^T``, cut to the rank of J. The direction is their mean; in terms of the gradients as
    they were its weights are ``sigma U S^-1 U^T (1/T, ..., 1/T)``, which may be negative.

    Args:
        tasks: the tasks.
        scale_mode: sigma: the smallest singular value that is not 0 (``"min"``; the paper), the median of these, or
            their root mean square (``"rmse"``).
        gradients_at: ``"representation"`` (the paper's Aligned-MTL-UB; one backward pass through the trunk),
            ``"parameters"`` (Aligned-MTL), or ``"parameters_batched"``.
        weights: fixed weights of the losses; ``None`` and unnamed tasks take the protocol's, ``"uniform"`` is 1 for
            all.
        normalise: rescale the weights so that they add up to T (``"sum"``) or 1 (``"mean"``).

    Raises:
        UserError: a weight for an unknown task, or below 0, or an unknown choice.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        scale_mode: Literal["min", "median", "rmse"] = "min",
        gradients_at: Literal["representation", "parameters", "parameters_batched"] = "representation",
        weights: dict[str, float] | Literal["uniform"] | None = "uniform",
        normalise: Literal["sum", "mean"] | None = None,
    ) -> None:
        super().__init__(tasks, gradients_at, weights, normalise)
        check_choice("scale_mode", scale_mode, ("min", "median", "rmse"))
        self.weighting = torchjd.AlignedMTLWeighting(scale_mode=scale_mode)

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the aligned gradients' mean."""
        weights: Tensor = self.weighting(gramian)
        return weights
