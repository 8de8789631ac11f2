"""Convolution blocks of heads; the residual blocks are timm's."""

from __future__ import annotations

from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn

from frugalmtl.core.checks import UserError


def conv_bn_relu(inputs: int, outputs: int, *, kernel: int = 1, dilation: int = 1, bias: bool = False) -> nn.Sequential:
    """Convolution that keeps the size, batch normalisation, ReLU.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel in positions, odd.
        dilation: distance between taps in positions.
        bias: give the convolution a bias (redundant before the normalisation; some published heads have it).
    """
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def bottleneck(inputs: int, outputs: int) -> nn.Module:
    """Residual bottleneck ``1x1 - 3x3 - 1x1`` whose inner width is a quarter of ``outputs`` (He et al. 2016, sec. 4.1).

    The shortcut is a 1x1 convolution with batch normalisation where the channels change, else the identity.

    Raises:
        UserError: ``outputs`` is no multiple of 4.
    """
    if outputs % Bottleneck.expansion:
        raise UserError(f"the width of a bottleneck must be a multiple of {Bottleneck.expansion}, but got {outputs}")
    block: nn.Module = Bottleneck(inputs, outputs // Bottleneck.expansion, downsample=_projection(inputs, outputs))
    return block


def basic_block(inputs: int, outputs: int) -> nn.Module:
    """Residual block of two 3x3 convolutions (He et al. 2016, sec. 3.3); the shortcut as in :func:`bottleneck`."""
    block: nn.Module = BasicBlock(inputs, outputs, downsample=_projection(inputs, outputs))
    return block


def _projection(inputs: int, outputs: int) -> nn.Module | None:
    if inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
