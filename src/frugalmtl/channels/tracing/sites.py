"""Widths, axes and sites of the nodes of a graph."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone
from frugalmtl.channels.graph import Graph, Node
from frugalmtl.channels.operations import (
    ChannelSlice,
    ChannelWise,
    Dense,
    Grouped,
    PatchEmbedding,
    Permute,
    Rearrange,
    Sum,
)


@torch.no_grad()
def measured(nodes: list[Node], outputs: list[int], backbone: Backbone) -> list[Node]:
    """Nodes with the axis and number of their channels."""
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
    return [replace(node, channels=width, axis=axis) for node, width, axis in zip(nodes, widths, axes, strict=True)]


def with_sites(nodes: list[Node], outputs: list[int]) -> Graph:
    """The graph of these nodes, with its sites and the names of layers."""
    users = Graph(tuple(nodes), tuple(outputs), ()).users()
    fresh: list[bool] = []  # whether a layer with channels to leave out lies between a node and the sites before it
    sited: list[bool] = []
    for index, node in enumerate(nodes):
        carries = isinstance(node.operation, ChannelWise | Sum | Rearrange | ChannelSlice)
        inherited = any(fresh[source] and not sited[source] for source in node.inputs)
        fresh.append(isinstance(node.operation, Dense | Grouped) or (carries and inherited))
        readers = [nodes[user].operation for user in users[index]]
        across = any(not isinstance(reader, ChannelWise | Sum | Rearrange | ChannelSlice) for reader in readers)
        several = len(readers) > 1 and not all(isinstance(reader, ChannelSlice) for reader in readers)
        sited.append(index in outputs or (fresh[-1] and (across or several)))
    layers: list[str] = []
    for node in nodes:
        starts = isinstance(node.operation, Dense | Grouped)
        before = layers[max(node.inputs)] if node.inputs else ""
        layers.append(node.name if starts or not before else before)
    sites = tuple(index for index, flag in enumerate(sited) if flag)
    numbered = [
        replace(node, site=sites.index(index) if sited[index] else None, layer=layers[index])
        for index, node in enumerate(nodes)
    ]
    return Graph(tuple(numbered), tuple(outputs), sites)
