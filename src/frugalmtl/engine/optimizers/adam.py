"""Adam."""

from __future__ import annotations

import torch

from frugalmtl.engine.optimizers.base import Groups, check_rates


def adam(
    groups: Groups, *, lr: float = 1e-4, weight_decay: float = 1e-4, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Adam with L2 penalty (Kingma and Ba 2015); defaults of the survey on NYUD (Vandenhende et al. 2021).

    Args:
        groups: parameters.
        lr: learning rate.
        weight_decay: factor of the L2 penalty's gradient.
        betas: decay of the running means of the gradient and its square.
    """
    check_rates(lr, weight_decay)
    return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay, betas=betas)
