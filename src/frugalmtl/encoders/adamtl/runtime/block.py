"""Ragged block: the two halves of a transformer block on rows of a batch of token grids."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from frugalmtl.backbones.views import TokenHalves
from frugalmtl.backbones.views.tokens import SwinTokens
from frugalmtl.encoders.adamtl.runtime.attention import LaidOutWindowAttention
from frugalmtl.encoders.adamtl.runtime.selection import Rows, Selection
from frugalmtl.encoders.adamtl.runtime.windows import GridSize, WindowTable, WindowTables

CHUNK = 3072
"""Rows that layers of single tokens take at once on a CPU: what is between two layers then stays in the cache."""


class RaggedBlock:
    """``u = x + attention(x)`` in some windows, ``y = u + mlp(u)`` on some tokens; the rest passes as it is.

    Tokens are rows ``[B * h * w, C]`` of all images together, so that nothing is padded to the longest, and no image is
    copied because others of its batch are off. A grid that windows do not fit, and a trace for export, have one row
    more, which stands for padding. No module: the block stays where it is in its network.

    Args:
        view: the block; a Swin block's attention is exchanged for one that is laid out for windows of any images.
    """

    def __init__(self, view: TokenHalves) -> None:
        self.view = view
        self.tables = WindowTables()
        self.laid_out = isinstance(view, SwinTokens)
        if self.laid_out and not isinstance(view.block.attn, LaidOutWindowAttention):
            view.block.attn = LaidOutWindowAttention(view.block.attn)

    def table(self, size: GridSize, like: Tensor) -> WindowTable:
        """Windows of the block on grids of a size, with the device and number format of a tensor."""
        if torch.compiler.is_exporting():  # tensors of a trace outlive it in no table
            return WindowTable.of(self.view, size.height, size.width, like)
        return self.tables(self.view, size.height, size.width, like)

    def __call__(self, rows: Tensor, size: GridSize, selection: Selection) -> Tensor:
        """Rows ``[B * h * w (+ 1), C]`` -> the same shape; in place where no gradient is needed.

        Args:
            rows: tokens of the batch.
            size: of the grids.
            selection: what is computed.
        """
        if not selection.windows.none:
            rows = self._attend(rows, size, selection.windows)
        if not selection.dropped.none:
            rows = _mapped(rows, size, selection.dropped, self.view.normalised)
        if not selection.tokens.none:
            rows = _mapped(rows, size, selection.tokens, self.view.mlp)
        return rows

    def _attend(self, rows: Tensor, size: GridSize, chosen: Rows) -> Tensor:
        table = self.table(size, rows)
        count, area = table.places.shape
        flat = torch.arange(size.batch * count, device=rows.device) if chosen.index is None else chosen.index
        windows = flat % count
        index = table.places.index_select(0, windows) + (flat // count * size.area)[:, None]
        if torch.compiler.is_exporting():  # a window behind the last lies in the row of padding
            index = index.clamp(max=size.tokens)
        padding = None
        if table.padding is not None:
            padding = table.padding.index_select(0, windows)
            index = index.masked_fill(padding, size.tokens)
        index = index.flatten()
        tokens = rows.index_select(0, index).view(-1, area, rows.shape[1])
        if self.laid_out:
            normed = self.view.block.norm1(tokens)
            if padding is not None:
                normed = normed.masked_fill(padding[:, :, None], 0.0)
            added = self.view.block.attn(normed, table, windows)
        else:
            added = self.view.attend(tokens, windows, (size.height, size.width), padding)
        return _added(rows, index, added.flatten(0, 1))


def _mapped(rows: Tensor, size: GridSize, chosen: Rows, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Rows with what a function of single tokens adds to some of them."""
    if chosen.index is None:
        tokens = rows[: size.tokens]
        if rows.requires_grad:
            return torch.cat([tokens + function(tokens), rows[size.tokens :]])
        for part in torch.split(tokens, CHUNK if rows.device.type == "cpu" else max(1, size.tokens)):
            part.add_(function(part))
        return rows
    if rows.device.type != "cpu" or rows.requires_grad or torch.compiler.is_exporting():
        return _added(rows, chosen.index, function(rows.index_select(0, chosen.index)))
    for index in torch.split(chosen.index, CHUNK):
        rows.index_add_(0, index, function(rows.index_select(0, index)))
    return rows


def _added(rows: Tensor, index: Tensor, added: Tensor) -> Tensor:
    return rows.index_add(0, index, added) if rows.requires_grad else rows.index_add_(0, index, added)
