"""Which channels of which branch must be computed for given gates, and what that costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frugalmtl.channels import Graph, Mask
from frugalmtl.channels.operations import Attention, Grouped, Whole


@dataclass(frozen=True)
class Plan:
    """What is left of T + 1 branches. Rows of masks are branches: the tasks in order, then the shared one.

    Attributes:
        graph: of one branch.
        own: per site ``[T, C]``, the gates.
        computed: per node ``[T + 1, C]``, channels that the branch computes.
        read: per site ``[T + 1, C]``, channels that are read after the site; the shared branch's row is what hears the
            mix.
        common: per attention node ``[T + 1, heads]``, heads whose queries, keys and values come unchanged from the
            shared branch for at least two branches: they are computed once.
        projected: sites whose mix the shared branch hears through a linear projection.
    """

    graph: Graph
    own: tuple[Mask, ...]
    computed: tuple[Mask, ...]
    read: tuple[Mask, ...]
    common: dict[int, Mask]
    projected: frozenset[int] = frozenset()

    def tasks_meet(self) -> bool:
        """Whether two tasks take shared channels of a level that only heads read."""
        users = self.graph.users()
        for index in self.graph.outputs:
            site = self.graph.nodes[index].site
            if site is not None and not users[index]:
                taken = self.read[site][:-1] & ~self.own[site]
                if taken.any(1).sum() > 1:
                    return True
        return False

    def macs(self, per_node: Sequence[float], projections: Mapping[int, float] | None = None) -> float:
        """Multiply-adds of the deployed branches.

        Args:
            per_node: multiply-adds of every node with all its channels, see :func:`~frugalmtl.channels.cost.node_macs`.
            projections: multiply-adds of the projection after each projected site.
        """
        total = 0.0
        for index, (node, full) in enumerate(zip(self.graph.nodes, per_node, strict=True)):
            if full == 0.0:
                continue
            mask = self.computed[index]
            if isinstance(node.operation, Attention):
                heads, common = node.operation.heads_of(mask), self.common[index]
                share = ((heads & ~common).sum() + common.any(0).sum()) / node.operation.heads
            elif isinstance(node.operation, Whole):
                share = mask.any(1).sum()
            else:
                share = mask.sum() / node.channels
            total += full * float(share)
        heard = (site for site in self.projected if self.read[site][-1].any())
        return total + sum((projections or {})[site] for site in heard)


def plan(
    graph: Graph, own: Sequence[Mask], read_levels: Sequence[Sequence[int]], projected: Collection[int] = ()
) -> Plan:
    """Find backwards from the pyramid what is needed.

    A task's own channel that its gate closes is not computed; a shared channel that no task picks is not computed; a
    layer none of whose channels is needed is gone, and with it what only that layer read.

    Args:
        graph: of one branch.
        own: per site ``[T, C]``, True where the task takes its own channel.
        read_levels: per task the indices of the pyramid's levels that its predictions depend on.
        projected: sites whose mix goes through a linear projection.
    """
    tasks = len(read_levels)
    needed = [np.zeros((tasks + 1, node.channels), dtype=bool) for node in graph.nodes]
    for task, levels in enumerate(read_levels):
        for level in levels:
            needed[graph.outputs[level]][task] = True
    read: list[Mask] = [np.zeros((tasks + 1, graph.nodes[index].channels), dtype=bool) for index in graph.sites]
    common: dict[int, Mask] = {}
    for index in reversed(range(len(graph.nodes))):
        node, mask = graph.nodes[index], needed[index]
        if node.site is not None:
            gates = own[node.site]
            if node.site in projected and mask[tasks].any():
                mask[tasks] = True
            mask[:tasks] |= mask[tasks]  # the mix is made of what all tasks picked
            read[node.site] = mask.copy()
            mask = np.vstack([mask[:tasks] & gates, (mask[:tasks] & ~gates).any(0)])
        if isinstance(node.operation, Grouped):
            groups = mask.reshape(tasks + 1, -1, node.operation.unit).any(2)
            mask = np.repeat(groups, node.operation.unit, axis=1)
        elif isinstance(node.operation, Whole):
            mask = np.repeat(mask.any(1, keepdims=True), node.channels, axis=1)
        elif isinstance(node.operation, Attention):
            common[index] = _common_heads(graph, index, node.operation, own, mask)
        needed[index] = mask
        widths = [graph.nodes[source].channels for source in node.inputs]
        for source, wanted in zip(node.inputs, node.operation.demand(mask, widths), strict=True):
            needed[source] |= wanted
    return Plan(graph, tuple(own), tuple(needed), tuple(read), common, frozenset(projected))


def _common_heads(graph: Graph, index: int, attention: Attention, own: Sequence[Mask], mask: Mask) -> Mask:
    sites = [graph.nodes[source].site for source in graph.nodes[index].inputs]
    if any(site is None for site in sites):
        return np.zeros((len(mask), attention.heads), dtype=bool)
    kept = np.logical_or.reduce([attention.heads_of(own[site]) for site in sites if site is not None])
    closed = np.vstack([~kept, ~kept.any(0)])  # the mix of what all tasks took unchanged is unchanged
    common = closed & attention.heads_of(mask)
    common[:, common.sum(0) < 2] = False
    return np.asarray(common)
