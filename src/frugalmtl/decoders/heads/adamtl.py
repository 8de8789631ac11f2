"""AdaMTL head: residual blocks on every level, fused at the finest (Neseem et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head
from frugalmtl.layers.blocks import basic_block
from frugalmtl.layers.fusion import PyramidFusion


class AdaMTL(Head):
    """Two residual blocks per level, all levels resized to the finest and concatenated, 1x1, normalisation, ReLU, 1x1.

    A residual block has two 3x3 convolutions of ``width`` channels; where a level has another width, its first block
    has a 1x1 convolution on the shortcut.

    Source: Neseem, Agiza, Reda, "AdaMTL: Adaptive Input-dependent Inference for Efficient Multi-Task Learning" (CVPR
    Workshops 2023), section 3, and its code, where ``width`` is half of the decoder's dimension (128 for Swin-T, 256
    else) and the levels are those after patch merging (a Swin backbone with ``pyramid: merged``: strides 8, 16, 32,
    32). The code reshapes tokens to maps by a view, which scatters channels over positions; the maps here are the
    transposed ones. That levels are resized bilinearly is our choice.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: channels of the prediction.
        width: channels of the blocks and of the fused map.
        blocks: residual blocks per level.

    Raises:
        UserError: ``width`` is not positive, or there is no block.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        outputs: int,
        *,
        width: int = 64,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        positive("width", width)
        if blocks < 1:
            raise UserError(f"blocks must be 1 or more, but got {blocks}: the head hrnet has none")
        self.stride = strides[0]
        self.levels = nn.ModuleList(
            nn.Sequential(*(basic_block(width if number else level, width) for number in range(blocks)))
            for level in channels
        )
        self.fuse: nn.Module = PyramidFusion([width] * len(channels), strides, width)
        self.out = nn.Conv2d(width, outputs, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, h, w]`` of the finest level."""
        refined = [level(features) for level, features in zip(self.levels, pyramid, strict=True)]
        prediction: Tensor = self.out(self.fuse(refined))
        return prediction

    def deploy(self) -> nn.Module:
        """Convolves each level at its own resolution (see :class:`~frugalmtl.layers.fusion.LevelwiseFusion`)."""
        if isinstance(self.fuse, PyramidFusion):
            self.fuse = self.fuse.deploy()
        return self
