"""Fusion of all levels of a pyramid in one map: the HRNet head without its last convolution (Wang et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.core.types import Pyramid
from frugalmtl.layers.blocks import conv_bn_relu
from frugalmtl.layers.folding import folded, select_inputs


class PyramidFusion(nn.Module):
    """Levels resized to the finest, concatenated, 1x1 convolution (with bias), batch normalisation, ReLU.

    The head of HRNet (Sun et al. 2019, "High-resolution representations for labeling pixels and regions", HRNetV2), as
    the survey (Vandenhende et al. 2021) uses it. Levels ``[B, C_l, H/s_l, W/s_l]`` -> ``[B, width, H/s_0, W/s_0]``.

    Args:
        channels: channels of the levels, finest first.
        strides: strides of the levels.
        width: channels of the fused map; the sum of ``channels`` (the survey's choice) if None.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int | None = None) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.width = sum(channels) if width is None else width
        self.mix = conv_bn_relu(sum(channels), self.width, bias=True)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> fused map ``[B, width, h_0, w_0]``."""
        finest = pyramid[0].shape[-2:]
        maps = [
            level
            if level.shape[-2:] == finest
            else F.interpolate(level, size=finest, mode="bilinear", align_corners=False)
            for level in pyramid
        ]
        fused: Tensor = self.mix(torch.cat(maps, dim=1))
        return fused

    def deploy(self) -> nn.Module:
        """The same map with the convolution moved before the resizing (see :class:`LevelwiseFusion`)."""
        conv = folded(cast(nn.Conv2d, self.mix[0]), cast(nn.BatchNorm2d, self.mix[1]))
        return LevelwiseFusion(conv, self.channels, self.strides)


class LevelwiseFusion(nn.Module):
    """Deployed :class:`PyramidFusion`: each level is convolved at its own resolution, then resized and added.

    A 1x1 convolution and bilinear resizing commute (one mixes channels, the other positions, and the weights of the
    latter sum to 1), so ``conv(cat_l resize(x_l)) = sum_l resize(conv_l(x_l)) + bias``. A level at stride ``r`` times
    the finest then takes ``r^2`` times fewer multiply-adds. Levels of equal stride share one convolution.
    """

    def __init__(self, conv: nn.Conv2d, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.groups: list[list[int]] = [
            [level for level, other in enumerate(strides) if other == stride] for stride in dict.fromkeys(strides)
        ]
        starts = [sum(channels[:level]) for level in range(len(channels))]
        self.convs = nn.ModuleList(
            select_inputs(
                conv,
                [starts[level] + offset for level in group for offset in range(channels[level])],
                bias=index == 0,
            )
            for index, group in enumerate(self.groups)
        )

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> fused map ``[B, width, h_0, w_0]``."""
        finest = pyramid[0].shape[-2:]
        finest_map, *coarser = (
            conv(torch.cat([pyramid[level] for level in group], dim=1) if len(group) > 1 else pyramid[group[0]])
            for group, conv in zip(self.groups, self.convs, strict=True)
        )
        total: Tensor = finest_map
        for part in coarser:  # in place: the maps are large and the additions bound by memory
            total += F.interpolate(part, size=finest, mode="bilinear", align_corners=False)
        return F.relu(total, inplace=True)
