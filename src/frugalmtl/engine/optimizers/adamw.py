"""Adam with decoupled weight decay."""

from __future__ import annotations

import torch

from frugalmtl.engine.optimizers.base import Groups, check_rates


def adamw(
    groups: Groups, *, lr: float = 1e-4, weight_decay: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019).

    Args:
        groups: parameters.
        lr: learning rate.
        weight_decay: share of the weight, times ``lr``, that every step takes away.
        betas: decay of the running means of the gradient and its square.
    """
    check_rates(lr, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, betas=betas)
