"""Exact rewritings of convolutions for the deployed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(conv: nn.Conv2d, norm: _BatchNorm) -> nn.Conv2d:
    """One convolution that equals ``norm(conv(x))`` in eval mode.

    ``W' = W s`` and ``b' = (b - mean) s + shift`` with ``s = scale / sqrt(var + eps)`` per output channel.
    An activation that ``norm`` may carry (timm's ``BatchNormAct2d``) remains for the caller.
    """
    return fuse_conv_bn_eval(conv.eval(), norm.eval())


def select_inputs(conv: nn.Conv2d, channels: Sequence[int], *, bias: bool) -> nn.Conv2d:
    """The part of an ungrouped convolution that reads the input ``channels`` only, in that order.

    The parts of a partition of the input channels add up to ``conv`` if exactly one of them has its ``bias``.
    """
    part = nn.Conv2d(
        len(channels),
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]  # stored as a tuple of any length
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
        bias=bias and conv.bias is not None,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    ).train(conv.training)
    with torch.no_grad():
        part.weight.copy_(conv.weight[:, list(channels)])
        if part.bias is not None and conv.bias is not None:
            part.bias.copy_(conv.bias)
    return part
