"""Steered weights of the efficiency losses, so that achieved shares reach their targets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalmtl.core.distributed import average

MEMORY = 0.95
"""Share of the past in the running mean of the achieved shares."""

TOLERANCE = 0.02
"""Distance from its target that a share may have."""

RATE = 0.02
"""Largest change of a factor's logarithm in a step."""

LARGEST = 1000.0
"""Largest factor."""


class Steering(nn.Module):
    r"""A factor on each efficiency loss that grows while the share it is to move is away from its target.

    The squared error of shares is a weak pull (alpha = 1 is fixed in the published code, and the union over tasks
    leaves more on than the targets say). With the running mean a of the achieved share and its target t, every training
    pass sets

        f <- clip(f exp(RATE clip((|a - t| - TOLERANCE) / TOLERANCE, -1, 1)), 1, LARGEST),

    so that f grows by 2 % a step where the share is off by more than twice the tolerance, stays at the tolerance, and
    falls back towards 1 within it. The effective weight is ``alpha f``. This is ours. All of it is held in buffers, so
    that a run that is resumed goes on with it; processes agree on the shares. Passes that only measure do not move it.

    Args:
        targets: t of blocks and of tokens.
        active: whether anything is steered; else the factors stay 1.

    Attributes:
        running_statistics: tells the engine that training passes move the buffers.
        factor: f of blocks and of tokens, ``[2]``.
        achieved: a, ``[2]``.
    """

    running_statistics = True
    factor: Tensor
    achieved: Tensor
    targets: Tensor

    def __init__(self, targets: tuple[float, float], *, active: bool) -> None:
        super().__init__()
        self.active = active
        self.register_buffer("factor", torch.ones(2))
        self.register_buffer("achieved", torch.tensor(targets))
        self.register_buffer("targets", torch.tensor(targets), persistent=False)

    @torch.no_grad()
    def observe(self, shares: Tensor) -> None:
        """Take the shares of blocks and tokens of a training pass, ``[B, 2]``."""
        if not self.active:
            return
        self.achieved.lerp_(average(shares.detach().float().mean(0)), 1.0 - MEMORY)
        excess = ((self.achieved - self.targets).abs() - TOLERANCE) / TOLERANCE
        self.factor.mul_((RATE * excess.clamp(-1.0, 1.0)).exp()).clamp_(1.0, LARGEST)

    def penalties(self, shares: Tensor) -> Tensor:
        """Losses of blocks and tokens, ``[2]``: the squared error of each image's shares, its mean, times the factor.

        Args:
            shares: ``[B, 2]``.
        """
        return self.factor.clone() * (shares.float() - self.targets).square().mean(0)
