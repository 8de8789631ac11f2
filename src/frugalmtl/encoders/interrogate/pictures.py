"""Heat maps of gates and mixing weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from frugalmtl.channels import Graph
from frugalmtl.core.types import Heatmap
from frugalmtl.encoders.interrogate.gates import Gates


@torch.no_grad()
def pictures(graph: Graph, gates: Gates, tasks: Sequence[str]) -> list[Heatmap]:
    """Three heat maps, a column per site and a row per task: shares of own channels (figure 3, top), shares of channels
    in whose mix the task weighs most (figure 3, bottom), and mean contributions to the mix.
    """
    columns = _names(graph)
    private = [mask.mean(1) for mask in gates.private()]
    mixes = gates.mixes()
    shares, largest = [mix.mean(1) for mix in mixes], [_largest(mix) for mix in mixes]
    return [
        Heatmap(
            "own_channels",
            "Channels that each task keeps for itself, layer by layer",
            list(tasks),
            columns,
            [[float(layer[row]) for layer in private] for row in range(len(tasks))],
            "1: all channels behind the layer are the task's own; 0: all come from the shared branch.",
        ),
        Heatmap(
            "largest_beta",
            "Channels of the shared branch in which each task weighs most, layer by layer",
            list(tasks),
            columns,
            [[float(layer[row]) for layer in largest] for row in range(len(tasks))],
            "Share of the channels whose largest beta is the task's; tasks that weigh alike share a channel.",
        ),
        Heatmap(
            "heard_by_shared",
            "What the shared branch hears of each task, layer by layer",
            list(tasks),
            columns,
            [[float(layer[row]) for layer in shares] for row in range(len(tasks))],
            f"Mean over channels of the softmax of beta; equal shares are {1 / len(tasks):.2f}.",
            limits=(0.0, max(float(layer.max()) for layer in shares)),
        ),
    ]


def _largest(mix: Tensor) -> Tensor:
    """Mixing weights ``[T, C]`` -> share of the channels in which each task's is the largest, ``[T]``."""
    top = (mix == mix.amax(0)).to(mix.dtype)
    return (top / top.sum(0)).mean(1)


def _names(graph: Graph) -> list[str]:
    """Names of the layers before the sites; a layer with several sites gets them numbered."""
    layers = [graph.nodes[index].layer for index in graph.sites]
    seen: dict[str, int] = {}
    names = []
    for layer in layers:
        seen[layer] = seen.get(layer, 0) + 1
        names.append(f"{layer} #{seen[layer]}" if layers.count(layer) > 1 else layer)
    return names
