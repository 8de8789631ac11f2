"""UPGrad: unconflicting projection of gradients (Quinton and Rey, 2024)."""

from __future__ import annotations

import numpy as np
import torch
import torchjd.aggregation as torchjd
from torch import Tensor, nn
from torchjd.linalg import DualConeProjector

from frugalmtl.balancing.aggregation._solvers.cones import lengths_and_units, projected
from frugalmtl.balancing.aggregation._solvers.weighting import TorchJDAggregator


class UPGrad(TorchJDAggregator):
    """UPGrad (Quinton and Rey 2024, eq. 4): every gradient is turned until it hurts no task, then they are averaged.

    Each gradient is projected onto the dual cone of all, ``{d : g_t . d >= 0 for all t}``; the direction is the mean of
    the projections, so it lies in the cone. Its weights add up to 1 or more; without conflicts they are all 1 / T. The
    weights are computed by torchjd, with a projector of ours: its own adds 1e-4 to the diagonal of the inner products,
    which leaves conflicts of that order and overlooks tasks with short gradients; ours solves the same problem by
    non-negative least squares. The paper takes the gradients at the parameters.
    """

    scale = "free"

    @staticmethod
    def make_weighting() -> nn.Module:
        """torchjd's weighting, with our projector."""
        return torchjd.UPGradWeighting(projector=ExactProjector())


class ExactProjector(DualConeProjector):
    """Projects onto the dual cone without regularisation."""

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:  # noqa: N803  # torchjd's names
        """Weights ``[..., T]`` of vectors, inner products ``[T, T]`` -> weights of their projections ``[..., T]``."""
        lengths, units = lengths_and_units(G)
        rows = U.double().reshape(-1, len(lengths)).numpy()
        return torch.from_numpy(np.stack([projected(lengths, units, row) for row in rows])).reshape(U.shape)
