"""An account of what branches must compute, channel by channel, independent of the planner."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import nn

from frugalmtl.channels import Graph, Mask
from frugalmtl.channels.attention import AttentionChannels, WindowAttentionChannels
from frugalmtl.channels.operations import (
    AllChannels,
    ChannelScale,
    ChannelSlice,
    ChannelWise,
    Concat,
    Dense,
    Grouped,
    Image,
    PatchEmbedding,
    Rearrange,
    Sum,
)
from frugalmtl.channels.windows import MergePatches


class Needs:
    """Per channel and branch, from the outputs on: who computes what. The last branch is the shared one.

    Args:
        graph: of one branch.
        private: per site ``[T, C]``.
        levels: per private branch the levels that are read.
        projected: sites whose mix goes through a projection.
    """

    def __init__(
        self, graph: Graph, private: Sequence[Mask], levels: Sequence[Sequence[int]], projected: Collection[int] = ()
    ) -> None:
        self.graph, self.private, self.projected = graph, private, projected
        self.shared = len(levels)
        self.computed: dict[tuple[int, int], set[int]] = {}
        self.read_projections: set[int] = set()
        waiting = [
            (branch, graph.outputs[level], channel)
            for branch, read in enumerate(levels)
            for level in read
            for channel in range(graph.nodes[graph.outputs[level]].channels)
        ]
        seen = set(waiting)
        while waiting:
            for item in self.read(*waiting.pop()):
                if item not in seen:
                    seen.add(item)
                    waiting.append(item)

    def read(self, branch: int, index: int, channel: int) -> list[tuple[int, int, int]]:
        node = self.graph.nodes[index]
        if node.site is None:
            return self.compute(branch, index, channel)
        if branch < self.shared:
            kept = bool(self.private[node.site][branch, channel])
            return self.compute(branch if kept else self.shared, index, channel)
        channels = [channel]
        if node.site in self.projected:
            self.read_projections.add(node.site)
            channels = list(range(node.channels))
        return [(other, index, one) for other in range(self.shared) for one in channels]

    def compute(self, branch: int, index: int, channel: int) -> list[tuple[int, int, int]]:
        node = self.graph.nodes[index]
        operation, computed = node.operation, self.computed.setdefault((branch, index), set())
        if channel in computed:
            return []
        widths = [self.graph.nodes[source].channels for source in node.inputs]
        together, reads = [channel], [(source, channel) for source in node.inputs]
        if isinstance(operation, Image):
            reads = []
        elif isinstance(operation, Dense):
            reads = [(node.inputs[0], other) for other in range(widths[0])]
        elif isinstance(operation, Grouped):
            group = channel // operation.unit
            together = list(range(group * operation.unit, (group + 1) * operation.unit))
            size = widths[0] // operation.groups
            reads = [(node.inputs[0], group * size + other) for other in range(size)]
        elif isinstance(operation, AllChannels):
            together = list(range(node.channels))
            reads = [(node.inputs[0], other) for other in range(widths[0])]
        elif isinstance(operation, AttentionChannels):
            head = channel // operation.unit
            together = list(range(head * operation.unit, (head + 1) * operation.unit))
            reads = [(source, other) for source in node.inputs for other in together]
        elif isinstance(operation, ChannelSlice):
            reads = [(node.inputs[0], operation.start + channel)]
        elif isinstance(operation, Concat):
            ends = [sum(widths[: number + 1]) for number in range(len(widths))]
            number = next(at for at, end in enumerate(ends) if channel < end)
            reads = [(node.inputs[number], channel - ends[number] + widths[number])]
        elif isinstance(operation, MergePatches):
            together = list(range(channel % widths[0], node.channels, widths[0]))
            reads = [(node.inputs[0], channel % widths[0])]
        else:
            assert isinstance(operation, ChannelWise | Sum | Rearrange)
        computed.update(together)
        return [(branch, source, other) for source, other in reads]

    def parameters(self, networks: Sequence[nn.Module]) -> int:
        """Numbers in the layers that remain."""
        total = 0
        for (branch, index), channels in self.computed.items():
            node = self.graph.nodes[index]
            if node.operation.target is not None:
                module = networks[branch].get_submodule(node.operation.target)
                total += _numbers(module, node.operation, len(channels))
        for site in self.read_projections:
            width = self.graph.nodes[self.graph.sites[site]].channels
            total += width * width + width
        return total


def _numbers(module: nn.Module, operation: Any, kept: int) -> int:
    if isinstance(operation, PatchEmbedding):
        positions = module.pos_embed.shape[1:-1].numel() * kept
        return positions + _numbers(module.patch_embed.proj, Dense(), kept)
    if isinstance(operation, Dense):
        inputs = module.weight.shape[0 if isinstance(module, nn.ConvTranspose2d) else 1]
        kernel = module.weight.shape[2:].numel()
        return kept * inputs * kernel + (kept if module.bias is not None else 0)
    if isinstance(operation, Grouped):
        return kept * module.weight[0].numel() + (kept if module.bias is not None else 0)
    if isinstance(operation, WindowAttentionChannels):
        return module.relative_position_bias_table.shape[0] * kept // operation.unit
    if isinstance(operation, AttentionChannels):
        return sum(p.numel() for norm in (module.q_norm, module.k_norm) for p in norm.parameters())
    if isinstance(operation, ChannelScale):
        return kept
    if isinstance(operation, AllChannels):
        return sum(parameter.numel() for parameter in module.parameters())
    return sum(parameter[0].numel() * kept for parameter in module.parameters())
