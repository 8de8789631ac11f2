"""Linear head: one convolution."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head


class Linear(Head):
    """One 1x1 convolution on the coarsest level: the cheapest head, and the probe of what features hold.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: channels of the prediction.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.stride = strides[-1]
        self.out = nn.Conv2d(channels[-1], outputs, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, h, w]`` of the coarsest level."""
        prediction: Tensor = self.out(pyramid[-1])
        return prediction
