"""Modules whose effect on channels is known, and the operations that they are."""

from __future__ import annotations

from timm.layers import LayerScale2d
from timm.layers.attention2d import MultiQueryAttention2d
from timm.layers.blur_pool import BlurPool2d
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.drop import DropBlock2d, DropPath
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models.vision_transformer import LayerScale
from torch import nn

from frugalmtl.backbones.families._patches import PatchResize
from frugalmtl.backbones.families.vision_transformer import PatchGrid
from frugalmtl.backbones.general.fixed_size import FixedSize
from frugalmtl.channels.operations import (
    AllChannels,
    ChannelWise,
    Dense,
    Grouped,
    MultiQueryChannels,
    Operation,
    PatchEmbedding,
)
from frugalmtl.core.checks import UserError

PER_CHANNEL = (
    nn.Identity,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.Upsample,
    nn.Dropout,
    nn.Dropout2d,
    DropPath,
    DropBlock2d,
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    BatchNormAct2d,
    LayerScale,
    LayerScale2d,
    PatchResize,
    FixedSize,
)
ACTIVATIONS = ("torch.nn.modules.activation", "timm.layers.activations")
OVER_CHANNELS = (nn.LayerNorm, SqueezeExcite, SEModule)
DENSE = (nn.Conv2d, Conv2dSame, nn.Linear, nn.ConvTranspose2d)
"""Exact types: a subclass may compute its filters from all their inputs (weight standardisation)."""
NO_ACTIVATIONS = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.PReLU, nn.GLU, nn.MultiheadAttention)


def is_known(module: nn.Module) -> bool:
    """Whether :func:`operation_of` has the module as a whole."""
    if isinstance(module, BlurPool2d):
        return module.channels is not None
    if isinstance(module, MultiQueryAttention2d):
        last, first = module.output.get_submodule("proj"), module.query.get_submodule("proj")
        return bool(last.out_channels == first.in_channels)
    return type(module) in DENSE or isinstance(module, (PatchGrid, *PER_CHANNEL, *OVER_CHANNELS)) or _activation(module)


def _activation(module: nn.Module) -> bool:
    return type(module).__module__ in ACTIVATIONS and not isinstance(module, NO_ACTIVATIONS)


def operation_of(target: str, module: nn.Module) -> Operation:
    """The operation that a known module of this dotted name is.

    Raises:
        UserError: it cannot be cut by channels with the settings that it has.
    """
    if isinstance(module, PatchGrid):
        if not isinstance(module.norm_pre, nn.Identity):
            raise UserError("a normalisation before the first block cannot be cut by channels: choose another backbone")
        return PatchEmbedding(target)
    if isinstance(module, MultiQueryAttention2d):
        return MultiQueryChannels(target)
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1:
        raise UserError(f"{target} normalises over positions, which cannot be cut by channels: choose another backbone")
    if isinstance(module, OVER_CHANNELS):
        return AllChannels(target)
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        if module.groups == module.in_channels == module.out_channels:
            return ChannelWise(target)
        return Grouped(target, module.groups, module.out_channels // module.groups)
    if isinstance(module, nn.ConvTranspose2d) and module.groups > 1:
        raise UserError("transposed convolutions in groups cannot be cut by channels: choose another backbone")
    return Dense(target) if type(module) in DENSE else ChannelWise(target)
