"""Residual blocks of CIFAR ResNets (He et al., 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from frugalmtl.backbones.cifar_resnet import Block
from frugalmtl.backbones.views.base import Residual, projection_or_none


class CifarBlockView(Residual):
    """Two 3x3 convolutions; the shortcut pads channels (option A) or projects (option B) where shapes change."""

    blocks = (Block,)

    @property
    def projection(self) -> nn.Module | None:
        """The shortcut of option A or B."""
        return projection_or_none(self.block.downsample)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C', h', w']``."""
        block = self.block
        features: Tensor = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(state)))))
        return features

    def after(self, state: Tensor) -> Tensor:
        """The last ReLU."""
        activated: Tensor = self.block.relu(state)
        return activated
