"""Graph of a network's operations on channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.channels.operations import ChannelSlice, ChannelWise, Concat, Operation, Rearrange, Sum


@dataclass(frozen=True)
class Node:
    """One operation of a graph.

    Attributes:
        name: the module's dotted name where there is one (a module that runs twice has two nodes of that name).
        operation: what is computed.
        inputs: indices of the nodes that it reads.
        channels: width of its output.
        axis: axis of the channels in its output: 1 (``[B, C, h, w]``) or -1 (``[B, h, w, C]``, and windows of these).
        site: number of the site at its output; None if there is none.
        layer: name of the node's layer in pictures and messages: the module that computed the channels.
    """

    name: str
    operation: Operation
    inputs: tuple[int, ...]
    channels: int
    axis: int
    site: int | None = None
    layer: str = ""


@dataclass(frozen=True)
class Graph:
    """The operations of a backbone, in order of execution; every node reads earlier nodes only.

    A **site** is a place where a choice per channel saves work: the output of a layer (convolution or linear layer with
    the normalisation, activation, pooling, depthwise convolution or residual addition that follows) where it is about
    to be read across channels, and every level of the pyramid.

    Attributes:
        nodes: the operations; the first is the image.
        outputs: nodes of the pyramid's levels, finest first; each is a site.
        sites: nodes with a site, in order.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    sites: tuple[int, ...]

    def users(self) -> list[list[int]]:
        """For every node the nodes that read it."""
        users: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                users[source].append(index)
        return users

    def site_of(self, index: int) -> int:
        """The number of the site at a node.

        Raises:
            ValueError: the node has none.
        """
        site = self.nodes[index].site
        if site is None:
            raise ValueError(f"{self.nodes[index].name} is no site")
        return site

    def modules(self, network: nn.Module) -> list[nn.Module | None]:
        """For every node the module of ``network`` (a copy of the traced one) that holds its weights."""
        return [
            None if node.operation.target is None else network.get_submodule(node.operation.target)
            for node in self.nodes
        ]

    def run(
        self, network: nn.Module, image: Tensor, visit: Callable[[int, Tensor], None] | None = None
    ) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels; ``visit(node, output)`` is called after every operation."""
        modules, values = self.modules(network), cast("list[Tensor]", [image])
        for index, node in enumerate(self.nodes[1:], start=1):
            values.append(node.operation.run(modules[index], *(values[source] for source in node.inputs)))
            if visit is not None:
                visit(index, values[-1])
        return [values[index] for index in self.outputs]


def units(nodes: Sequence[Node]) -> list[int]:
    """For every node how many neighbouring channels exist together: more than one behind a convolution in groups."""
    result: list[int] = []
    for node in nodes:
        unit = node.operation.unit
        if isinstance(node.operation, ChannelWise | Sum | Rearrange | ChannelSlice | Concat):
            unit = max([unit, *(result[source] for source in node.inputs if nodes[source].site is None)])
        result.append(1 if isinstance(node.operation, AttentionChannels) else unit)
    return result


def added_sites(graph: Graph) -> list[list[int]]:
    """Groups of two or more sites whose channels are added to each other, directly or by way of further sites.

    The ends of all blocks of a ResNet's stage are one group with what the first of them adds to, if that is a site;
    likewise all that is added at one resolution of an HRNet. Channels of one index meet in every addition: where all
    sites of a group leave out the same ones, an addition finds them at the same places in both of its inputs.
    """
    group_of: dict[int, set[int]] = {}
    for index in graph.sites:
        group: set[int] = set()
        for site in _added_to(graph, index):
            group |= group_of.get(site, {site})
        for site in group:
            group_of[site] = group
    return sorted(sorted(group) for group in {id(group): group for group in group_of.values()}.values())


def _added_to(graph: Graph, index: int) -> set[int]:
    """The site at a node and those that an addition before it, and behind all other sites, reads."""
    sites: set[int] = set()
    waiting, seen = [(index, False)], set[tuple[int, bool]]()
    while waiting:
        at, added = waiting.pop()
        node = graph.nodes[at]
        if at != index and node.site is not None:
            sites |= {node.site} if added else set()
        elif (at, added) not in seen and isinstance(node.operation, ChannelWise | Sum | Rearrange):
            seen.add((at, added))
            waiting += [(source, added or isinstance(node.operation, Sum)) for source in node.inputs]
    return {graph.site_of(index), *sites} if sites else set()
