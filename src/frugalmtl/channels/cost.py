"""Multiply-adds of a graph's operations, counted on what runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.channels.graph import Graph
from frugalmtl.channels.operations import AllChannels, Dense, Grouped, Image
from frugalmtl.channels.windows import SumOfWindows


def node_macs(graph: Graph, network: nn.Module, image_size: tuple[int, int]) -> list[float]:
    """Multiply-adds per image of every node with all its channels.

    Args:
        graph: of the network.
        network: any copy of the traced backbone.
        image_size: height and width.
    """
    counts: list[float] = [0.0]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        _on_meta(graph, network, image_size, lambda _index, _output: counts.append(counter.get_total_flops() / 2.0))
    return [0.0, *(after - before for before, after in pairwise(counts))]


def node_inputs(graph: Graph, network: nn.Module, image_size: tuple[int, int]) -> list[torch.Size]:
    """Shape of the first input of every node for one image; of the image's node its own.

    Args:
        graph: of the network.
        network: any copy of the traced backbone.
        image_size: height and width.
    """
    outputs = [torch.Size((1, 3, *image_size))]
    _on_meta(graph, network, image_size, lambda _index, output: outputs.append(output.shape))
    return [outputs[node.inputs[0]] if node.inputs else outputs[0] for node in graph.nodes]


@torch.no_grad()
def _on_meta(
    graph: Graph, network: nn.Module, image_size: tuple[int, int], visit: Callable[[int, Tensor], None]
) -> None:
    """Run a graph on one image without values, in eval mode; ``visit(node, output)`` is called after every node."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    on_meta = {f"network.{name}": torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    training = network.training
    network.eval()
    image = torch.empty(1, 3, *image_size, device="meta")
    torch.func.functional_call(_Runner(graph, network), on_meta, (image, visit))
    network.train(training)


class _Runner(nn.Module):
    """Runs a graph as a module, whose weights can be replaced for one call."""

    def __init__(self, graph: Graph, network: nn.Module) -> None:
        super().__init__()
        self.graph, self.network = graph, network

    def forward(self, image: Tensor, visit: object) -> list[Tensor]:
        return self.graph.run(self.network, image, visit)  # type: ignore[arg-type]  # functional_call hands it on


def site_macs(graph: Graph, per_node: Sequence[float]) -> list[float]:
    """Multiply-adds of one channel at every site: those of the layers between the site and the sites before it.

    Attention itself and operations over all channels are left out.

    Args:
        graph: of one network.
        per_node: see :func:`node_macs`; or another cost of every node with all its channels, such as time.
    """
    per_channel: list[float] = []
    for index in graph.sites:
        total, waiting, seen = 0.0, [index], {index}
        while waiting:
            at = waiting.pop()
            node = graph.nodes[at]
            if isinstance(node.operation, AllChannels | AttentionChannels | Image):
                continue
            total += per_node[at] / node.channels
            sources = () if isinstance(node.operation, Dense | Grouped) else node.inputs
            fresh = [source for source in sources if graph.nodes[source].site is None and source not in seen]
            waiting += fresh
            seen.update(fresh)
        per_channel.append(total)
    return per_channel


def projection_macs(graph: Graph, per_node: Sequence[float], site: int) -> float:
    """Multiply-adds of a linear layer on the channels of a site, at the positions of the layer before the site.

    The layer before a sum of windows has padded positions: there it is the layer behind that counts.
    """
    index = graph.sites[site]
    node = graph.nodes[index]
    if isinstance(node.operation, SumOfWindows):
        behind = _layer_behind(graph, index)
        return per_node[behind] / graph.nodes[behind].channels * node.channels
    layer = next(index for index, other in enumerate(graph.nodes) if other.name == node.layer)
    return per_node[layer] / graph.nodes[graph.nodes[layer].inputs[0]].channels * node.channels


def _layer_behind(graph: Graph, index: int) -> int:
    """The first layer behind a node that reads its channels, normalised, at its positions."""
    users = graph.users()
    readers = [user for user in users[index] if isinstance(graph.nodes[user].operation, AllChannels)]
    return next(user for reader in readers for user in users[reader] if isinstance(graph.nodes[user].operation, Dense))
