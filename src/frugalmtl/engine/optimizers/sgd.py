"""Stochastic gradient descent."""

from __future__ import annotations

import torch

from frugalmtl.core.checks import fraction
from frugalmtl.engine.optimizers.base import Groups, check_rates


def sgd(
    groups: Groups, *, lr: float = 1e-3, weight_decay: float = 1e-4, momentum: float = 0.9, nesterov: bool = False
) -> torch.optim.Optimizer:
    """SGD with momentum and L2 penalty; defaults of the survey's cross-stitch networks (Vandenhende et al. 2021).

    Args:
        groups: parameters.
        lr: learning rate.
        weight_decay: factor of the L2 penalty's gradient.
        momentum: share of the last update that is kept.
        nesterov: look ahead by the momentum; needs ``momentum`` above 0.
    """
    check_rates(lr, weight_decay)
    fraction("momentum", momentum)
    return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov)
