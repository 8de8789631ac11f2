"""Softmax attention as an operation on channels, for any number of heads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.backbones.views import WindowGrid
from frugalmtl.channels.operations import Channels, Mask, Operation, select, tensors_of


class AttentionChannels(Operation):
    """Softmax attention of queries, keys and values, head by head; the projections around it are operations apart.

    Args:
        target: see :class:`Operation`; the timm attention module.
        heads: number of heads.
        width: channels of a head.
        weighted: whether the module has weights of its own, as for normalised queries and keys: branches then differ in
            a head whose queries, keys and values they share.
    """

    def __init__(self, target: str, heads: int, width: int, *, weighted: bool = False) -> None:
        super().__init__(target)
        self.heads, self.unit, self.weighted = heads, width, weighted

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Queries, keys, values ``[B, h, w, C]`` -> ``[B, h, w, C]``."""
        source: Any = module
        dropout = float(source.attn_drop.p) if source.training else 0.0
        return attend(inputs, (source.q_norm, source.k_norm), self.unit, dropout)

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """Queries, keys and values of every head that has an output."""
        whole_heads = np.repeat(self.heads_of(outputs), self.unit, axis=1)
        return [whole_heads for _ in widths]

    def heads_of(self, channels: Mask) -> Mask:
        """Channels ``[branches, C]`` -> heads ``[branches, heads]`` that have any of them."""
        return np.asarray(channels.reshape(len(channels), self.heads, self.unit).any(2))

    def channels_of(self, heads: Sequence[int]) -> Channels:
        """The channels of heads, head by head."""
        return tuple(head * self.unit + offset for head in heads for offset in range(self.unit))

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The normalisations of queries and keys, which all heads share."""
        source: Any = module
        norms = enumerate((source.q_norm, source.k_norm))
        return {f"norms.{number}.{name}": tensor for number, norm in norms for name, tensor in tensors_of(norm)}

    def template(self, module: nn.Module) -> nn.Module:
        """The same for any number of heads."""
        return HeadAttention(module, self.unit)


class HeadAttention(nn.Module):
    """Attention over a grid of positions, for however many heads the channels hold.

    Args:
        attention: timm's module; dropout and the normalisations of queries and keys are as there.
        width: channels of a head.
    """

    def __init__(self, attention: nn.Module, width: int) -> None:
        super().__init__()
        source: Any = attention
        self.width, self.dropout = width, float(source.attn_drop.p)
        self.norms = nn.ModuleList(copy.deepcopy(norm) for norm in (source.q_norm, source.k_norm))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Three ``[B, h, w, C]`` -> ``[B, h, w, C]``."""
        dropout = self.dropout if self.training else 0.0
        return attend((queries, keys, values), list(self.norms), self.width, dropout)


class WindowAttentionChannels(AttentionChannels):
    """Softmax attention inside windows of a grid, with a bias by head and relative position.

    Args:
        target: see :class:`Operation`; timm's module.
        heads: number of heads.
        width: channels of a head.
        windows: of the grid.
    """

    def __init__(self, target: str, heads: int, width: int, windows: WindowGrid) -> None:
        super().__init__(target, heads, width, weighted=True)
        self.windows = windows

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Queries, keys, values ``[B, rows, columns, area, C]`` -> the same shape."""
        source: Any = module
        dropout = float(source.attn_drop.p) if source.training else 0.0
        bias = position_bias(source.relative_position_bias_table, source.relative_position_index)
        return attend_in_windows(inputs, bias, self.windows, self.unit, dropout)

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The biases of these heads."""
        source: Any = module
        heads = tuple(channel // self.unit for channel in outputs[:: self.unit])
        return {
            "relative_position_bias_table": select(source.relative_position_bias_table, heads, dim=1),
            "relative_position_index": source.relative_position_index,
        }

    def template(self, module: nn.Module) -> nn.Module:
        """The same for any number of heads."""
        return WindowHeadAttention(module, self.unit, self.windows)


class WindowHeadAttention(nn.Module):
    """Attention inside the windows of a grid, for however many heads the channels hold.

    Args:
        attention: timm's module; dropout and biases are as there.
        width: channels of a head.
        windows: of the grid.
    """

    relative_position_index: Tensor

    def __init__(self, attention: nn.Module, width: int, windows: WindowGrid) -> None:
        super().__init__()
        source: Any = attention
        self.width, self.windows, self.dropout = width, windows, float(source.attn_drop.p)
        self.relative_position_bias_table = copy.deepcopy(source.relative_position_bias_table)
        self.register_buffer("relative_position_index", source.relative_position_index.clone(), persistent=False)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Three ``[B, rows, columns, area, C]`` -> the same shape."""
        dropout = self.dropout if self.training else 0.0
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        return attend_in_windows((queries, keys, values), bias, self.windows, self.width, dropout)


def position_bias(table: Tensor, places: Tensor) -> Tensor:
    """Biases by relative position ``[offsets, heads]`` and the offsets of token pairs ``[area, area]`` ->
    ``[heads, area, area]``."""
    return table[places.flatten()].view(*places.shape, -1).permute(2, 0, 1)


def attend_in_windows(
    inputs: Sequence[Tensor], bias: Tensor, windows: WindowGrid, width: int, dropout: float
) -> Tensor:
    """Softmax attention over the tokens of every window.

    Args:
        inputs: queries, keys, values ``[B, rows, columns, area, heads * width]``.
        bias: added to the scores, ``[heads, area, area]``.
        windows: of the grid.
        width: channels of a head.
        dropout: probability that an attention weight is dropped.
    """
    batch, rows, columns, area, channels = inputs[0].shape
    queries, keys, values = (
        tensor.reshape(batch * rows * columns, area, channels // width, width).transpose(1, 2) for tensor in inputs
    )
    mask = windows.mask(rows, columns, bias)
    scores = bias.to(queries.dtype)[None]
    if mask is not None:
        apart = mask.to(queries.dtype).flatten(0, 1)[:, None]
        scores = (scores + apart).expand(batch, -1, -1, -1, -1).flatten(0, 1)
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=scores, dropout_p=dropout)
    return mixed.transpose(1, 2).reshape(batch, rows, columns, area, channels)


def attend(inputs: Sequence[Tensor], norms: Sequence[nn.Module], width: int, dropout: float) -> Tensor:
    """Softmax attention over the positions of a grid.

    Args:
        inputs: queries, keys, values ``[B, h, w, heads * width]``.
        norms: of queries and keys, over the channels of a head.
        width: channels of a head.
        dropout: probability that an attention weight is dropped.
    """
    batch, height, across, channels = inputs[0].shape
    queries, keys, values = (
        tensor.reshape(batch, height * across, channels // width, width).transpose(1, 2) for tensor in inputs
    )
    mixed = F.scaled_dot_product_attention(norms[0](queries), norms[1](keys), values, dropout_p=dropout)
    return mixed.transpose(1, 2).reshape(batch, height, across, channels)
