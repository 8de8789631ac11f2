"""Operations on channels, each of which can be restricted to some of its channels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frugalmtl.layers.gathering import gather

Mask = NDArray[np.bool_]
"""``[branches, C]`` of booleans: channels of every branch."""

Channels = tuple[int, ...]
"""Indices of channels, in the order in which a tensor holds them."""


class Operation:
    """One operation of a network, seen from its channels.

    An operation with weights names the module that holds them, so that copies of a network run the same graph, each
    with its own weights.

    Args:
        target: dotted name of the module inside the network; None for operations without weights.

    Attributes:
        unit: this many neighbouring output channels exist together or not at all.
    """

    unit: int = 1

    def __init__(self, target: str | None = None) -> None:
        self.target = target

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Inputs -> output, all channels."""
        if module is None:
            raise TypeError(f"{type(self).__name__} needs a module")
        output: Tensor = module(*inputs)
        return output

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """Output channels -> channels of every input that these are computed from.

        Args:
            outputs: output channels of every branch.
            widths: channels of every input.
        """
        raise NotImplementedError

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """Parameters and buffers of :meth:`sliced`, by name, as differentiable slices of the module's.

        A tensor that is kept whole and in order is the module's tensor itself.
        """
        raise NotImplementedError

    def template(self, module: nn.Module) -> nn.Module:
        """A module that runs with other numbers of channels once its tensors are replaced."""
        return copy.deepcopy(module)

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Set the numbers of channels that a template declares."""

    def sliced(self, module: nn.Module, outputs: Channels, inputs: Channels) -> nn.Module:
        """A module that computes the channels ``outputs`` from inputs that hold the channels ``inputs``, in that order.

        It holds copies of the weights that it needs.
        """
        result = self.template(module)
        for name, tensor in self.weights(module, outputs, inputs).items():
            path, _, attribute = name.rpartition(".")
            owner = result.get_submodule(path)
            copied = tensor.detach().clone()
            setattr(owner, attribute, nn.Parameter(copied) if attribute in owner._parameters else copied)
        self.resize(result, outputs, inputs)
        return result


class WithoutWeights(nn.Module):
    """An operation without weights as a layer.

    Args:
        operation: runs on as many channels as come.
    """

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, *inputs: Tensor) -> Tensor:
        """See the operation."""
        return self.operation.run(None, *inputs)


class Image(Operation):
    """The network's input."""

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """None: it has no inputs."""
        return []


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


class AllChannels(Operation):
    """Every output channel depends on all input channels, and all are computed at once.

    Layer normalisation, squeeze-and-excitation. Their weights follow the order in which channels come.
    """

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """All channels, if there is any output."""
        return [np.repeat(outputs.any(1, keepdims=True), width, axis=1) for width in widths]

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """Its weights in the order of the channels."""
        if outputs != inputs or sorted(outputs) != list(range(len(outputs))):
            raise ValueError("an operation over all channels has all of them as inputs and outputs, in one order")
        weights = dict(tensors_of(module))
        if isinstance(module, nn.LayerNorm):
            return {name: select(tensor, outputs) for name, tensor in weights.items()}
        squeeze, expand = excitation(module)
        for name, tensor in weights.items():
            if tensor is squeeze.weight:
                weights[name] = select(tensor, outputs, dim=1)
            elif tensor is expand.weight or tensor is expand.bias:
                weights[name] = select(tensor, outputs)
        return weights


def excitation(module: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d]:
    """First and last convolution of a squeeze-and-excitation module of timm."""
    for names in (("conv_reduce", "conv_expand"), ("fc1", "fc2")):
        first, last = (getattr(module, name, None) for name in names)
        if isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d):
            return first, last
    raise TypeError(f"{type(module).__name__} is no squeeze-and-excitation module")


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


def tensors_of(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers, by name."""
    return [*module.named_parameters(), *module.named_buffers()]


def select(tensor: Tensor, index: Channels, dim: int = 0) -> Tensor:
    """``tensor`` at some places along an axis; the tensor itself if these are all, in order."""
    if index == tuple(range(tensor.shape[dim])):
        return tensor
    return gather(tensor, dim, index_of(index, tensor.device))


@lru_cache(maxsize=65536)
def index_of(places: Channels, device: torch.device) -> Tensor:
    """Places as a tensor on a device, which they travel to once; not to be changed."""
    with torch.inference_mode(False):  # an index made while evaluating must serve training, too
        return torch.tensor(places).to(device)
