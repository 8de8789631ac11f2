"""Program of planned operations: a graph of smaller layers, and where their weights come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from frugalmtl.channels.operations import Channels, select
from frugalmtl.layers.gathering import gather


@dataclass(frozen=True)
class LayerSource:
    """Where a layer of a program takes its weights from.

    Attributes:
        node: index of the node; None for a projection.
        branch: whose weights.
        site: of a projection; else None.
        outputs: channels that it computes.
        inputs: channels that it reads.
    """

    node: int | None
    branch: int
    site: int | None
    outputs: Channels
    inputs: Channels


@dataclass(frozen=True)
class MixSource:
    """Where a factor of a mix comes from: the shares of some private branches together.

    Attributes:
        site: of the mix.
        branches: whose shares are added.
        channels: of the site, in order.
        axis: of the channels in the tensors that it multiplies.
    """

    site: int
    branches: tuple[int, ...]
    channels: Channels
    axis: int

    def value(self, mixes: Sequence[Tensor]) -> Tensor:
        """The factor, with the shape that multiplies features."""
        share = select(select(mixes[self.site], self.branches), self.channels, dim=1).sum(0)
        return share.reshape(-1, 1, 1) if self.axis == 1 else share


@dataclass
class Program:
    """Planned operations as a program.

    Attributes:
        root: holds the layers and constants, by name.
        graph: what runs.
        layers: of every layer.
        mixes: of every factor of a mix.
    """

    root: nn.Module
    graph: fx.Graph
    layers: dict[str, LayerSource]
    mixes: dict[str, MixSource]

    def module(self, name: str) -> fx.GraphModule:
        """The program as a module."""
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph, name)


class ProgramDraft:
    """A program while it is built.

    Attributes:
        root: holds the layers and constants, by name.
        graph: what runs.
        image: the input ``[B, 3, H, W]``.
        layers: see :class:`Program`.
        mixes: see :class:`Program`.
        tensors: what is computed already, by what it is.
    """

    def __init__(self) -> None:
        self.root, self.graph = nn.Module(), fx.Graph()
        self.image = self.graph.placeholder("image")
        self.layers: dict[str, LayerSource] = {}
        self.mixes: dict[str, MixSource] = {}
        self.tensors: dict[Any, fx.Node] = {}

    def finish(self, outputs: Any) -> Program:
        """End with these tensors; what they do not need is dropped."""
        self.graph.output(outputs)
        self.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
        used = {str(node.target) for node in self.graph.nodes}
        layers = {name: layer for name, layer in self.layers.items() if name in used}
        mixes = {name: mix for name, mix in self.mixes.items() if name in used}
        return Program(self.root, self.graph, layers, mixes)

    def add_module(self, name: str, module: nn.Module) -> str:
        """Hold a module; returns its name, with underscores behind it if the name is taken."""
        while hasattr(self.root, name):
            name += "_"
        self.root.add_module(name, module)
        return name

    def select(self, tensor: fx.Node, stored: Channels, wanted: Channels, axis: int) -> fx.Node:
        """Some channels of a tensor that stores ``stored``: the tensor itself, neighbours in it, or gathered ones."""
        if stored == wanted:
            return tensor
        key = ("selected", tensor, wanted)
        if key not in self.tensors:
            place = {channel: position for position, channel in enumerate(stored)}
            positions = [place[channel] for channel in wanted]
            if positions == list(range(positions[0], positions[0] + len(positions))):
                selected = self.graph.call_function(torch.narrow, (tensor, axis, positions[0], len(positions)))
            else:
                name = f"index_{len(self.tensors)}"
                self.root.register_buffer(name, torch.tensor(positions))
                selected = self.graph.call_function(gather, (tensor, axis, self.graph.get_attr(name)))
            self.tensors[key] = selected
        return self.tensors[key]

    def concatenate(self, parts: Sequence[fx.Node], axis: int) -> fx.Node:
        """Parts one after the other along the channels."""
        return parts[0] if len(parts) == 1 else self.graph.call_function(torch.cat, (list(parts), axis))


class ReorderChannels(nn.Module):
    """A gathering of channels as a module, at the end of a network: who reads it may take the channels as they come.

    Args:
        index: places of the channels, ``[K]``.
        axis: of the channels: 1 or -1.
    """

    index: Tensor

    def __init__(self, index: Tensor, axis: int) -> None:
        super().__init__()
        self.register_buffer("index", index)
        self.axis = axis

    def forward(self, tensor: Tensor) -> Tensor:
        """Channels as they are stored -> in the order of ``index``."""
        return gather(tensor, self.axis, self.index)
