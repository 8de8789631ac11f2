"""IMTL-G: a direction with equal projections onto all gradients (Liu et al., 2021)."""

from __future__ import annotations

import torchjd.aggregation as torchjd
from torch import nn

from frugalmtl.balancing.aggregation._solvers.weighting import TorchJDAggregator


class IMTLG(TorchJDAggregator):
    """IMTL-G (Liu et al. 2021, IMTL, sec. 3.1): the direction that is as long along every task's gradient.

    The direction ``d = sum_t w_t g_t`` has the same ``d . g_t / ||g_t||`` for every task, with ``sum_t w_t = 1``: ``w =
    v / sum_t v_t`` with ``G v = (||g_1||, ..., ||g_T||)``, by the pseudo-inverse of the inner products G where
    gradients depend on each other. As published, weights may be negative and large, and with three or more tasks of
    very different lengths the sum of v may be negative: then d hurts all tasks alike. Weights are 0 where that sum is
    (opposed gradients). They are computed by torchjd. The gradients are those at the representation in the paper too.
    """

    scale = "mean"

    @staticmethod
    def make_weighting() -> nn.Module:
        """torchjd's weighting."""
        return torchjd.IMTLGWeighting()
