"""Operations that keep channels apart: each output channel reads one channel of an input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
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
        """Convolutions stay depthwise, blurs too."""
        for name in ("num_features", "in_channels", "out_channels", "groups", "channels"):
            if hasattr(module, name):
                setattr(module, name, len(outputs))


class ChannelScale(ChannelWise):
    """Multiplies every channel by a number of its own: a parameter of a module that does more than that (ConvNeXt).

    Args:
        target: dotted name of the module.
        attribute: name of its parameter, ``[C]``.
        axis: of the channels in the tensor: 1 or -1.
    """

    def __init__(self, target: str, attribute: str, axis: int) -> None:
        super().__init__(target)
        self.attribute, self.axis = attribute, axis

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[.., C, ..]`` -> ``[.., C, ..]``."""
        return inputs[0] * along(getattr(module, self.attribute), self.axis)

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The numbers of these channels."""
        if outputs != inputs:
            raise ValueError("a channel-wise operation has the channels of its input, in their order")
        return {"scale": select(getattr(module, self.attribute), outputs)}

    def template(self, module: nn.Module) -> nn.Module:
        """The multiplication as a module."""
        return Scale(getattr(module, self.attribute), self.axis)

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Nothing to set."""


class Scale(nn.Module):
    """Channels times numbers.

    Args:
        scale: ``[C]``; copied.
        axis: of the channels in the tensor: 1 or -1.
    """

    def __init__(self, scale: Tensor, axis: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale.detach().clone())
        self.axis = axis

    def forward(self, tensor: Tensor) -> Tensor:
        """``[.., C, ..]`` -> ``[.., C, ..]``."""
        return tensor * along(self.scale, self.axis)


def along(numbers: Tensor, axis: int) -> Tensor:
    """``[C]`` with the shape that multiplies channels on an axis: 1 of ``[B, C, h, w]``, or the last one."""
    return numbers.reshape(-1, 1, 1) if axis == 1 else numbers


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
    """Neighbouring channels: queries, keys or values out of one projection, a part of a split.

    Args:
        start: first channel.
        width: number of channels.
        axis: of the channels: 1 or -1.
    """

    def __init__(self, start: int, width: int, axis: int = -1) -> None:
        super().__init__()
        self.start, self.width, self.axis = start, width, axis

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[.., C, ..]`` -> ``[.., width, ..]``."""
        return inputs[0].narrow(self.axis, self.start, self.width)

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """The channels at their places in the input."""
        inputs = np.zeros((len(outputs), widths[0]), dtype=bool)
        inputs[:, self.start : self.start + self.width] = outputs
        return [inputs]


class Concat(Operation):
    """Channels of several inputs, one input after the other.

    Args:
        axis: of the channels: 1 or -1.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Tensors ``[.., C_i, ..]`` -> ``[.., sum of C_i, ..]``."""
        return torch.cat(inputs, self.axis)

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """The channels at their places in the inputs."""
        return np.split(outputs, np.cumsum(widths)[:-1], axis=1)


def parts_of(outputs: Channels, widths: Sequence[int]) -> list[Channels]:
    """Output channels of a concatenation -> channels of every input, in the order in which the outputs name them."""
    starts = [sum(widths[:index]) for index in range(len(widths))]
    return [
        tuple(channel - start for channel in outputs if start <= channel < start + width)
        for start, width in zip(starts, widths, strict=True)
    ]
