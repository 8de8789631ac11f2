"""Builder of programs: planned operations as a graph of smaller layers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from frugalmtl.channels.attention import AttentionChannels
from frugalmtl.channels.graph import Graph
from frugalmtl.channels.operations import (
    AllChannels,
    Channels,
    ChannelSlice,
    ChannelWise,
    Concat,
    Dense,
    Grouped,
    Image,
    Mask,
    Permute,
    Rearrange,
    Sum,
    WithoutWeights,
    parts_of,
)
from frugalmtl.channels.plan import ChannelPlan
from frugalmtl.channels.program import LayerSource, MixSource, ProgramDraft
from frugalmtl.channels.windows import MergePatches

StoredTensor = tuple[fx.Node, Channels]
"""A tensor of the program, and the channels that it holds, in order."""


class ProgramBuilder:
    """Builds the operations of a plan, each once.

    At every site channels have one order for all branches, by who keeps them, see :func:`site_order`. The features
    of a private branch are then concatenated from a few segments of its own tensor and of the shared one, and the mix
    is computed only where it differs from the shared tensor.

    Args:
        plan: what is needed.
        networks: the private branches in order, then the shared one; layers are copied from them.
        projections: linear layers between the mix of a site and the shared branch.
    """

    def __init__(self, plan: ChannelPlan, networks: Sequence[nn.Module], projections: Mapping[int, nn.Module]) -> None:
        self.plan, self.graph, self.projections = plan, plan.graph, projections
        self.modules = [plan.graph.modules(network) for network in networks]
        self.shared = len(networks) - 1
        self.draft = ProgramDraft()
        self.tensors = self.draft.tensors
        self.stored: dict[Any, StoredTensor] = {}
        self.order = [site_order(private) for private in plan.private]
        for site, index in enumerate(self.graph.sites):  # in order of execution, each shortly before its use
            for branch in np.flatnonzero(plan.read[site].any(1)):
                self.as_stored(index, int(branch))

    # --- the output of a node, after its site

    def in_order(self, index: int, branch: int, channels: Channels) -> fx.Node:
        """The output of a node (after its site) as the branch reads it: these channels in this order."""
        node = self.graph.nodes[index]
        if node.site is None and isinstance(
            node.operation, Dense | Grouped | ChannelWise | Sum | Rearrange | ChannelSlice | Concat
        ):
            return self.before_site(index, branch, channels)
        if node.site is not None and branch != self.shared:
            kept = {bool(self.plan.private[node.site][branch][channel]) for channel in channels}
            if len(kept) == 1:  # all lie in one tensor
                source = branch if kept.pop() else self.shared
                return self.draft.select(*self._computed(index, source), channels, node.axis)
        return self.draft.select(*self.as_stored(index, branch), channels, node.axis)

    def as_stored(self, index: int, branch: int) -> StoredTensor:
        """The output of a node (after its site) as the branch reads it, in the order in which it is stored."""
        key = (index, branch)
        if key not in self.stored:
            self.stored[key] = self._store(index, branch)
        return self.stored[key]

    def _store(self, index: int, branch: int) -> StoredTensor:
        node = self.graph.nodes[index]
        if node.site is not None:
            return self._projected_mix(index) if branch == self.shared else self._private_features(index, branch)
        if isinstance(node.operation, Image):
            return self.draft.image, tuple(range(node.channels))
        if isinstance(node.operation, AttentionChannels):
            return self._attention(index, branch, node.operation)
        if isinstance(node.operation, MergePatches):
            tensor, channels = self.as_stored(node.inputs[0], branch)
            copies = node.operation.outputs_of(channels, self.graph.nodes[node.inputs[0]].channels)
            return self._apply(index, branch, copies, channels, [tensor]), copies
        if isinstance(node.operation, AllChannels | ChannelWise | Rearrange):
            tensor, channels = self.as_stored(node.inputs[0], branch)
            return self._apply(index, branch, channels, channels, [tensor]), channels
        channels = tuple(int(channel) for channel in np.flatnonzero(self.plan.computed[index][branch]))
        return self.before_site(index, branch, channels), channels

    # --- the output of a node, before its site

    def before_site(self, index: int, branch: int, channels: Channels) -> fx.Node:
        """What the branch itself computes at a node: these channels in this order."""
        key = (index, branch, channels)
        if key not in self.tensors:
            self.tensors[key] = self._compute(index, branch, channels)
        return self.tensors[key]

    def _computed(self, index: int, branch: int) -> StoredTensor:
        """All that the branch computes at a node with a site, in the site's order."""
        channels = in_site_order(self.order[self.graph.site_of(index)], self.plan.computed[index][branch])
        return self.before_site(index, branch, channels), channels

    def _compute(self, index: int, branch: int, channels: Channels) -> fx.Node:
        node = self.graph.nodes[index]
        operation, sources = node.operation, node.inputs
        if isinstance(operation, Dense):
            tensor, stored = self.as_stored(sources[0], branch)
            return self._apply(index, branch, channels, stored, [tensor])
        if isinstance(operation, Grouped):
            inputs = operation.inputs_of(channels, self.graph.nodes[sources[0]].channels)
            return self._apply(index, branch, channels, inputs, [self.in_order(sources[0], branch, inputs)])
        if isinstance(operation, ChannelSlice):
            return self.in_order(sources[0], branch, tuple(operation.start + channel for channel in channels))
        if isinstance(operation, Concat):
            return _concatenated(self, index, branch, channels)
        if isinstance(operation, Sum):
            parts = [self.in_order(source, branch, channels) for source in sources]
            return self._apply(index, branch, channels, channels, parts)
        if isinstance(operation, ChannelWise | Rearrange):
            return self._apply(index, branch, channels, channels, [self.in_order(sources[0], branch, channels)])
        if isinstance(operation, AllChannels):
            tensor, stored = self.as_stored(sources[0], branch)
            return self.draft.select(self._apply(index, branch, stored, stored, [tensor]), stored, channels, node.axis)
        raise TypeError(f"{type(operation).__name__} is never behind a site of its own")

    def _apply(
        self, index: int, branch: int, outputs: Channels, inputs: Channels, tensors: Sequence[fx.Node]
    ) -> fx.Node:
        node = self.graph.nodes[index]
        if isinstance(node.operation, Permute):
            return self.draft.graph.call_method("permute", (tensors[0], *node.operation.dims))
        if type(node.operation) is Sum:
            return self.draft.graph.call_function(operator.add, tuple(tensors))
        key = ("module", index, branch, outputs, inputs, *tensors)
        if key not in self.tensors:
            module = self.modules[branch][index]
            name = f"{node.name.replace('.', '_')}_{'shared' if branch == self.shared else branch}"
            if module is None:
                name = self.draft.add_module(name, WithoutWeights(node.operation))
            else:
                name = self.draft.add_module(name, node.operation.sliced(module, outputs, inputs))
                self.draft.layers[name] = LayerSource(index, branch, None, outputs, inputs)
            self.tensors[key] = self.draft.graph.call_module(name, tuple(tensors))
        return self.tensors[key]

    # --- sites

    def _private_features(self, index: int, branch: int) -> StoredTensor:
        """What a private branch reads after a site: its own channels and the shared ones, segment by segment."""
        site = self.graph.site_of(index)
        kept = self.plan.private[site][branch]
        channels = in_site_order(self.order[site], self.plan.read[site][branch])
        return self._segments(index, channels, [branch if kept[channel] else self.shared for channel in channels])

    def _segments(self, index: int, channels: Channels, branches: Sequence[int]) -> StoredTensor:
        """Channels of a site, each from the branch at its place in ``branches``, in as few segments as possible."""
        axis = self.graph.nodes[index].axis
        segments: list[fx.Node] = []
        for branch, pairs in groupby(zip(branches, channels, strict=True), key=lambda pair: pair[0]):
            segment = tuple(channel for _, channel in pairs)
            segments.append(self.draft.select(*self._computed(index, branch), segment, axis))
        return self.draft.concatenate(segments, axis), channels

    def _projected_mix(self, index: int) -> StoredTensor:
        """What the shared branch reads after a site: the mix, through the projection if there is one."""
        site = self.graph.site_of(index)
        mixed, channels = self._mix(index)
        if site in self.projections:
            every = tuple(range(len(channels)))
            name = self.draft.add_module(f"projection_{site}", Dense().sliced(self.projections[site], every, channels))
            self.draft.layers[name] = LayerSource(None, self.shared, site, every, channels)
            return self.draft.graph.call_module(name, (mixed,)), every
        return mixed, channels

    def _mix(self, index: int) -> StoredTensor:
        """The mix: the shared tensor as it is where all branches read it, the weighted sum elsewhere."""
        site, axis = self.graph.site_of(index), self.graph.nodes[index].axis
        channels = in_site_order(self.order[site], self.plan.read[site][self.shared])
        kept: Mask = np.asarray(self.plan.private[site].any(0))
        unchanged = tuple(channel for channel in channels if not kept[channel])
        rest = tuple(channel for channel in channels if kept[channel])
        parts = [self._segments(index, unchanged, [self.shared] * len(unchanged))[0]] if unchanged else []
        if rest:
            parts.append(self._weighted_sum(index, site, rest))
        return self.draft.concatenate(parts, axis), channels

    def _weighted_sum(self, index: int, site: int, channels: Channels) -> fx.Node:
        """``sum_t mix_t phi'_t`` over the channels; branches that read the same tensor are one term."""
        axis = self.graph.nodes[index].axis
        terms: dict[fx.Node, tuple[int, ...]] = {}
        for branch in range(self.shared):
            tensor = self.in_order(index, branch, channels)
            terms[tensor] = (*terms.get(tensor, ()), branch)
        total: fx.Node | None = None
        for tensor, branches in terms.items():
            name = f"mix_{len(self.draft.mixes)}"
            self.draft.mixes[name] = MixSource(site, branches, channels, axis)
            self.draft.root.register_buffer(name, None)
            factor = self.draft.graph.get_attr(name)
            if total is None:
                total = self.draft.graph.call_function(torch.mul, (tensor, factor))
            else:
                total = self.draft.graph.call_method("addcmul_", (total, tensor, factor))
        if total is None:
            raise ValueError("a mix needs at least one private branch")
        return total

    # --- attention

    def _attention(self, index: int, branch: int, operation: AttentionChannels) -> StoredTensor:
        """Attention of the branch's heads; heads that several branches share are computed once."""
        needed: Mask = operation.heads_of(self.plan.computed[index])[branch]
        shared: Mask = self.plan.shared_heads[index]
        parts: list[fx.Node] = []
        channels: Channels = ()
        if shared[branch].any():
            computed = sorted_heads(self.graph, self.order, index, np.flatnonzero(shared.any(0)))
            kept = [head for head in computed if shared[branch][head]]
            tensor = self._attend(index, self.shared, operation.channels_of(computed), unchanged=True)
            channels += operation.channels_of(kept)
            parts.append(self.draft.select(tensor, operation.channels_of(computed), channels, -1))
        private = sorted_heads(self.graph, self.order, index, np.flatnonzero(needed & ~shared[branch]))
        if private:
            parts.append(self._attend(index, branch, operation.channels_of(private), unchanged=False))
            channels += operation.channels_of(private)
        return self.draft.concatenate(parts, -1), channels

    def _attend(self, index: int, branch: int, channels: Channels, *, unchanged: bool) -> fx.Node:
        """Attention of some heads, on what the branch reads or on what it computes (``unchanged``)."""
        key = ("attend", index, branch, channels, unchanged)
        if key not in self.tensors:
            sources = self.graph.nodes[index].inputs
            if unchanged:
                inputs = [self.draft.select(*self._computed(source, branch), channels, -1) for source in sources]
            else:
                inputs = [self.in_order(source, branch, channels) for source in sources]
            self.tensors[key] = self._apply(index, branch, channels, channels, inputs)
        return self.tensors[key]


def _concatenated(builder: ProgramBuilder, index: int, branch: int, channels: Channels) -> fx.Node:
    """Channels of a concatenation of several nodes, in this order."""
    node, nodes = builder.graph.nodes[index], builder.graph.nodes
    widths = [nodes[source].channels for source in node.inputs]
    parts, stored = list[fx.Node](), list[int]()
    for number, (source, part) in enumerate(zip(node.inputs, parts_of(channels, widths), strict=True)):
        if part:
            parts.append(builder.in_order(source, branch, part))
            stored += [sum(widths[:number]) + channel for channel in part]
    return builder.draft.select(builder.draft.concatenate(parts, node.axis), tuple(stored), channels, node.axis)


def site_order(private: Mask) -> list[int]:
    """All channels of a site, sorted by which branches keep them, so that what a layer reads lies side by side.

    Channels that all branches share come first, channels that all keep come last: whatever the shared branch computes
    lies side by side. In between, every next set of branches is the nearest to the one before: segments are long.

    Args:
        private: ``[T, C]``.
    """
    patterns, of_channel = np.unique(private.T, axis=0, return_inverse=True)
    counts = patterns.sum(1)
    waiting = [place for place in range(len(patterns)) if counts[place] < len(private)]
    order, last = list[int](), np.zeros(len(private), dtype=bool)
    while waiting:
        order.append(min(waiting, key=lambda place: _distance(patterns[place], last)))
        waiting.remove(order[-1])
        last = patterns[order[-1]]
    order += [place for place in range(len(patterns)) if counts[place] == len(private)]
    rank = np.empty(len(patterns), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return [int(channel) for channel in np.argsort(rank[of_channel.reshape(-1)], kind="stable")]


def _distance(first: Mask, second: Mask) -> int:
    return int((first ^ second).sum())


def in_site_order(order: Sequence[int], mask: Any) -> Channels:
    """The channels of a mask ``[C]`` in the order of their site."""
    return tuple(channel for channel in order if mask[channel])


def sorted_heads(graph: Graph, orders: Sequence[Sequence[int]], index: int, heads: Iterable[int]) -> list[int]:
    """Heads of an attention node in the order of the queries' site, so that they need not be moved.

    Args:
        graph: of one branch.
        orders: of the channels of every site.
        index: the node.
        heads: some heads.
    """
    site = graph.nodes[graph.nodes[index].inputs[0]].site
    unit = graph.nodes[index].operation.unit
    if site is None:
        return [int(head) for head in heads]
    place = {channel: position for position, channel in enumerate(orders[site])}
    return sorted((int(head) for head in heads), key=lambda head: place[head * unit])
