"""Blocks of Vision and Swin Transformers (Dosovitskiy et al., 2021; Liu et al., 2021).

A block is two halves, attention and an MLP, each with a shortcut of its own. The branch of the whole block is what both
halves add, the second evaluated behind the first: ``branch(x) = a(x) + m(x + a(x))``.
"""

from __future__ import annotations

import torch
from timm.models import vision_transformer as vit
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn

from frugalmtl.backbones.families.vision_transformer import GridBlock
from frugalmtl.backbones.views.base import Residual


class TransformerBlockView(Residual):
    """A block of a Vision Transformer on a grid of tokens.

    Attributes:
        inner: types of timm's block inside the grid that the view knows.
    """

    blocks = (GridBlock,)
    inner = (vit.Block, vit.ResPostBlock, vit.ParallelThingsBlock)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, h, w, C]``."""
        tokens = state.flatten(1, 2)
        attended = _attention(self.block.block, tokens)
        added = attended + _mlp(self.block.block, tokens + attended)
        return added.view(state.shape)


class SwinBlockView(Residual):
    """A block of a Swin Transformer: attention inside windows, shifted or not."""

    blocks = (SwinTransformerBlock,)

    def branch(self, state: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, h, w, C]``."""
        block = self.block
        attended: Tensor = block.drop_path1(block._attn(block.norm1(state)))
        tokens = (state + attended).flatten(1, 2)
        added: Tensor = block.drop_path2(block.mlp(block.norm2(tokens)))
        return attended + added.view(state.shape)


def _attention(block: nn.Module, tokens: Tensor) -> Tensor:
    added: Tensor
    if isinstance(block, vit.ParallelThingsBlock):
        return torch.stack([part(tokens) for part in block.attns]).sum(dim=0)
    if isinstance(block, vit.ResPostBlock):
        added = block.drop_path1(block.norm1(block.attn(tokens)))
    elif isinstance(block, vit.Block):
        added = block.drop_path1(block.ls1(block.attn(block.norm1(tokens))))
    else:
        raise TypeError(f"{type(block).__name__} is no transformer block with a view")
    return added


def _mlp(block: nn.Module, tokens: Tensor) -> Tensor:
    added: Tensor
    if isinstance(block, vit.ParallelThingsBlock):
        return torch.stack([part(tokens) for part in block.ffns]).sum(dim=0)
    if isinstance(block, vit.ResPostBlock):
        added = block.drop_path2(block.norm2(block.mlp(tokens)))
    elif isinstance(block, vit.Block):
        added = block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
    else:
        raise TypeError(f"{type(block).__name__} is no transformer block with a view")
    return added
