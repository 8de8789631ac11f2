"""Feature pyramid network: scales out of any levels (Lin et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.core.types import Pyramid


class FeaturePyramid(nn.Module):
    """Maps of one width at strides that are asked for, from levels of any strides.

    Each scale reads the deepest level that is as fine as itself or finer (the first level where none is) by a 1x1
    convolution, resized to the scale; then coarser scales are added to finer ones, and every sum passes a 3x3
    convolution (Lin et al. 2017, arXiv:1612.03144, section 3, whose levels double by themselves). Dilated networks have
    several levels of one stride, plain Vision Transformers only one: resizing them is a choice of ours, after Li et al.
    2022 (arXiv:2203.16527), section 3, who build all scales of a plain Transformer from its last map.

    Args:
        channels: channels of the levels.
        strides: strides of the levels, never falling.
        width: channels of the scales.
        scales: strides of the scales, rising.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.levels = [max([0, *(i for i, s in enumerate(strides) if s <= stride)]) for stride in scales]
        self.lateral = nn.ModuleList(nn.Conv2d(channels[level], width, 1) for level in self.levels)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in self.levels)
        self.ratios = [strides[level] / stride for level, stride in zip(self.levels, scales, strict=True)]

    def forward(self, pyramid: Pyramid) -> Pyramid:
        """Levels ``[B, C_l, H/s_l, W/s_l]`` -> scales ``[B, width, H/s, W/s]``, finest first."""
        maps: list[Tensor] = [
            _scaled(conv(pyramid[level]), ratio)
            for level, conv, ratio in zip(self.levels, self.lateral, self.ratios, strict=True)
        ]
        for scale in reversed(range(len(maps) - 1)):
            maps[scale] = maps[scale] + _resized(maps[scale + 1], maps[scale])
        return [conv(item) for conv, item in zip(self.smooth, maps, strict=True)]


def doubling(strides: Sequence[int]) -> bool:
    """Whether every level is half as fine as the one before it.

    >>> doubling([4, 8, 16, 32]), doubling([4, 8, 8, 8])
    (True, False)
    """
    return all(fine * 2 == coarse for fine, coarse in pairwise(strides))


def _resized(item: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(item, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _scaled(item: Tensor, ratio: float) -> Tensor:
    if ratio == 1:
        return item
    if ratio > 1:
        return F.interpolate(item, scale_factor=ratio, mode="bilinear", align_corners=False)
    side = round(1 / ratio)
    return F.avg_pool2d(item, side, ceil_mode=True)
