"""Layers of a graph at the sizes at which they run."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from frugalmtl.channels.cost import node_inputs
from frugalmtl.channels.graph import Graph
from frugalmtl.channels.operations import PatchEmbedding
from frugalmtl.core.checks import UserError


@dataclass(frozen=True)
class SizedLayer:
    """A convolution or linear layer with the size of its input: all that its time depends on but the machine.

    Attributes:
        kind: convolution, transposed convolution or linear layer.
        inputs: input channels.
        outputs: output channels with none of them taken away.
        size: height and width of the input of a convolution; of a linear layer the positions per image, and 1.
        kernel: of a convolution, as are all that follow.
        stride: in both directions.
        padding: in both directions.
        dilation: in both directions.
        groups: of the convolution with all its channels.

    Raises:
        UserError: numbers that are no layer's.
    """

    kind: Literal["convolution", "transposed", "linear"]
    inputs: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        whole = (self.inputs, self.outputs, self.groups, *self.size, *self.kernel, *self.stride, *self.dilation)
        if min(whole) < 1 or min(self.padding) < 0 or self.inputs % self.groups or self.outputs % self.groups:
            raise UserError(f"{self} is no layer: channels must be multiples of groups, and all numbers above 0")

    @property
    def unit(self) -> int:
        """Output channels that exist together: those of a group; 1 where all outputs read all inputs."""
        return self.outputs // self.groups if self.groups > 1 else 1

    def build(self, width: int) -> nn.Module:
        """The layer with some of its outputs; of a convolution in groups whole groups, with the inputs they read."""
        if self.kind == "linear":
            return nn.Linear(self.inputs, width)
        if self.kind == "transposed":
            return nn.ConvTranspose2d(
                self.inputs, width, self.kernel, self.stride, self.padding, dilation=self.dilation
            )
        groups = width // self.unit if self.groups > 1 else 1
        return nn.Conv2d(
            self._inputs(width), width, self.kernel, self.stride, self.padding, self.dilation, groups=groups
        )

    def example(self, width: int, batch: int) -> Tensor:
        """Noise as input of the layer with some of its outputs, the same in every call."""
        generator = torch.Generator().manual_seed(0)
        if self.kind == "linear":
            return torch.randn(batch, self.size[0], self.inputs, generator=generator)
        return torch.randn(batch, self._inputs(width), *self.size, generator=generator)

    def _inputs(self, width: int) -> int:
        return width // self.unit * (self.inputs // self.groups) if self.groups > 1 else self.inputs

    def __str__(self) -> str:
        """As messages name it."""
        size = f"{self.size[0]} x {self.size[1]}"
        if self.kind == "linear":
            return f"linear {self.inputs} -> {self.outputs} at {self.size[0]} positions"
        kernel, groups = f"{self.kernel[0]}x{self.kernel[1]}", f", {self.groups} groups" if self.groups > 1 else ""
        return f"{self.kind} {kernel} {self.inputs} -> {self.outputs}, stride {self.stride[0]}{groups} at {size}"


def layers_of(graph: Graph, network: nn.Module, image_size: tuple[int, int]) -> dict[int, SizedLayer]:
    """The convolutions and linear layers of a graph, by the numbers of their nodes.

    Args:
        graph: of the network.
        network: any copy of the traced backbone.
        image_size: height and width.

    Raises:
        UserError: a convolution whose padding is no number, or a transposed one in groups or with padded outputs.
    """
    layers: dict[int, SizedLayer] = {}
    inputs = node_inputs(graph, network, image_size)
    for index, (node, module) in enumerate(zip(graph.nodes, graph.modules(network), strict=True)):
        held: Any = module
        layer = held.patch_embed.proj if isinstance(node.operation, PatchEmbedding) else held
        if isinstance(layer, nn.Linear):
            size = (prod(inputs[index][:-1]), 1)
            layers[index] = SizedLayer("linear", layer.in_features, layer.out_features, size)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layers[index] = _convolution(node.name, layer, inputs[index])
    return layers


def _convolution(name: str, layer: nn.Conv2d | nn.ConvTranspose2d, shape: torch.Size) -> SizedLayer:
    transposed = isinstance(layer, nn.ConvTranspose2d)
    if isinstance(layer.padding, str) or (transposed and (layer.groups > 1 or any(layer.output_padding))):
        raise UserError(f"{name} is a convolution of a kind that is not timed: take price: macs")
    kernel, stride, padding, dilation = (
        (int(pair[0]), int(pair[1])) for pair in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    size = (int(shape[-2]), int(shape[-1]))
    return SizedLayer(
        "transposed" if transposed else "convolution",
        layer.in_channels,
        layer.out_channels,
        size,
        kernel,
        stride,
        padding,
        dilation,
        layer.groups,
    )
