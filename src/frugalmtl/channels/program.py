"""A static program: which layers it holds, and where their weights come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, fx, nn

from frugalmtl.channels import Channels


@dataclass(frozen=True)
class Layer:
    """Where a layer of a program takes its weights from.

    Attributes:
        node: index of the node; None for a projection.
        branch: whose weights.
        site: of a projection; else None.
        outputs: channels that it gives.
        inputs: channels that it reads.
    """

    node: int | None
    branch: int
    site: int | None
    outputs: Channels
    inputs: Channels


@dataclass(frozen=True)
class Mix:
    """Where a factor of a mix comes from: the shares of some tasks together.

    Attributes:
        site: of the mix.
        tasks: whose shares are added.
        channels: of the site, in order.
        axis: of the channels in the tensors that it multiplies.
    """

    site: int
    tasks: tuple[int, ...]
    channels: Channels
    axis: int

    def value(self, mixes: Sequence[Tensor]) -> Tensor:
        """The factor, with the shape that multiplies features."""
        share = mixes[self.site][:, list(self.channels)][list(self.tasks)].sum(0)
        return share.reshape(-1, 1, 1) if self.axis == 1 else share


@dataclass
class Program:
    """Planned operations, written down.

    Attributes:
        root: holds the layers and constants, by name.
        graph: what runs.
        layers: of every layer.
        mixes: of every factor of a mix.
    """

    root: nn.Module
    graph: fx.Graph
    layers: dict[str, Layer]
    mixes: dict[str, Mix]

    def module(self, name: str) -> fx.GraphModule:
        """The program as a module."""
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph, name)
