"""IMTL-G: a direction with equal projections onto all gradients (Liu et al., 2021)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from frugalmtl.balancing.aggregation._solvers.cones import ROUNDING, lengths_and_units, singular_vectors
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator


class IMTLG(GramianWeightedAggregator):
    """IMTL-G (Liu et al. 2021, IMTL, sec. 3.1): the direction that is as long along every task's gradient.

    The direction ``d = sum_t w_t g_t`` has the same ``d . g_t / ||g_t||`` for every task, with ``sum_t w_t = 1``: ``w =
    v / sum_t v_t`` with ``G v = (||g_1||, ..., ||g_T||)``, by the pseudo-inverse of the inner products G where
    gradients depend on each other, up to what sums in float32 leave (ours). As published, weights may be negative and
    large, and with three or more tasks of very different lengths the sum of v may be negative: then d hurts all tasks
    alike. Weights are 0 where that sum is but for rounding (opposed gradients of about one length). The gradients are
    those at the representation in the paper too.
    """

    scale = "mean"

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights that add up to 1, or are all 0."""
        lengths, units = lengths_and_units(gramian)
        u, values = singular_vectors(lengths, units)
        solution = (u / values**2) @ (u.T @ lengths)
        total = float(solution.sum())
        vanishes = abs(total) <= ROUNDING * float(lengths.sum()) / float(values[0]) ** 2
        return torch.from_numpy(np.zeros_like(solution) if vanishes else solution / total)
