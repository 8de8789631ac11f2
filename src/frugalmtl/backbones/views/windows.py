"""Windows of a grid of tokens: partition, its inverse, and the mask of shifted windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_FAR = -100.0
"""What timm adds to the scores of tokens that a shift brought together."""


@dataclass(frozen=True)
class WindowGrid:
    """Windows of a shifted grid, padded to whole windows (Liu et al., "Swin Transformer", ICCV 2021, section 3.2).

    Attributes:
        window: height and width of a window in tokens.
        shift: rows and columns that the grid is rolled by before it is cut.
    """

    window: tuple[int, int]
    shift: tuple[int, int]

    def partition(self, grid: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, rows, columns, window area, C]``, padded by zeros."""
        height, width = grid.shape[1:3]
        if any(self.shift):
            grid = torch.roll(grid, (-self.shift[0], -self.shift[1]), (1, 2))
        down, right = -height % self.window[0], -width % self.window[1]
        padded = F.pad(grid, (0, 0, 0, right, 0, down))
        rows, columns = (height + down) // self.window[0], (width + right) // self.window[1]
        batch, channels = grid.shape[0], grid.shape[3]
        split = padded.reshape(batch, rows, self.window[0], columns, self.window[1], channels)
        return split.transpose(2, 3).reshape(batch, rows, columns, self.window[0] * self.window[1], channels)

    def join(self, windows: Tensor, height: int, width: int) -> Tensor:
        """``[B, rows, columns, window area, C]`` -> ``[B, h, w, C]``; inverse of :meth:`partition`."""
        batch, rows, columns, _, channels = windows.shape
        split = windows.reshape(batch, rows, columns, *self.window, channels).transpose(2, 3)
        padded = split.reshape(batch, rows * self.window[0], columns * self.window[1], channels)
        grid = padded[:, :height, :width]
        return torch.roll(grid, self.shift, (1, 2)) if any(self.shift) else grid

    def mask(self, rows: int, columns: int, like: Tensor) -> Tensor | None:
        """What is added to the scores inside each window, ``[rows, columns, area, area]``; None without a shift.

        Tokens of opposite edges of the grid, which the shift brings together, do not see each other.
        """
        if not any(self.shift):
            return None
        counts = (rows, columns)
        down, across = (
            self._regions(count, axis, like.device).reshape(count, side)
            for axis, (count, side) in enumerate(zip(counts, self.window, strict=True))
        )
        regions = (3 * down[:, None, :, None] + across[None, :, None, :]).flatten(2)
        apart = regions[:, :, None, :] != regions[:, :, :, None]
        return like.new_zeros(()).masked_fill(apart, _FAR)

    def _regions(self, count: int, axis: int, device: torch.device) -> Tensor:
        """Along one axis of the padded grid, which tokens lie together in the image: 0, 1 or 2."""
        side, shift = self.window[axis], self.shift[axis]
        length = count * side
        places = torch.arange(length, device=device)
        return (places >= length - side).long() + (places >= length - shift).long()
