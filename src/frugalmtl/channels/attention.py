"""Softmax attention as an operation on channels, for any number of heads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.channels.operations import Channels, Mask, Operation, tensors_of


class AttentionChannels(Operation):
    """Softmax attention of queries, keys and values, head by head; the projections around it are operations apart.

    Args:
        target: see :class:`Operation`; the timm attention module.
        heads: number of heads.
        width: channels of a head.
    """

    def __init__(self, target: str, heads: int, width: int) -> None:
        super().__init__(target)
        self.heads, self.unit = heads, width

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
