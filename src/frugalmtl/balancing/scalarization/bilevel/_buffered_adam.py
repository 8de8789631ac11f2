"""Adam with its state in buffers (Kingma and Ba, 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from frugalmtl.core.checks import UserError, not_negative, positive


class BufferedAdam(nn.Module):
    """Adam (Kingma and Ba 2015) of one tensor; the update is torch's, the state lies in buffers.

    The tensor is a buffer of the balancer rather than a parameter, so that the run's optimiser, its clipping and its
    loss scaler leave it alone; with the moments and the count of steps here it is in every checkpoint.

    Args:
        values: what will be updated, for shape, type and device.
        method: whose it is, for messages.
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
        method: str,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        self.lr = positive(f"lr of {method}", lr)
        self.weight_decay = not_negative(f"weight_decay of {method}", weight_decay)
        self.eps = positive(f"eps of {method}", eps)
        if not all(0 <= beta < 1 for beta in betas):
            raise UserError(f"betas of {method} must be 0 or more and below 1, but got {betas!r}")
        self.betas = betas
        self.register_buffer("mean", torch.zeros_like(values))
        self.register_buffer("square", torch.zeros_like(values))
        self.register_buffer("steps", torch.zeros(()))
        self.mean: Tensor
        self.square: Tensor
        self.steps: Tensor

    @torch.no_grad()
    def forward(self, values: Tensor, gradient: Tensor, valid: Tensor, moving: Tensor | None = None) -> None:
        """Move ``values``, in place, against the gradient.

        Args:
            values: the tensor.
            gradient: of the same shape.
            valid: a boolean scalar; where it is false, values and state stay as they are. On a GPU the decision is
                made there.
            moving: bool, of the same shape; the other values and their moments stay as they are. None for all.
        """
        state = (values, self.mean, self.square)
        before = [] if moving is None else [tensor.clone() for tensor in state]
        self._move(values, gradient, valid)
        if moving is not None:
            for tensor, old in zip(state, before, strict=True):
                tensor.copy_(torch.where(moving, tensor, old))

    def _move(self, values: Tensor, gradient: Tensor, valid: Tensor) -> None:
        on_gpu = values.device.type != "cpu"
        if not on_gpu and not bool(valid):
            return
        adam(
            [values],
            [gradient.to(values)],
            [self.mean],
            [self.square],
            [],
            [self.steps],
            foreach=False,
            fused=on_gpu,
            found_inf=(~valid).float() if on_gpu else None,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )
