"""Aligned-MTL: gradients made orthogonal and equally long (Senushkin et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from frugalmtl.balancing.aggregation._solvers.cones import Array, lengths_and_units, singular_vectors
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.balancing.base import check_choice
from frugalmtl.tasks import Task


class AlignedMTL(GramianWeightedAggregator):
    """Aligned-MTL (Senushkin et al. 2023): gradients are made orthogonal and equally long, then averaged.

    The gradients are replaced by the nearest ones with a condition number of 1: ``J^ = sigma U V^T`` for the singular
    value decomposition ``J = U S V^T``, cut to the rank of J. The direction is their mean; in terms of the gradients as
    they were its weights are ``sigma U S^-1 U^T (1/T, ..., 1/T)``, which may be negative. Gradients whose cosines
    differ from -1 or 1 by what sums in float32 leave count as parallel (ours). With gradients at the representation
    this is the paper's Aligned-MTL-UB, at the parameters its Aligned-MTL.

    Args:
        tasks: the tasks.
        scale_mode: sigma: the smallest singular value that is not 0 (``"min"``; the paper), the median of these, or
            their root mean square (``"rmse"``).

    Raises:
        UserError: an unknown choice.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        scale_mode: Literal["min", "median", "rmse"] = "min",
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        check_choice("scale_mode of aligned_mtl", scale_mode, ("min", "median", "rmse"))
        self.scale_mode = scale_mode

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the aligned gradients' mean."""
        lengths, units = lengths_and_units(gramian)
        u, values = singular_vectors(lengths, units)
        even = np.full(len(lengths), 1.0 / len(lengths))
        return torch.from_numpy(self._scale(values) * (u / values) @ (u.T @ even))

    def _scale(self, values: Array) -> float:
        """Singular values, falling -> sigma; of an even number, the lower one of the middle."""
        if self.scale_mode == "rmse":
            return float(np.sqrt(np.mean(values**2)))
        return float(values[-1] if self.scale_mode == "min" else values[len(values) // 2])
