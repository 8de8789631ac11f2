"""Residual blocks of MobileNets, EfficientNets and their kin (Sandler et al., 2018; Tan and Le, 2019)."""

from __future__ import annotations

import torch
from timm.models import _efficientnet_blocks as timm_blocks
from torch import Tensor
from torch.nn import functional as F

from frugalmtl.backbones.views.base import Residual


class _MaybeSkipped(Residual):
    """Common to blocks that have a shortcut only where input and output have one shape."""

    @property
    def present(self) -> bool:
        """What timm decided when it built the block."""
        return bool(self.block.has_skip)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        dropped: Tensor = self.block.drop_path(self.layers(state))
        return dropped

    def layers(self, state: Tensor) -> Tensor:
        """The branch without stochastic depth."""
        raise NotImplementedError


class ConvBnActView(_MaybeSkipped):
    """One convolution with its norm and activation."""

    blocks = (timm_blocks.ConvBnAct,)

    def layers(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        block = self.block
        features: Tensor = block.aa(block.bn1(block.conv(state)))
        return features


class DepthwiseSeparableView(_MaybeSkipped):
    """A depthwise and a 1x1 convolution."""

    blocks = (timm_blocks.DepthwiseSeparableConv,)

    def layers(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        block = self.block
        if block.conv_s2d is not None:
            state = block.bn_s2d(block.conv_s2d(state))
        features = block.se(block.aa(block.bn1(block.conv_dw(state))))
        reduced: Tensor = block.bn2(block.conv_pw(features))
        return reduced


class InvertedResidualView(_MaybeSkipped):
    """A depthwise convolution between two 1x1."""

    blocks = (timm_blocks.InvertedResidual,)

    def layers(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        block = self.block
        if block.conv_s2d is not None:
            state = block.bn_s2d(block.conv_s2d(state))
        features = block.bn1(block.conv_pw(state))
        features = block.se(block.aa(block.bn2(block.conv_dw(features))))
        reduced: Tensor = block.bn3(block.conv_pwl(features))
        return reduced


class CondConvResidualView(_MaybeSkipped):
    """An inverted residual whose convolutions are mixed anew for every image (Yang et al., 2019)."""

    blocks = (timm_blocks.CondConvResidual,)

    def layers(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        block = self.block
        shares = torch.sigmoid(block.routing_fn(F.adaptive_avg_pool2d(state, 1).flatten(1)))
        features = block.bn1(block.conv_pw(state, shares))
        features = block.se(block.bn2(block.conv_dw(features, shares)))
        reduced: Tensor = block.bn3(block.conv_pwl(features, shares))
        return reduced


class EdgeResidualView(_MaybeSkipped):
    """A full convolution that expands, and a 1x1 that reduces."""

    blocks = (timm_blocks.EdgeResidual,)

    def layers(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        block = self.block
        features = block.se(block.aa(block.bn1(block.conv_exp(state))))
        reduced: Tensor = block.bn2(block.conv_pwl(features))
        return reduced


class UniversalInvertedResidualView(_MaybeSkipped):
    """An inverted residual with depthwise convolutions at up to three places (Qin et al., 2024)."""

    blocks = (timm_blocks.UniversalInvertedResidual,)

    def layers(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        block = self.block
        features = block.se(block.dw_mid(block.pw_exp(block.dw_start(state))))
        reduced: Tensor = block.layer_scale(block.dw_end(block.pw_proj(features)))
        return reduced


class MobileAttentionView(_MaybeSkipped):
    """Attention over positions behind a norm; a positional encoding, if there is one, is part of the branch."""

    blocks = (timm_blocks.MobileAttention,)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, C, h, w]`` -> ``[B, C, h, w]``."""
        block = self.block
        if block.conv_cpe_dw is None:
            attended: Tensor = block.drop_path(block.layer_scale(block.attn(block.norm(state))))
            return attended
        encoded: Tensor = block.conv_cpe_dw(state)
        attended = block.drop_path(block.layer_scale(block.attn(block.norm(state + encoded))))
        return encoded + attended
