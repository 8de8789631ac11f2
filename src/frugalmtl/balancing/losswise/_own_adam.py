"""Adam for weights that a balancer moves by itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from frugalmtl.core.checks import UserError, fraction, positive


class OwnAdam(nn.Module):
    """Adam (Kingma and Ba 2015) of one tensor; the update is torch's, the state lies in buffers.

    The tensor is a buffer of the balancer rather than a parameter, so that the run's optimiser, its clipping and its
    loss scaler leave it alone; with the moments and the count of steps here it is in every checkpoint.

    Args:
        values: what will be updated, for shape, type and device.
        lr: learning rate.
        weight_decay: factor of the L2 penalty's gradient.
        betas: decay of the running means of the gradient and its square.
        eps: added to the root of the latter.

    Raises:
        UserError: a number is out of range.
    """

    def __init__(
        self,
        values: Tensor,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        self.lr = positive("lr", lr)
        if not weight_decay >= 0:
            raise UserError(f"weight_decay must be 0 or more, but got {weight_decay!r}")
        self.weight_decay, self.eps = weight_decay, eps
        self.betas = (fraction("the first beta", betas[0]), fraction("the second beta", betas[1]))
        self.register_buffer("mean", torch.zeros_like(values))
        self.register_buffer("square", torch.zeros_like(values))
        self.register_buffer("steps", torch.zeros(()))
        self.mean: Tensor
        self.square: Tensor
        self.steps: Tensor

    @torch.no_grad()
    def forward(self, values: Tensor, gradient: Tensor) -> None:
        """Move ``values``, in place, against the gradient."""
        adam(
            [values],
            [gradient.to(values)],
            [self.mean],
            [self.square],
            [],
            [self.steps],
            foreach=False,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )
