"""Table of the residual views by the type of block, and the residual blocks of a backbone."""

from __future__ import annotations

from timm.layers.norm import LayerNorm2d, RmsNorm2d, SimpleNorm2d
from timm.models.swin_transformer import PatchMerging
from torch import nn

from frugalmtl.backbones.base import Backbone
from frugalmtl.backbones.cifar_resnet import Stem
from frugalmtl.backbones.families._patches import PatchResize
from frugalmtl.backbones.families.high_resolution_net import Transition
from frugalmtl.backbones.families.vision_transformer import GridBlock, PatchGrid
from frugalmtl.backbones.general.fixed_size import FixedSize
from frugalmtl.backbones.general.getter import Intermediates
from frugalmtl.backbones.views.base import Residual
from frugalmtl.backbones.views.cifar_resnet import CifarBlockView
from frugalmtl.backbones.views.convnext import ConvNeXtBlockView
from frugalmtl.backbones.views.inverted_residual import (
    CondConvResidualView,
    ConvBnActView,
    DepthwiseSeparableView,
    EdgeResidualView,
    InvertedResidualView,
    MobileAttentionView,
    UniversalInvertedResidualView,
)
from frugalmtl.backbones.views.resnet import BasicBlockView, BottleneckView, RegNetBottleneckView
from frugalmtl.backbones.views.transformer import SwinBlockView, TransformerBlockView
from frugalmtl.core.checks import UserError

VIEWS: tuple[type[Residual], ...] = (
    BasicBlockView,
    BottleneckView,
    CifarBlockView,
    CondConvResidualView,
    ConvBnActView,
    ConvNeXtBlockView,
    DepthwiseSeparableView,
    EdgeResidualView,
    InvertedResidualView,
    MobileAttentionView,
    RegNetBottleneckView,
    SwinBlockView,
    TransformerBlockView,
    UniversalInvertedResidualView,
)

PLAIN = (
    nn.Sequential,
    nn.Conv2d,
    LayerNorm2d,
    RmsNorm2d,
    SimpleNorm2d,
    PatchMerging,
    PatchResize,
    PatchGrid,
    FixedSize,
    Stem,
    Transition,
)
"""Types of blocks that have no shortcut: stems, patch embeddings, downsampling."""

_BY_TYPE = {kind: view for view in VIEWS for kind in view.blocks}


def view_of(block: nn.Module) -> type[Residual] | None:
    """The view of this type of block; None if there is none."""
    if isinstance(block, GridBlock) and type(block.block) not in TransformerBlockView.inner:
        return None
    return _BY_TYPE.get(type(block))


def residual_of(block: nn.Module, name: str = "") -> Residual | None:
    """The block as shortcut, branch and what follows their sum; None if it has no shortcut and always runs.

    Args:
        block: a block of a backbone.
        name: of the block, for messages.

    Raises:
        UserError: a block of unknown type.
    """
    if type(block) in PLAIN:
        return None
    kind = view_of(block)
    if isinstance(block, Intermediates):
        raise UserError(
            f"the backbone is one block ({type(block.network).__name__} as a whole), which cannot be skipped: choose "
            "one that is a chain of residual blocks"
        )
    if kind is None:
        inside = f" of {type(block.block).__name__}" if isinstance(block, GridBlock) else ""
        label = f"{name} ({type(block).__name__}{inside})" if name else f"{type(block).__name__}{inside}"
        raise UserError(
            f"the shortcut of the block {label} is not known, so it cannot be skipped: choose a backbone of another "
            f"family, or add a view of this block to frugalmtl.backbones.views"
        )
    view = kind(block)
    return view if view.present else None


def residual_blocks(backbone: Backbone) -> dict[str, Residual | None]:
    """``{name: its residual view}`` of all blocks in order of execution; None for those that always run.

    Raises:
        UserError: a block of unknown type, named in the message.
    """
    return {info.name: residual_of(backbone.get_submodule(info.name), info.name) for info in backbone.blocks}
