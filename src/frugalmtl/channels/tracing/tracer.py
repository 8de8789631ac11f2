"""Tracer that stops at modules whose effect on channels is known, and stands for what they do in the traced graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timm.layers.attention import Attention as TimmAttention
from timm.layers.format import Format
from timm.layers.patch_embed import PatchEmbed
from timm.models.swin_transformer import PatchMerging
from torch import Tensor, fx, nn

from frugalmtl.backbones.cifar_resnet import PaddedShortcut
from frugalmtl.backbones.families.vision_transformer import GridBlock
from frugalmtl.backbones.views import SwinTokens, tokens_of
from frugalmtl.channels.tracing.kinds import is_known
from frugalmtl.core.checks import UserError


class ChannelTracer(fx.Tracer):
    """Stops at modules whose effect on channels is known, and opens attention between its projections.

    Attributes:
        failed: the innermost module that could not be traced.
    """

    failed: str = ""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation."""
        return is_known(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a module gives for a proxy of its input."""
        if isinstance(m, GridBlock):  # operations here work on grids as they work on sequences
            return m.block(*args)
        if isinstance(m, PaddedShortcut):
            raise UserError("a shortcut that pads channels cannot be cut by channels: give the backbone shortcut: B")
        if isinstance(m, TimmAttention):
            if m.gate is not None:
                raise UserError("gated attention cannot be traced channel by channel: choose another backbone")
            return self._attention(m, args[0], {})
        if isinstance(m, PatchEmbed):
            return self._patches(m, args[0])
        if isinstance(m, PatchMerging):
            return m.reduction(m.norm(self.create_proxy("call_function", merge, args, {})))
        if isinstance(tokens_of(m), SwinTokens):
            return self._swin_block(m, args[0])
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or f"{self.path_of_module(m)} ({type(m).__name__})"
            raise

    def _attention(self, attention: Any, tokens: fx.Proxy, where: dict[str, Any]) -> fx.Proxy:
        """Projections, and attention between them; ``where`` names the block of attention in windows."""
        projected = attention.qkv(tokens)
        width = attention.qkv.out_features // 3
        parts = [self.create_proxy("call_function", part, (projected, index * width, width), {}) for index in range(3)]
        named = {"target": self.path_of_module(attention), **where}
        mixed = self.create_proxy("call_function", attend, tuple(parts), named)
        if isinstance(attention, TimmAttention):
            mixed = attention.norm(mixed)
        result: fx.Proxy = attention.proj_drop(attention.proj(mixed))
        return result

    def _patches(self, embedding: Any, image: fx.Proxy) -> fx.Proxy:
        """Patches of an image as a grid; image sizes are multiples of a patch, which callers see to."""
        if embedding.flatten or embedding.output_fmt != Format.NHWC or embedding.dynamic_img_pad:
            raise UserError("patches that are no grid cannot be traced channel by channel: choose another backbone")
        grid: fx.Proxy = embedding.norm(embedding.proj(image).permute(0, 2, 3, 1))
        return grid

    def _swin_block(self, block: Any, grid: fx.Proxy) -> fx.Proxy:
        """Both halves of a block, see :class:`~frugalmtl.backbones.views.SwinTokens`; attention on windows."""
        where = {"block": self.path_of_module(block)}
        windows = self.create_proxy("call_function", partition, (block.norm1(grid),), where)
        attended = block.drop_path1(self._attention(block.attn, windows, where))
        grid = self.create_proxy("call_function", add_windows, (grid, attended), where)
        mixed: fx.Proxy = grid + block.drop_path2(block.mlp(block.norm2(grid)))
        return mixed


def part(tensor: Tensor, start: int, width: int) -> Tensor:
    """Stands for :class:`ChannelSlice` in the traced graph."""
    raise NotImplementedError


def attend(queries: Tensor, keys: Tensor, values: Tensor, target: str, block: str | None = None) -> Tensor:
    """Stands for :class:`AttentionChannels` in the traced graph."""
    raise NotImplementedError


def partition(grid: Tensor, block: str) -> Tensor:
    """Stands for :class:`Partition` in the traced graph."""
    raise NotImplementedError


def add_windows(grid: Tensor, windows: Tensor, block: str) -> Tensor:
    """Stands for :class:`SumOfWindows` in the traced graph."""
    raise NotImplementedError


def merge(grid: Tensor) -> Tensor:
    """Stands for :class:`MergePatches` in the traced graph."""
    raise NotImplementedError
