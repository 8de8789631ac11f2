"""Pooled head, for tasks without a map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head


class Pooled(Head):
    """Global average of the coarsest level, then one linear layer (He et al. 2016, sec. 3.3).

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: length of the prediction.
    """

    dense = False

    def __init__(self, channels: Sequence[int], strides: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.stride = strides[-1]
        self.out = nn.Linear(channels[-1], outputs)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs]``."""
        prediction: Tensor = self.out(pyramid[-1].mean(dim=(2, 3)))
        return prediction
