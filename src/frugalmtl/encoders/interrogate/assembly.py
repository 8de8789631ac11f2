"""The parts that the encoder is put together from: branches, gates and their weights in the penalty."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.channels import Graph, units
from frugalmtl.channels.operations import Attention, Sum
from frugalmtl.core.checks import UserError, fraction, known
from frugalmtl.encoders.interrogate.gates import Gates, Places
from frugalmtl.encoders.interrogate.settle import Block


def block_ends(graph: Graph, backbone: Backbone) -> list[int]:
    """The site behind the last addition of every transformer block from which another layer goes on."""
    ends: list[int] = []
    for block in backbone.blocks:
        inside = [node for node in graph.nodes if node.layer.startswith(f"{block.name}.")]
        if any(isinstance(node.operation, Attention) for node in inside):
            end = [node.site for node in inside if isinstance(node.operation, Sum)][-1]
            ends += [end] if end is not None else []
    return ends


def targets_of(tau: float | dict[str, float], tasks: Sequence[str]) -> list[float]:
    """The target of every task, from one number for all or one by task.

    Raises:
        UserError: an unknown or missing task, or a number outside [0, 1].
    """
    if not isinstance(tau, dict):
        return [fraction("tau", tau)] * len(tasks)
    for task in tau:
        known("task in tau:", task, tasks)
    if missing := [task for task in tasks if task not in tau]:
        raise UserError(f"tau lacks {', '.join(missing)}: give one number for all tasks, or one per task")
    return [fraction(f"tau of {task!r}", tau[task]) for task in tasks]


def places_of(graph: Graph, whole_heads: bool, multiple: int) -> tuple[Places, list[Block]]:
    """Gates of all sites, and which of them are rounded together."""
    unit, tied = units(graph.nodes), []
    if whole_heads:
        for node in graph.nodes:
            if isinstance(node.operation, Attention):
                for source in node.inputs:
                    unit[source] = node.operation.unit
                tied.append([site for site in (graph.nodes[source].site for source in node.inputs) if site is not None])
    widths = [graph.nodes[index].channels for index in graph.sites]
    sizes = [unit[index] for index in graph.sites]
    places = Places.of(widths, sizes, tied)
    followers = {site for group in tied for site in group if site != min(group)}
    blocks, start = [], 0
    for site, (width, size) in enumerate(zip(widths, sizes, strict=True)):
        if site not in followers:
            gates, step = width // size, max(1, -(-multiple // size))
            blocks.append(Block(start, gates, step if gates % step == 0 else gates))
            start += width // size
    return places, blocks


def cost_per_channel(gates: Gates) -> Tensor:
    """Cost of every channel: that of its gate, shared out among the gate's channels."""
    return (gates.cost / torch.bincount(gates.columns, minlength=len(gates.cost)))[gates.columns]


def weight_per_layer(places: Places) -> Tensor:
    """Weight of every channel so that all layers count alike."""
    return torch.cat([torch.full((width,), 1.0 / width) for width in places.widths])


def identity_layer(channels: int) -> nn.Linear:
    """A linear layer that gives what it is given, until it is trained."""
    layer = nn.Linear(channels, channels)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels))
        layer.bias.zero_()
    return layer
