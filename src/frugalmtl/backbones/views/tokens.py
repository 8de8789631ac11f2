"""Token view of a transformer block: its attention half by windows, and its MLP half token by token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from timm.models import vision_transformer as vit
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn

from frugalmtl.backbones.families.vision_transformer import GridBlock
from frugalmtl.backbones.views.windows import WindowGrid


@dataclass(frozen=True, eq=False)
class TokenHalves:
    """A block as ``u = x + drop(attention(x))``, ``y = u + drop(mlp(u))``, on a grid of tokens ``[B, h, w, C]``.

    Attention mixes the tokens inside a window, the MLP none. Nothing is registered in the block; the view reads the
    block's submodules when it is called, so that it holds after they were exchanged, and a deep copy of block and view
    belong together again.

    Attributes:
        block: the block that is viewed.
        blocks: types of blocks that the view knows, for exact types only.
    """

    block: Any
    blocks: ClassVar[tuple[type[nn.Module], ...]] = ()

    def attention(self, grid: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> what the attention half adds, before stochastic depth, all windows."""
        raise NotImplementedError

    def places(self, height: int, width: int) -> Tensor:
        """The tokens of every window of a grid: ``[windows, area]``, flat positions (``row * width + column``);
        ``height * width`` stands for padding."""
        raise NotImplementedError

    def attend(self, tokens: Tensor, windows: Tensor, size: tuple[int, int], padding: Tensor | None = None) -> Tensor:
        """Attention in some windows alone.

        Args:
            tokens: of the windows, ``[k, area, C]``, before the normalisation.
            windows: number of each window in its grid, ``[k]``.
            size: height and width of the grid.
            padding: True at tokens that are padding, ``[k, area]``; None where there are none.

        Returns:
            What the attention half adds to these tokens, ``[k, area, C]``; of no meaning at padding.
        """
        raise NotImplementedError

    def window_masks(self, size: tuple[int, int], like: Tensor) -> Tensor | None:
        """What is added to the scores of attention inside each window, ``[windows, area, area]``; None for nothing.

        Args:
            size: height and width of the grid.
            like: a tensor of the device and number format that the masks are wanted in.
        """
        return None

    def mlp(self, tokens: Tensor) -> Tensor:
        """Tokens ``[..., C]`` (of any number) -> what the MLP half adds to them, before stochastic depth."""
        raise NotImplementedError

    def normalised(self, tokens: Tensor) -> Tensor:
        """Tokens ``[..., C]`` -> the normalisation in front of the MLP."""
        normed: Tensor = self.core.norm2(tokens)
        return normed

    def drop(self, added: Tensor, half: int) -> Tensor:
        """Stochastic depth of half 0 (attention) or 1 (MLP) on ``[B, ...]``."""
        dropped: Tensor = (self.core.drop_path1, self.core.drop_path2)[half](added)
        return dropped

    @property
    def core(self) -> Any:
        """The block that holds the halves."""
        return self.block


class VisionTransformerTokens(TokenHalves):
    """A block of a Vision Transformer: one window, the whole grid."""

    blocks = (GridBlock,)

    @property
    def core(self) -> Any:
        """timm's block inside the grid."""
        return self.block.block

    def attention(self, grid: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> the same shape."""
        tokens = grid.flatten(1, 2)
        return self._attend(tokens).view(grid.shape)

    def places(self, height: int, width: int) -> Tensor:
        """``[1, height * width]``."""
        return torch.arange(height * width)[None]

    def attend(self, tokens: Tensor, windows: Tensor, size: tuple[int, int], padding: Tensor | None = None) -> Tensor:
        """Whole grids ``[k, height * width, C]``; there is no padding."""
        return self._attend(tokens)

    def mlp(self, tokens: Tensor) -> Tensor:
        """``[..., C]`` -> the same shape."""
        core = self.core
        added: Tensor = core.ls2(core.mlp(core.norm2(tokens)))
        return added

    def _attend(self, tokens: Tensor) -> Tensor:
        core = self.core
        added: Tensor = core.ls1(core.attn(core.norm1(tokens)))
        return added


class SwinTokens(TokenHalves):
    """A block of a Swin Transformer: windows of a shifted grid, padded to whole windows."""

    blocks = (SwinTransformerBlock,)

    @property
    def windows(self) -> WindowGrid:
        """How the block cuts a grid into windows."""
        return WindowGrid(tuple(self.block.window_size), tuple(self.block.shift_size))

    def attention(self, grid: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> the same shape."""
        attended: Tensor = self.block._attn(self.block.norm1(grid))
        return attended

    def places(self, height: int, width: int) -> Tensor:
        """``[windows, window area]``, windows row by row of the shifted, padded grid."""
        block = self.block
        return torch.tensor(_window_places(height, width, tuple(block.window_size), tuple(block.shift_size)))

    def attend(self, tokens: Tensor, windows: Tensor, size: tuple[int, int], padding: Tensor | None = None) -> Tensor:
        """``[k, window area, C]`` -> the same shape."""
        block = self.block
        normed = block.norm1(tokens)
        if padding is not None:
            normed = normed.masked_fill(padding[:, :, None], 0.0)
        mask = self.window_masks(size, tokens)
        attended: Tensor = block.attn(normed, mask=None if mask is None else mask[windows])
        return attended

    def mlp(self, tokens: Tensor) -> Tensor:
        """``[..., C]`` -> the same shape."""
        added: Tensor = self.block.mlp(self.block.norm2(tokens))
        return added

    def window_masks(self, size: tuple[int, int], like: Tensor) -> Tensor | None:
        """``[windows, area, area]`` for a shifted grid, None for others."""
        windows = self.windows
        rows, columns = (-(-side // window) for side, window in zip(size, windows.window, strict=True))
        mask = windows.mask(rows, columns, like)
        return None if mask is None else mask.flatten(0, 1)


@lru_cache(maxsize=256)
def _window_places(height: int, width: int, window: tuple[int, int], shift: tuple[int, int]) -> NDArray[np.int64]:
    """See :meth:`TokenHalves.places`; one table per grid, window and shift."""
    rows, columns = -(-height // window[0]), -(-width // window[1])
    padded = np.full((rows * window[0], columns * window[1]), height * width, dtype=np.int64)
    grid = np.arange(height * width).reshape(height, width)
    padded[:height, :width] = np.roll(grid, (-shift[0], -shift[1]), (0, 1))
    by_window = padded.reshape(rows, window[0], columns, window[1]).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_window).reshape(rows * columns, window[0] * window[1])


_VIEWS: tuple[type[TokenHalves], ...] = (SwinTokens, VisionTransformerTokens)
_BY_TYPE = {kind: view for view in _VIEWS for kind in view.blocks}


def tokens_of(block: nn.Module) -> TokenHalves | None:
    """The block as halves on tokens; None for a block of another kind (stems, patch merging, convolutions)."""
    if isinstance(block, GridBlock) and type(block.block) is not vit.Block:
        return None
    view = _BY_TYPE.get(type(block))
    return view(block) if view is not None else None
