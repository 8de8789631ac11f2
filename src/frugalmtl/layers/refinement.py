"""Fusion of the levels of a pyramid from coarse to fine, with residual units (RefineNet, as DPT simplifies it)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.layers.folding import folded


class ResidualUnit(nn.Module):
    """``x + conv(relu(conv(relu(x))))`` with 3x3 convolutions, batch normalisation after each if asked for.

    Source: Lin et al., "RefineNet" (CVPR 2017), section 3.2 (residual conv unit).

    Args:
        width: channels.
        norm: normalise after each convolution, which then has no bias.
    """

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=not norm)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=not norm)
        self.norm1: nn.Module = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.norm2: nn.Module = nn.BatchNorm2d(width) if norm else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """``[B, width, h, w]`` -> the same shape."""
        inner = self.norm1(self.conv1(F.relu(maps)))
        added: Tensor = maps + self.norm2(self.conv2(F.relu(inner)))
        return added

    def fold(self) -> None:
        """Normalisation into the convolutions; in place."""
        if isinstance(self.norm1, nn.BatchNorm2d) and isinstance(self.norm2, nn.BatchNorm2d):
            self.conv1, self.conv2 = folded(self.conv1, self.norm1), folded(self.conv2, self.norm2)
            self.norm1, self.norm2 = nn.Identity(), nn.Identity()


class Refinement(nn.Module):
    """One step from coarse to fine: add a level to what came from below it, refine, upsample, mix channels.

    ``y = mix(up(unit(coarse + unit(level))))``; at the coarsest level, where nothing comes from below,
    ``y = mix(up(unit(level)))``.

    Source: Ranftl et al., "Vision Transformers for Dense Prediction" (ICCV 2021), section 3 (fusion) and figure 1.

    Args:
        width: channels.
        norm: see :class:`ResidualUnit`.
        first: the step of the coarsest level.
    """

    mix_first = False
    """Set by :meth:`deploy`: mix before upsampling. A 1x1 convolution and bilinear resizing commute (one mixes
    channels, the other positions, and the weights of the latter sum to 1), and there are 4 times fewer positions."""

    def __init__(self, width: int, norm: bool, first: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList(ResidualUnit(width, norm) for _ in range(1 if first else 2))
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, level: Tensor, coarse: Tensor | None, size: Sequence[int]) -> Tensor:
        """Level ``[B, width, h, w]``, what came from below in the same shape, size to give -> ``[B, width, *size]``."""
        if coarse is not None:
            level = coarse + self.units[0](level)
        refined = self.units[-1](level)
        if self.mix_first:
            return upsample(self.mix(refined), size)
        mixed: Tensor = self.mix(upsample(refined, size))
        return mixed

    def deploy(self) -> None:
        """Normalisation folded, the 1x1 convolution at the lower resolution; in place."""
        self.mix_first = True
        for unit in self.units:
            if isinstance(unit, ResidualUnit):
                unit.fold()


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """``[B, C, h, w]`` -> ``[B, C, *size]``, bilinear (``align_corners=False``, as everywhere here)."""
    return F.interpolate(maps, size=(size[0], size[1]), mode="bilinear", align_corners=False)
