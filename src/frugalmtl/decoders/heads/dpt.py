"""DPT head: the head of the dense prediction transformer (Ranftl et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn

from frugalmtl.core.checks import UserError, fraction, known, positive
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head
from frugalmtl.layers.blocks import conv_bn_relu
from frugalmtl.layers.folding import folded
from frugalmtl.layers.refinement import Refinement, upsample

FINEST = 4
"""Stride of the finest level after reassembly; each further level has twice that of the one before."""


class DPT(Head):
    """Levels reassembled to strides 4, 8, 16, 32, ..., fused from coarse to fine by residual units, then convolutions.

    Reassembly (1x1 convolution; transposed convolution, nothing, or strided 3x3 convolutions; 3x3 to ``width``) makes a
    true pyramid of any levels: four grids of a plain transformer, all at stride 16, or the stages of a dilated CNN. The
    fused map is upsampled once more, to stride 2, and read out in one of the paper's two forms:

    ``flat``     3x3, normalisation, ReLU, dropout, 1x1 to the outputs; prediction at stride 2 (its segmentation head)
    ``stepped``  3x3 to half the width, upsampled by 2, 3x3 to 32, ReLU, 1x1; prediction at stride 1 (its depth head)

    Source: Ranftl et al., "Vision Transformers for Dense Prediction" (ICCV 2021), sections 3 and A. There ``width`` is
    256 and batch normalisation in the residual units helped segmentation, not depth. Left out: readout tokens, since
    backbones here have none (the paper's variant "ignore"), the ReLU that keeps its depth positive, and its aligned
    corners. Our choice: convolutions of stride 2 one after the other where a level lies more than one step too fine.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels: powers of two.
        outputs: channels of the prediction.
        width: channels inside the head.
        reassemble: channels of every level after its 1x1 convolution, e.g. ``[96, 192, 384, 768]`` on ViT-B. If not
            given, a level that needs no resampling goes in as it is (as in the paper's hybrid), one that is upsampled
            ``r`` times has its channels divided by ``2 r`` (which gives 96 and 192 there), and others keep theirs.
        output: form of the readout.
        norm: batch normalisation in the residual units.
        dropout: probability that an element is dropped before the last convolution of the flat form, in training.

    Raises:
        UserError: ``width`` is below 2, ``dropout`` lies outside [0, 1], ``reassemble`` does not have one positive
            entry per level, a stride is no power of two.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        outputs: int,
        *,
        width: int = 256,
        reassemble: tuple[int, ...] | None = None,
        output: Literal["flat", "stepped"] = "flat",
        norm: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        known("output of head 'dpt':", output, ("flat", "stepped"))
        if positive("width", width) < 2:
            raise UserError(f"width must be 2 or more, but got {width}")
        targets = [FINEST << level for level in range(len(strides))]
        self.levels = nn.ModuleList(
            _reassembly(inputs, inner, width, stride, target)
            for inputs, inner, stride, target in zip(
                channels, _inner(channels, strides, targets, reassemble), strides, targets, strict=True
            )
        )
        last = len(targets) - 1
        self.steps = nn.ModuleList(Refinement(width, norm, first=level == last) for level in range(len(targets)))
        self.out = _flat(width, outputs, fraction("dropout", dropout)) if output == "flat" else Stepped(width, outputs)
        self.stride = FINEST // (2 if output == "flat" else 4)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, H/2, W/2]``, or ``[B, outputs, H, W]`` of the stepped form."""
        levels = [level(maps) for level, maps in zip(self.levels, pyramid, strict=True)]
        height, width = levels[0].shape[-2:]
        sizes = [(2 * height, 2 * width), *(level.shape[-2:] for level in levels[:-1])]
        fused: Tensor | None = None
        for step, level, size in zip(reversed(self.steps), reversed(levels), reversed(sizes), strict=True):
            fused = step(level, fused, size)
        prediction: Tensor = self.out(fused)
        return prediction

    def deploy(self) -> nn.Module:
        """Normalisation folded, channels mixed before upsampling: what its fusion steps do when deployed."""
        for step in self.steps:
            cast(Refinement, step).deploy()
        if isinstance(self.out, nn.Sequential) and isinstance(self.out[0], nn.Sequential):
            conv, norm, relu = self.out[0]
            self.out = nn.Sequential(folded(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)), relu, self.out[-1])
        return self


class Stepped(nn.Module):
    """Readout of the stepped form."""

    def __init__(self, width: int, outputs: int, inner: int = 32) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, width // 2, 3, padding=1)
        self.out = nn.Sequential(
            nn.Conv2d(width // 2, inner, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(inner, outputs, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """``[B, width, h, w]`` -> ``[B, outputs, 2 h, 2 w]``."""
        height, width = maps.shape[-2:]
        prediction: Tensor = self.out(upsample(self.narrow(maps), (2 * height, 2 * width)))
        return prediction


def _flat(width: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(conv_bn_relu(width, width, kernel=3), nn.Dropout(dropout), nn.Conv2d(width, outputs, 1))


def _inner(
    channels: Sequence[int], strides: Sequence[int], targets: Sequence[int], reassemble: Sequence[int] | None
) -> list[int | None]:
    """Channels after the 1x1 convolution of every level; None for a level without one."""
    if any(stride <= 0 or stride & (stride - 1) for stride in strides):
        raise UserError(f"head 'dpt' needs levels whose strides are powers of two, but got {list(strides)}")
    if reassemble is not None:
        if len(reassemble) != len(channels) or min(reassemble) < 1:
            raise UserError(
                f"reassemble must have one positive entry per level of the pyramid ({len(channels)}), "
                f"got {list(reassemble)}"
            )
        return list(reassemble)
    return [
        None if stride == target else max(1, count * target // (2 * stride)) if stride > target else count
        for count, stride, target in zip(channels, strides, targets, strict=True)
    ]


def _reassembly(inputs: int, inner: int | None, width: int, stride: int, target: int) -> nn.Sequential:
    """``[B, inputs, H/stride, W/stride]`` -> ``[B, width, H/target, W/target]``."""
    layers: list[nn.Module] = [] if inner is None else [nn.Conv2d(inputs, inner, 1)]
    between = inputs if inner is None else inner
    if stride > target:
        layers.append(nn.ConvTranspose2d(between, between, stride // target, stride // target))
    while stride < target:
        layers.append(nn.Conv2d(between, between, 3, stride=2, padding=1))
        stride *= 2
    layers.append(nn.Conv2d(between, width, 3, padding=1, bias=False))
    return nn.Sequential(*layers)
