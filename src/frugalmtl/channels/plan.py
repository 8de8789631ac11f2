"""Plan of several branches that share channels: what each branch computes for given masks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.channels.graph import Graph
from frugalmtl.channels.operations import AllChannels, Dense, Grouped, Mask


@dataclass(frozen=True)
class ChannelPlan:
    """What remains of T private branches and a shared one, all copies of one network.

    Rows of masks are branches: the T private ones in order, then, in masks of T + 1 rows, the shared one. After a site
    a private branch goes on with its own channels where ``private`` says so and with those of the shared branch
    elsewhere; the shared branch goes on with a weighted sum of what the private branches go on with, the **mix**.

    Attributes:
        graph: of one branch.
        private: per site ``[T, C]``, channels that a branch computes for itself alone.
        computed: per node ``[T + 1, C]``, channels that the branch computes.
        read: per site ``[T + 1, C]``, channels that are read after the site; the last row belongs to the mix.
        shared_heads: per attention node ``[T + 1, heads]``, heads whose queries, keys and values come unchanged from
            the shared branch for at least two branches: they are computed once. None where attention has weights.
        projected: sites whose mix goes through a linear projection.
    """

    graph: Graph
    private: tuple[Mask, ...]
    computed: tuple[Mask, ...]
    read: tuple[Mask, ...]
    shared_heads: dict[int, Mask]
    projected: frozenset[int] = frozenset()

    def branches_meet(self) -> bool:
        """Whether two private branches read shared channels of a level that no operation reads."""
        users = self.graph.users()
        for index in self.graph.outputs:
            site = self.graph.nodes[index].site
            if site is not None and not users[index]:
                shared = self.read[site][:-1] & ~self.private[site]
                if shared.any(1).sum() > 1:
                    return True
        return False

    def macs(self, per_node: Sequence[float], projections: Mapping[int, float] | None = None) -> float:
        """Multiply-adds of all branches together.

        Args:
            per_node: multiply-adds of every node with all its channels, see :func:`~frugalmtl.channels.cost.node_macs`.
            projections: multiply-adds of the projection after each projected site.
        """
        total = 0.0
        for index, (node, full) in enumerate(zip(self.graph.nodes, per_node, strict=True)):
            if full == 0.0:
                continue
            mask = self.computed[index]
            if isinstance(node.operation, AttentionChannels):
                heads, common = node.operation.heads_of(mask), self.shared_heads[index]
                share = ((heads & ~common).sum() + common.any(0).sum()) / node.operation.heads
            elif isinstance(node.operation, AllChannels):
                share = mask.any(1).sum()
            else:
                share = mask.sum() / node.channels
            total += full * float(share)
        projected = (site for site in self.projected if self.read[site][-1].any())
        return total + sum((projections or {})[site] for site in projected)

    def parameters(self, network: nn.Module) -> int:
        """Parameters of all branches together; weights of the mix are no parameters.

        Args:
            network: any one branch.
        """
        total = sum(width * (width + 1) for width in map(self._projection_width, self.projected))
        for index, (node, module) in enumerate(zip(self.graph.nodes, self.graph.modules(network), strict=True)):
            if module is None:
                continue
            trained = {name for name, _ in node.operation.template(module).named_parameters()}
            if isinstance(node.operation, AttentionChannels):
                heads, common = node.operation.heads_of(self.computed[index]), self.shared_heads[index]
                counts = [*(heads & ~common).sum(1), common.any(0).sum()]
                widths = [int(count) * node.operation.unit for count in counts if count]
            else:
                widths = [int(row.sum()) for row in self.computed[index] if row.any()]
            inputs = tuple(range(self.graph.nodes[node.inputs[0]].channels))
            for width in widths:
                kept = tuple(range(width))
                reads = inputs if isinstance(node.operation, Dense) else kept
                weights = node.operation.weights(module, kept, reads)
                total += sum(tensor.numel() for name, tensor in weights.items() if name in trained)
        return total

    def _projection_width(self, site: int) -> int:
        return self.graph.nodes[self.graph.sites[site]].channels if self.read[site][-1].any() else 0


def plan_channels(
    graph: Graph, private: Sequence[Mask], read_levels: Sequence[Sequence[int]], projected: Collection[int] = ()
) -> ChannelPlan:
    """Find what is needed, from the pyramid backwards.

    A private channel that its branch does not keep is not computed; a shared channel that no private branch reads is
    not computed; a layer none of whose channels is needed is removed, and with it what only that layer read.

    Args:
        graph: of one branch.
        private: per site ``[T, C]``, True where a branch keeps a channel of its own.
        read_levels: per private branch the indices of the pyramid's levels that are read.
        projected: sites whose mix goes through a linear projection.
    """
    count = len(read_levels)
    needed = [np.zeros((count + 1, node.channels), dtype=bool) for node in graph.nodes]
    for branch, levels in enumerate(read_levels):
        for level in levels:
            needed[graph.outputs[level]][branch] = True
    read: list[Mask] = [np.zeros((count + 1, graph.nodes[index].channels), dtype=bool) for index in graph.sites]
    shared_heads: dict[int, Mask] = {}
    for index in reversed(range(len(graph.nodes))):
        node, mask = graph.nodes[index], needed[index]
        if node.site is not None:
            kept = private[node.site]
            if node.site in projected and mask[count].any():
                mask[count] = True
            mask[:count] |= mask[count]  # the mix is a sum over all private branches
            read[node.site] = mask.copy()
            mask = np.vstack([mask[:count] & kept, (mask[:count] & ~kept).any(0)])
        if isinstance(node.operation, Grouped):
            groups = mask.reshape(count + 1, -1, node.operation.unit).any(2)
            mask = np.repeat(groups, node.operation.unit, axis=1)
        elif isinstance(node.operation, AllChannels):
            mask = np.repeat(mask.any(1, keepdims=True), node.channels, axis=1)
        elif isinstance(node.operation, AttentionChannels):
            shared_heads[index] = _shared_heads(graph, index, node.operation, private, mask)
        needed[index] = mask
        widths = [graph.nodes[source].channels for source in node.inputs]
        for source, required in zip(node.inputs, node.operation.required_inputs(mask, widths), strict=True):
            needed[source] |= required
    return ChannelPlan(graph, tuple(private), tuple(needed), tuple(read), shared_heads, frozenset(projected))


def _shared_heads(graph: Graph, index: int, attention: AttentionChannels, private: Sequence[Mask], mask: Mask) -> Mask:
    sites = [graph.nodes[source].site for source in graph.nodes[index].inputs]
    if attention.weighted or any(site is None for site in sites):
        return np.zeros((len(mask), attention.heads), dtype=bool)
    kept = np.logical_or.reduce([attention.heads_of(private[site]) for site in sites if site is not None])
    unchanged = np.vstack([~kept, ~kept.any(0)])  # the mix of what all branches read unchanged is unchanged
    shared = unchanged & attention.heads_of(mask)
    shared[:, shared.sum(0) < 2] = False
    return np.asarray(shared)
