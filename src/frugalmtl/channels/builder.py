"""Writes planned operations down as a program."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from frugalmtl.channels import Channels, Mask
from frugalmtl.channels.operations import (
    Attention,
    Dense,
    Each,
    Grouped,
    Image,
    Part,
    Permute,
    Sum,
    Whole,
)
from frugalmtl.channels.plan import Plan
from frugalmtl.channels.program import Layer, Mix, Program

Held = tuple[fx.Node, Channels]
"""A tensor of the program, and the channels that it holds, in order."""


class Writer:
    """Writes the operations of a plan, each once.

    At every site channels are ordered once and for all by who takes them (those that all tasks share first), so that a
    task's features are joined from a few stretches of its own and of the shared tensor, and the mix is computed only
    where it differs from the shared tensor. Branches are counted as in the plan: the tasks, then the shared one.

    Args:
        plan: what is needed.
        networks: of the tasks in order, then the shared one; layers are copied from them.
        projections: linear layers that the shared branch hears the mix of a site through.
    """

    def __init__(self, plan: Plan, networks: Sequence[nn.Module], projections: Mapping[int, nn.Module]) -> None:
        self.plan, self.graph, self.projections = plan, plan.graph, projections
        self.modules = [plan.graph.modules(network) for network in networks]
        self.shared = len(networks) - 1
        self.root = nn.Module()
        self.layers: dict[str, Layer] = {}
        self.mixes: dict[str, Mix] = {}
        self.program = fx.Graph()
        self.image = self.program.placeholder("image")
        self.tensors: dict[Any, fx.Node] = {}
        self.held: dict[Any, Held] = {}
        self.order = [self._order(site) for site in range(len(plan.own))]
        for site, index in enumerate(self.graph.sites):  # in order of execution, so that nothing is written far ahead
            for branch in np.flatnonzero(plan.read[site].any(1)):
                self.as_held(index, int(branch))

    def finish(self, outputs: Any) -> Program:
        """End with these tensors; what they do not need is dropped."""
        self.program.output(outputs)
        self.program.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
        used = {str(node.target) for node in self.program.nodes}
        layers = {name: layer for name, layer in self.layers.items() if name in used}
        mixes = {name: mix for name, mix in self.mixes.items() if name in used}
        return Program(self.root, self.program, layers, mixes)

    # --- in which order channels stand

    def _order(self, site: int) -> list[int]:
        """All channels of a site, sorted by which tasks take their own (in Gray code, so that stretches are long)."""
        own = self.plan.own[site]
        pattern = np.zeros(own.shape[1], dtype=np.int64)
        for row in own:
            pattern = pattern * 2 + row
        rank = pattern.copy()
        for shift in (1, 2, 4, 8, 16):
            rank ^= rank >> shift
        return [int(channel) for channel in np.argsort(rank, kind="stable")]

    def sorted(self, site: int, mask: Any) -> Channels:
        """The channels of a mask in the site's order."""
        return tuple(channel for channel in self.order[site] if mask[channel])

    # --- reading a node

    def exactly(self, index: int, branch: int, channels: Channels) -> fx.Node:
        """The output of a node (after its site) as the branch reads it, these channels in this order."""
        node = self.graph.nodes[index]
        if node.site is None and isinstance(node.operation, Dense | Grouped | Each | Sum | Permute | Part):
            return self.raw(index, branch, channels)
        if node.site is not None and branch != self.shared:
            own = {bool(self.plan.own[node.site][branch][channel]) for channel in channels}
            if len(own) == 1:  # all from one tensor: no need to join
                source = branch if own.pop() else self.shared
                there = self.sorted(node.site, self.plan.computed[index][source])
                return self._picked(self.raw(index, source, there), there, channels, node.axis)
        tensor, held = self.as_held(index, branch)
        return self._picked(tensor, held, channels, node.axis)

    def as_held(self, index: int, branch: int) -> Held:
        """The output of a node (after its site) as the branch reads it, in whatever order it is there."""
        key = (index, branch)
        if key not in self.held:
            self.held[key] = self._hold(index, branch)
        return self.held[key]

    def _hold(self, index: int, branch: int) -> Held:
        node = self.graph.nodes[index]
        if node.site is not None:
            return self._mixed(index) if branch == self.shared else self._joined(index, branch)
        if isinstance(node.operation, Image):
            return self.image, tuple(range(node.channels))
        if isinstance(node.operation, Attention):
            return self._attention(index, branch)
        if isinstance(node.operation, Whole | Each | Permute):
            tensor, channels = self.as_held(node.inputs[0], branch)
            return self._apply(index, branch, channels, channels, [tensor]), channels
        channels = tuple(int(channel) for channel in np.flatnonzero(self.plan.computed[index][branch]))
        return self.raw(index, branch, channels), channels

    # --- computing a node

    def raw(self, index: int, branch: int, channels: Channels) -> fx.Node:
        """The branch's own output of a node, before its site."""
        key = (index, branch, channels)
        if key not in self.tensors:
            self.tensors[key] = self._compute(index, branch, channels)
        return self.tensors[key]

    def _compute(self, index: int, branch: int, channels: Channels) -> fx.Node:
        node = self.graph.nodes[index]
        operation, sources = node.operation, node.inputs
        if isinstance(operation, Dense):
            tensor, held = self.as_held(sources[0], branch)
            return self._apply(index, branch, channels, held, [tensor])
        if isinstance(operation, Grouped):
            wanted = operation.inputs_of(channels, self.graph.nodes[sources[0]].channels)
            return self._apply(index, branch, channels, wanted, [self.exactly(sources[0], branch, wanted)])
        if isinstance(operation, Part):
            return self.exactly(sources[0], branch, tuple(operation.start + channel for channel in channels))
        if isinstance(operation, Sum):
            first, second = (self.exactly(source, branch, channels) for source in sources)
            return self.program.call_function(operator.add, (first, second))
        if isinstance(operation, Each | Permute):
            return self._apply(index, branch, channels, channels, [self.exactly(sources[0], branch, channels)])
        if isinstance(operation, Whole):
            tensor, held = self.as_held(sources[0], branch)
            return self._picked(self._apply(index, branch, held, held, [tensor]), held, channels, node.axis)
        raise TypeError(f"{type(operation).__name__} has no output of its own")

    def _apply(
        self, index: int, branch: int, outputs: Channels, inputs: Channels, tensors: Sequence[fx.Node]
    ) -> fx.Node:
        node = self.graph.nodes[index]
        if isinstance(node.operation, Permute):
            return self.program.call_method("permute", (tensors[0], *node.operation.dims))
        key = ("module", index, branch, outputs, inputs, *tensors)
        if key not in self.tensors:
            module = self.modules[branch][index]
            if module is None:
                raise TypeError(f"{node.name} has no module")
            name = f"{node.name.replace('.', '_')}_{'shared' if branch == self.shared else branch}"
            name = self._add(name, node.operation.take(module, outputs, inputs))
            self.layers[name] = Layer(index, branch, None, outputs, inputs)
            self.tensors[key] = self.program.call_module(name, tuple(tensors))
        return self.tensors[key]

    # --- sites

    def _joined(self, index: int, task: int) -> Held:
        """What a task reads after a site: its own channels and the shared ones, stretch by stretch."""
        site = self._site(index)
        own, read = self.plan.own[site][task], self.plan.read[site][task]
        channels = self.sorted(site, read)
        return self._stretches(index, channels, [task if own[channel] else self.shared for channel in channels])

    def _stretches(self, index: int, channels: Channels, branches: Sequence[int]) -> Held:
        """Channels of a site, each from the branch given for it, as few stretches as they make."""
        site, axis = self._site(index), self.graph.nodes[index].axis
        pieces: list[fx.Node] = []
        for branch, run in groupby(zip(branches, channels, strict=True), key=lambda pair: pair[0]):
            there = self.sorted(site, self.plan.computed[index][branch])
            wanted = tuple(channel for _, channel in run)
            pieces.append(self._picked(self.raw(index, branch, there), there, wanted, axis))
        return self._concatenated(pieces, axis), channels

    def _mixed(self, index: int) -> Held:
        """What the shared branch reads after a site."""
        site = self._site(index)
        mixed, channels = self._heard(index)
        if site in self.projections:
            every = tuple(range(len(channels)))
            name = self._add(f"projection_{site}", Dense().take(self.projections[site], every, channels))
            self.layers[name] = Layer(None, self.shared, site, every, channels)
            return self.program.call_module(name, (mixed,)), every
        return mixed, channels

    def _heard(self, index: int) -> Held:
        """The mix: the shared tensor as it is where all tasks take it, the weighted sum elsewhere."""
        site, axis = self._site(index), self.graph.nodes[index].axis
        channels = self.sorted(site, self.plan.read[site][self.shared])
        kept: Mask = np.asarray(self.plan.own[site].any(0))
        plain = tuple(channel for channel in channels if not kept[channel])
        rest = tuple(channel for channel in channels if kept[channel])
        pieces = [self._stretches(index, plain, [self.shared] * len(plain))[0]] if plain else []
        if rest:
            pieces.append(self._weighted(index, rest))
        return self._concatenated(pieces, axis), channels

    def _weighted(self, index: int, channels: Channels) -> fx.Node:
        """``sum_t mix_t phi'_t`` over the channels; tasks that read the same tensor count together."""
        site, axis = self._site(index), self.graph.nodes[index].axis
        terms: dict[fx.Node, tuple[int, ...]] = {}
        for task in range(self.shared):
            tensor = self.exactly(index, task, channels)
            terms[tensor] = (*terms.get(tensor, ()), task)
        total: fx.Node | None = None
        for tensor, tasks in terms.items():
            name = f"mix_{len(self.mixes)}"
            self.mixes[name] = Mix(site, tasks, channels, axis)
            self.root.register_buffer(name, None)
            factor = self.program.get_attr(name)
            if total is None:
                total = self.program.call_function(torch.mul, (tensor, factor))
            else:
                total = self.program.call_function(torch.addcmul, (total, tensor, factor))
        if total is None:
            raise ValueError("a mix needs at least one task")
        return total

    def _site(self, index: int) -> int:
        site = self.graph.nodes[index].site
        if site is None:
            raise ValueError(f"{self.graph.nodes[index].name} is no site")
        return site

    # --- attention

    def _attention(self, index: int, branch: int) -> Held:
        """Heads that several branches take unchanged from the shared one are computed once."""
        operation = self.graph.nodes[index].operation
        if not isinstance(operation, Attention):
            raise TypeError("no attention")
        wanted: Mask = operation.heads_of(self.plan.computed[index])[branch]
        common: Mask = self.plan.common[index]
        alone = self._heads_in_order(index, np.flatnonzero(wanted & ~common[branch]))
        pieces: list[fx.Node] = []
        channels: Channels = ()
        if common[branch].any():
            everybody = self._heads_in_order(index, np.flatnonzero(common.any(0)))
            mine = [head for head in everybody if common[branch][head]]
            tensor = self._attend(index, self.shared, everybody, direct=True)
            channels += channels_of_heads(operation, mine)
            pieces.append(self._picked(tensor, channels_of_heads(operation, everybody), channels, -1))
        if alone:
            pieces.append(self._attend(index, branch, alone, direct=False))
            channels += channels_of_heads(operation, alone)
        return self._concatenated(pieces, -1), channels

    def _heads_in_order(self, index: int, heads: Iterable[int]) -> list[int]:
        """Heads as the queries' site has them, so that they come without being moved."""
        site = self.graph.nodes[self.graph.nodes[index].inputs[0]].site
        operation = self.graph.nodes[index].operation
        if site is None:
            return [int(head) for head in heads]
        place = {channel: position for position, channel in enumerate(self.order[site])}
        return sorted((int(head) for head in heads), key=lambda head: place[head * operation.unit])

    def _attend(self, index: int, branch: int, heads: Sequence[int], *, direct: bool) -> fx.Node:
        node = self.graph.nodes[index]
        key = ("attend", index, branch, tuple(heads), direct)
        if key not in self.tensors:
            channels = channels_of_heads(node.operation, heads)
            if direct:
                parts = [self._picked(*self._shared_raw(source), channels, -1) for source in node.inputs]
            else:
                parts = [self.exactly(source, branch, channels) for source in node.inputs]
            self.tensors[key] = self._apply(index, branch, channels, channels, parts)
        return self.tensors[key]

    def _shared_raw(self, index: int) -> Held:
        channels = self.sorted(self._site(index), self.plan.computed[index][self.shared])
        return self.raw(index, self.shared, channels), channels

    # --- moving channels

    def _picked(self, tensor: fx.Node, held: Channels, wanted: Channels, axis: int) -> fx.Node:
        """Some channels of a tensor: itself, a stretch of it, or gathered."""
        if held == wanted:
            return tensor
        key = ("picked", tensor, wanted)
        if key not in self.tensors:
            place = {channel: position for position, channel in enumerate(held)}
            positions = [place[channel] for channel in wanted]
            if positions == list(range(positions[0], positions[0] + len(positions))):
                made = self.program.call_function(torch.narrow, (tensor, axis, positions[0], len(positions)))
            else:
                name = f"index_{len(self.tensors)}"
                self.root.register_buffer(name, torch.tensor(positions))
                made = self.program.call_function(take_channels, (tensor, axis, self.program.get_attr(name)))
            self.tensors[key] = made
        return self.tensors[key]

    def _concatenated(self, pieces: Sequence[fx.Node], axis: int) -> fx.Node:
        return pieces[0] if len(pieces) == 1 else self.program.call_function(torch.cat, (list(pieces), axis))

    def _add(self, name: str, module: nn.Module) -> str:
        while hasattr(self.root, name):
            name += "_"
        self.root.add_module(name, module)
        return name


def take_channels(tensor: Tensor, axis: int, index: Tensor) -> Tensor:
    """Channels of a tensor in a new order, in the layout of the tensor.

    Where channels lie side by side in memory, torch gathers five times faster from a matrix than from an image, and
    would return another layout for an image. Exported programs have no layouts and take the plain operation.

    Args:
        tensor: ``[B, C, h, w]`` or ``[B, h, w, C]``.
        axis: of the channels: 1 or -1.
        index: places of the channels, ``[K]``.
    """
    if torch.compiler.is_exporting():
        return tensor.index_select(axis, index)
    last = tensor.movedim(axis, -1)
    if not last.is_contiguous():
        return tensor.index_select(axis, index)
    return last.flatten(0, -2).index_select(1, index).view(*last.shape[:-1], -1).movedim(-1, axis)


def channels_of_heads(attention: Any, heads: Sequence[int]) -> Channels:
    """The channels of heads, head by head."""
    return tuple(head * attention.unit + offset for head in heads for offset in range(attention.unit))
