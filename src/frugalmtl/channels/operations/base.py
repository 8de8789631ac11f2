"""Base of operations on channels, each of which can be restricted to some of its channels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache

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
