"""Residual blocks of ConvNeXts (Liu et al., 2022)."""

from __future__ import annotations

from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn

from frugalmtl.backbones.views.base import Residual, projection_or_none


class ConvNeXtBlockView(Residual):
    """A depthwise convolution, a norm and an MLP, scaled per channel."""

    blocks = (ConvNeXtBlock,)

    @property
    def projection(self) -> nn.Module | None:
        """The pooled 1x1 convolution, where shapes change."""
        return projection_or_none(self.block.shortcut)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C', h', w']``."""
        block = self.block
        features: Tensor = block.conv_dw(state)
        if block.use_conv_mlp:
            features = block.mlp(block.norm(features))
        else:
            features = block.mlp(block.norm(features.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        if block.gamma is not None:
            features = features.mul(block.gamma.reshape(1, -1, 1, 1))
        scaled: Tensor = block.drop_path(features)
        return scaled
