"""Gates, projections and penalty weights of an encoder, by its graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.channels import Graph, added_sites, units
from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.channels.operations import Sum
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.interrogate.budget.rounding import GateGroup
from frugalmtl.encoders.interrogate.gates import Places
from frugalmtl.encoders.interrogate.options import GateOptions


def block_ends(graph: Graph, backbone: Backbone) -> list[int]:
    """The site behind the last addition of every transformer block from which another layer goes on."""
    ends: list[int] = []
    for block in backbone.blocks:
        inside = [node for node in graph.nodes if node.layer.startswith(f"{block.name}.")]
        if any(isinstance(node.operation, AttentionChannels) for node in inside):
            end = [node.site for node in inside if isinstance(node.operation, Sum)][-1]
            ends += [end] if end is not None else []
    return ends


def gate_places(graph: Graph, options: GateOptions, multiple: int) -> tuple[Places, list[GateGroup]]:
    """The gates of all sites, and the groups in which they are rounded.

    Args:
        graph: of one branch.
        options: which sites share their gates.
        multiple: of channels that are kept.
    """
    unit = units(graph.nodes)
    tied = added_sites(graph) if options.tie == "residual" else []
    if options.attention == "heads":
        for node in graph.nodes:
            if isinstance(node.operation, AttentionChannels):
                for source in node.inputs:
                    unit[source] = node.operation.unit
                tied.append([site for site in (graph.nodes[source].site for source in node.inputs) if site is not None])
    widths = [graph.nodes[index].channels for index in graph.sites]
    sizes = [unit[index] for index in graph.sites]
    for group in tied:  # channels that exist together at one site do so at all
        for site in group:
            sizes[site] = max(sizes[other] for other in group)
    places = Places.of(widths, sizes, tied)
    followers = {site for group in tied for site in group if site != min(group)}
    groups, start = [], 0
    for site, (width, size) in enumerate(zip(widths, sizes, strict=True)):
        if site not in followers:
            gates, step = width // size, max(1, -(-multiple // size))
            groups.append(GateGroup(start, gates, step if gates % step == 0 else gates))
            start += width // size
    return places, groups


def channel_weighting(places: Places, cost: Tensor, weighting: str, reduction: str) -> Tensor:
    """Weight of every channel in the sparsity loss, ``[C]`` over the channels of all sites, adding up to 1.

    Args:
        places: of the gates.
        cost: ``[U]``, of each gate.
        weighting: ``"macs"``: the cost of its gate, shared out among the gate's channels; ``"layers"``: all layers
            count alike.
        reduction: ``"sum"``: by ``"layers"``, all channels count alike, whatever the width of their layer.
    """
    if weighting == "macs":
        columns = torch.tensor(places.columns)
        by_channel = (cost / torch.bincount(columns, minlength=len(cost)))[columns]
    elif reduction == "sum":
        by_channel = torch.ones(len(places.columns))
    else:
        by_channel = torch.cat([torch.full((width,), 1.0 / width) for width in places.widths])
    return by_channel / by_channel.sum()


def projections_of(graph: Graph, backbone: Backbone) -> nn.ModuleDict:
    """Linear layers at the ends of transformer blocks, by the number of their site; each starts as the identity.

    Raises:
        UserError: the backbone has no transformer blocks.
    """
    projections = nn.ModuleDict()
    for site in block_ends(graph, backbone):
        channels = graph.nodes[graph.sites[site]].channels
        layer = nn.Linear(channels, channels)
        with torch.no_grad():
            layer.weight.copy_(torch.eye(channels))
            layer.bias.zero_()
        projections[str(site)] = layer
    if not projections:
        raise UserError("projection needs transformer blocks: leave it out, or choose another backbone")
    return projections
