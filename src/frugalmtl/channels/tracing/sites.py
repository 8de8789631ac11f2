"""Widths, axes and sites of the nodes of a graph."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone
from frugalmtl.channels.graph import Graph, Node, units
from frugalmtl.channels.operations import (
    ChannelScale,
    ChannelSlice,
    ChannelWise,
    Concat,
    Dense,
    Grouped,
    MultiQueryChannels,
    PatchEmbedding,
    Permute,
    Rearrange,
    Sum,
)
from frugalmtl.core.checks import UserError

APART = ChannelWise | Sum | Rearrange | ChannelSlice | Concat
"""Operations that keep channels apart."""
LAYERS = Dense | Grouped | MultiQueryChannels
"""Operations that end in a layer whose channels are new."""


@torch.no_grad()
def measured(nodes: list[Node], outputs: list[int], backbone: Backbone) -> list[Node]:
    """Nodes with the axis and number of their channels.

    Raises:
        UserError: tensors are added, split or joined on another axis than that of their channels.
    """
    training = backbone.training
    backbone.eval()
    axes = [1]
    for node in nodes[1:]:
        axis = axes[node.inputs[0]]
        if isinstance(node.operation, Permute):
            axis = -1 if node.operation.dims == (0, 2, 3, 1) else 1
        elif isinstance(node.operation, PatchEmbedding):
            axis = -1
        axes.append(axis)
    widths = [3] + [0] * (len(nodes) - 1)

    def visit(index: int, output: Tensor) -> None:
        widths[index] = output.shape[axes[index]]

    weight = next(backbone.parameters())
    probe = torch.zeros(1, 3, *backbone.probe_size, device=weight.device, dtype=weight.dtype)
    Graph(tuple(nodes), tuple(outputs), ()).run(backbone, probe, visit)
    backbone.train(training)
    for node, axis in zip(nodes, axes, strict=True):
        _check(node, axis, [(widths[source], axes[source]) for source in node.inputs])
    return [replace(node, channels=width, axis=axis) for node, width, axis in zip(nodes, widths, axes, strict=True)]


def _check(node: Node, axis: int, inputs: list[tuple[int, int]]) -> None:
    operation = node.operation
    apart = isinstance(operation, ChannelSlice | Concat | ChannelScale) and operation.axis != axis
    if apart or (isinstance(operation, Sum | Concat) and len({place for _, place in inputs}) > 1):
        raise UserError(f"{node.layer} works on another axis than that of the channels: choose another backbone")
    if type(operation) is Sum and len({width for width, _ in inputs}) > 1:
        raise UserError(f"{node.layer} adds tensors of unlike widths: choose another backbone")


def with_sites(nodes: list[Node], outputs: list[int]) -> Graph:
    """The graph of these nodes, with its sites and the names of layers.

    Raises:
        UserError: a split or a concatenation parts channels that exist together.
    """
    users = Graph(tuple(nodes), tuple(outputs), ()).users()
    fresh: list[bool] = []  # whether a layer with channels to leave out lies between a node and the sites before it
    sited: list[bool] = []
    for index, node in enumerate(nodes):
        carries = isinstance(node.operation, APART)
        inherited = any(fresh[source] and not sited[source] for source in node.inputs)
        fresh.append(isinstance(node.operation, LAYERS) or (carries and inherited))
        readers = [nodes[user].operation for user in users[index]]
        across = any(not isinstance(reader, APART) for reader in readers)
        several = len(readers) > 1 and not all(isinstance(reader, ChannelSlice) for reader in readers)
        sited.append(index in outputs or (fresh[-1] and (across or several)))
    layers: list[str] = []
    for node in nodes:
        starts = isinstance(node.operation, LAYERS)
        before = layers[max(node.inputs)] if node.inputs else ""
        layers.append(node.name if starts or not before else before)
    sites = tuple(index for index, flag in enumerate(sited) if flag)
    numbered = [
        replace(node, site=sites.index(index) if sited[index] else None, layer=layers[index])
        for index, node in enumerate(nodes)
    ]
    _require_whole_units(numbered)
    return Graph(tuple(numbered), tuple(outputs), sites)


def _require_whole_units(nodes: list[Node]) -> None:
    sizes = units(nodes)
    for index, node in enumerate(nodes):
        unit = sizes[index]
        widths = [nodes[source].channels for source in node.inputs]
        cuts = [node.operation.start, node.operation.width] if isinstance(node.operation, ChannelSlice) else []
        cuts += widths if isinstance(node.operation, Concat) else []
        if any(cut % unit for cut in cuts):
            raise UserError(
                f"{node.layer} computes groups of {unit} channels that are split or joined with others within a group: "
                "choose another backbone"
            )
