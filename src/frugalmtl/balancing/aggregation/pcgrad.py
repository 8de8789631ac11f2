"""PCGrad: projecting conflicting gradients (Yu et al., 2020)."""

from __future__ import annotations

import torchjd.aggregation as torchjd
from torch import nn

from frugalmtl.balancing.aggregation._solvers.weighting import TorchJDAggregator


class PCGrad(TorchJDAggregator):
    """PCGrad (Yu et al. 2020, alg. 1): gradients that hurt each other lose the part that hurts.

    For every task i, and every other task j in random order: if ``g_i . g_j < 0`` then ``g_i -= (g_i . g_j) / ||g_j||^2
    g_j`` with the original ``g_j``; the direction is the sum of the projected gradients. Its weights add up to T or
    more; without conflicts they are all 1. They are computed by torchjd. The paper takes the gradients at the
    parameters.
    """

    scale = "free"

    @staticmethod
    def make_weighting() -> nn.Module:
        """torchjd's weighting."""
        return torchjd.PCGradWeighting()
