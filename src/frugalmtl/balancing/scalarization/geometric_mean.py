"""Geometric loss strategy: the geometric mean of the losses (Chennupati et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.distributed import average


class GeometricMean(Scalarizer):
    """Geometric loss strategy (Chennupati et al. 2019): the geometric mean of the losses instead of their sum.

    ``L = (prod_t L_t)^(1/T)``. Its gradient is ``sum_t w_t dL_t`` with ``w_t = L / (T L_t)``, and these are the
    weights, as numbers: every task moves by the relative change of its loss. With several processes the losses in w are
    the means over them, so that the update is that of one process with the joint batch.

    A task without labels in the (joint) batch has a loss of exactly 0, which would make the product 0; it is left out
    and T counts the others (our choice; the paper has full labels). Fixed weights of the losses change the length of
    the update, not its direction; a weight of 0 leaves the task out.
    """

    scale = "free"

    def weigh(self, losses: Tensor) -> Tensor:
        """``L / (T L_t)``, found from logarithms, for a product may overflow."""
        joint = average(losses)
        smallest = torch.finfo(joint.dtype).tiny
        labelled = joint >= smallest
        logs = joint.clamp(min=smallest).log()
        count = labelled.sum().clamp(min=1)
        mean = (logs * labelled).sum() / count
        return torch.exp(mean - logs).where(labelled, 0.0) / count
