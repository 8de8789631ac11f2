"""Operations that mix channels, and compute each output channel by itself: convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from frugalmtl.channels.operations.base import Channels, Mask, Operation, select, tensors_of


class Dense(Operation):
    """Every output channel reads all input channels: convolutions, linear layers.

    ``[.., C_in, ..]`` -> ``[.., C_out, ..]``.
    """

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """All channels, if there is any output."""
        return [np.repeat(outputs.any(1, keepdims=True), width, axis=1) for width in widths]

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The filters of these outputs, their inputs in the order of ``inputs``."""
        layer: Any = module
        first, second = (inputs, outputs) if isinstance(module, nn.ConvTranspose2d) else (outputs, inputs)
        weights = {"weight": select(select(layer.weight, first), second, dim=1)}
        return weights if layer.bias is None else {**weights, "bias": select(layer.bias, outputs)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Channels of convolutions, features of linear layers."""
        for name, value in (
            ("in_channels", len(inputs)),
            ("out_channels", len(outputs)),
            ("in_features", len(inputs)),
            ("out_features", len(outputs)),
        ):
            if hasattr(module, name):
                setattr(module, name, value)


class Grouped(Operation):
    """A convolution in groups: an output channel reads the input channels of its group.

    Args:
        target: see :class:`Operation`.
        groups: number of groups.
        unit: output channels of a group.
    """

    def __init__(self, target: str, groups: int, unit: int) -> None:
        super().__init__(target)
        self.groups, self.unit = groups, unit

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """All inputs of every group that has an output."""
        groups = outputs.reshape(len(outputs), self.groups, self.unit).any(2)
        return [np.repeat(groups, width // self.groups, axis=1) for width in widths]

    def inputs_of(self, outputs: Channels, width: int) -> Channels:
        """The input channels that whole groups of outputs read, group by group.

        Args:
            outputs: whole groups, each in its natural order.
            width: input channels of all groups together.
        """
        size = width // self.groups
        return tuple(
            group * size + offset
            for group in (channel // self.unit for channel in outputs[:: self.unit])
            for offset in range(size)
        )

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The filters of these groups."""
        return {name: select(tensor, outputs) for name, tensor in tensors_of(module)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """The number of groups follows that of the outputs."""
        layer: Any = module
        layer.in_channels, layer.out_channels, layer.groups = len(inputs), len(outputs), len(outputs) // self.unit


class PatchEmbedding(Dense):
    """Patches of the image to channels, with the embeddings of their positions."""

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The filters and position embeddings of these channels."""
        source: Any = module
        projection = super().weights(source.patch_embed.proj, outputs, inputs)
        weights = {f"patch_embed.proj.{name}": tensor for name, tensor in projection.items()}
        if source.pos_embed is None:
            return weights
        return {**weights, "pos_embed": select(source.pos_embed, outputs, dim=-1)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Channels of the convolution over patches."""
        source: Any = module
        super().resize(source.patch_embed.proj, outputs, inputs)
