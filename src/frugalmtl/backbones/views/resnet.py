"""Residual blocks of ResNets, ResNeXts and RegNets (He et al., 2016; Xie et al., 2017; Radosavovic et al., 2020)."""

from __future__ import annotations

from timm.models import regnet, resnet
from torch import Tensor, nn

from frugalmtl.backbones.views.base import Residual, projection_or_none


class _WithDownsample(Residual):
    """Common to blocks whose projection is called ``downsample``."""

    @property
    def projection(self) -> nn.Module | None:
        """The 1x1 convolution with its norm, where shapes change."""
        return projection_or_none(self.block.downsample)


class BasicBlockView(_WithDownsample):
    """Two 3x3 convolutions."""

    blocks = (resnet.BasicBlock,)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C', h', w']``."""
        block = self.block
        features = block.act1(block.drop_block(block.bn1(block.conv1(state))))
        return _attended(self, block.bn2(block.conv2(block.aa(features))))

    def after(self, state: Tensor) -> Tensor:
        """The last activation."""
        activated: Tensor = self.block.act2(state)
        return activated


class BottleneckView(_WithDownsample):
    """A 3x3 convolution between two 1x1."""

    blocks = (resnet.Bottleneck,)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C', h', w']``."""
        block = self.block
        features = block.act1(block.bn1(block.conv1(state)))
        features = block.aa(block.act2(block.drop_block(block.bn2(block.conv2(features)))))
        return _attended(self, block.bn3(block.conv3(features)))

    def after(self, state: Tensor) -> Tensor:
        """The last activation."""
        activated: Tensor = self.block.act3(state)
        return activated


class RegNetBottleneckView(_WithDownsample):
    """A grouped 3x3 convolution and channel attention between two 1x1."""

    blocks = (regnet.Bottleneck,)

    @property
    def present(self) -> bool:
        """timm has None for a block without shortcut."""
        return self.block.downsample is not None

    def branch(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C', h', w']``."""
        block = self.block
        features: Tensor = block.drop_path(block.conv3(block.se(block.conv2(block.conv1(state)))))
        return features

    def after(self, state: Tensor) -> Tensor:
        """The last activation."""
        activated: Tensor = self.block.act3(state)
        return activated


def _attended(view: Residual, features: Tensor) -> Tensor:
    """Channel attention and stochastic depth, where the block has them."""
    for module in (view.block.se, view.block.drop_path):
        if module is not None:
            features = module(features)
    return features
