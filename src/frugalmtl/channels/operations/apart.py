"""Operations that keep channels apart: each output channel reads one channel of an input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from frugalmtl.channels.operations.base import Channels, Mask, Operation, select, tensors_of


class ChannelWise(Operation):
    """Maps every channel by itself: activations, pooling, dropout, scales, batch normalisation, depthwise convolution.

    ``[.., C, ..]`` -> ``[.., C, ..]``.
    """

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """The same channels."""
        return [outputs]

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The vectors and filters of these channels."""
        if outputs != inputs:
            raise ValueError("a channel-wise operation has the channels of its input, in their order")
        return {name: select(tensor, outputs) if tensor.ndim else tensor for name, tensor in tensors_of(module)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Convolutions stay depthwise."""
        for name in ("num_features", "in_channels", "out_channels", "groups"):
            if hasattr(module, name):
                setattr(module, name, len(outputs))


class Sum(Operation):
    """Adds its inputs, channel by channel."""

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Two tensors of one shape -> their sum."""
        first, second = inputs
        return first + second

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """The same channels of every input."""
        return [outputs for _ in widths]


class Rearrange(Operation):
    """Moves positions or axes, channel by channel, without weights."""

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """The same channels."""
        return [outputs]


class Permute(Rearrange):
    """Moves the channels to another axis.

    Args:
        dims: as ``Tensor.permute`` takes them.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[B, C, h, w]`` <-> ``[B, h, w, C]``."""
        return inputs[0].permute(self.dims)


class ChannelSlice(Operation):
    """Neighbouring channels: queries, keys or values out of one projection.

    Args:
        start: first channel.
        width: number of channels.
    """

    def __init__(self, start: int, width: int) -> None:
        super().__init__()
        self.start, self.width = start, width

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[..., C]`` -> ``[..., width]``."""
        return inputs[0].narrow(-1, self.start, self.width)

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """The channels at their places in the input."""
        inputs = np.zeros((len(outputs), widths[0]), dtype=bool)
        inputs[:, self.start : self.start + self.width] = outputs
        return [inputs]
