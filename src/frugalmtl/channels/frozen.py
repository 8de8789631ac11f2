"""Training with gates that do not move: only what they leave is computed, with the weights of the whole branches."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from frugalmtl.channels import Channels, Operation
from frugalmtl.channels.builder import Held, Writer, take_channels
from frugalmtl.channels.concatenation import JoinSite, Layout
from frugalmtl.channels.operations import Dense
from frugalmtl.channels.plan import Plan
from frugalmtl.channels.program import Layer, Program


@dataclass(frozen=True)
class End:
    """A level that only heads read, before its site: which of its tensors the program gives, holding which channels.

    Attributes:
        own: of every task; empty if it computes none.
        shared: of the shared branch.
        joined: for every task where each channel lies in its own and the shared tensor, one after the other.
    """

    own: tuple[Channels, ...]
    shared: Channels
    joined: tuple[tuple[int, ...], ...]


class LiveWriter(Writer):
    """Writes sites so that their gradients are cheap: one operation joins what all branches read of a site."""

    def __init__(self, plan: Plan, networks: Sequence[nn.Module], projections: Mapping[int, nn.Module]) -> None:
        self.layouts: dict[int, Layout | None] = {}
        self.shares: dict[str, tuple[int, Channels]] = {}
        super().__init__(plan, networks, projections)

    def _joined(self, index: int, task: int) -> Held:
        layout = self._layout(index)
        if layout is None or task not in layout.joined:
            return super()._joined(index, task)
        return self._item(index, layout.joined.index(task)), tuple(self.order[self._site(index)])

    def _heard(self, index: int) -> Held:
        layout = self._layout(index)
        if layout is None or not self.plan.own[self._site(index)].any():
            return super()._heard(index)
        return self._item(index, len(layout.joined)), tuple(self.order[self._site(index)])

    def _layout(self, index: int) -> Layout | None:
        """How a site is joined; None where some channels are not read."""
        if index not in self.layouts:
            site = self._site(index)
            read = self.plan.read[site]
            tasks = [task for task in range(self.shared) if read[task].any()]
            whole = bool(read[read.any(1)].all())
            order, axis = tuple(self.order[site]), self.graph.nodes[index].axis
            self.layouts[index] = Layout.of(order, self.plan.own[site], tasks, axis) if whole else None
        return self.layouts[index]

    def _item(self, index: int, number: int) -> fx.Node:
        """One of the tensors that the operation on a site gives."""
        key = ("join", index)
        if key not in self.tensors:
            site, layout = self._site(index), self._layout(index)
            if layout is None:
                raise ValueError("a site without a layout is not joined in one operation")
            held = [self.sorted(site, mask) for mask in self.plan.computed[index]]
            tensors = [self.raw(index, branch, channels) if channels else None for branch, channels in enumerate(held)]
            share = None
            if self.plan.read[site][self.shared].any():
                name = f"share_{site}"
                self.shares[name] = (site, tuple(self.order[site]))
                self.root.register_buffer(name, None)
                share = self.program.get_attr(name)
            name = self._add(f"join_{site}", JoinSite(layout))
            self.tensors[key] = self.program.call_module(name, (share, tensors[-1], *tensors[:-1]))
        item = (*key, number)
        if item not in self.tensors:
            self.tensors[item] = self.program.call_function(operator.getitem, (self.tensors[key], number))
        return self.tensors[item]


class LiveProgram:
    """The planned operations, run with pieces of the branches' weights that gradients flow through.

    A closed channel of a task gets no gradient from any loss while gates do not move, so leaving it out changes neither
    outputs nor gradients; running statistics of channels that are left out stay as they are.

    Args:
        plan: what is needed; all levels of all tasks must be.
        networks: of the tasks in order, then the shared one.
        projections: see :class:`~frugalmtl.encoders.interrogate.InterroGate`.
    """

    def __init__(self, plan: Plan, networks: Sequence[nn.Module], projections: Mapping[int, nn.Module]) -> None:
        self.graph, self.networks, self.projections = plan.graph, list(networks), dict(projections)
        shells = [deepcopy(network).to("meta") for network in networks]
        writer = LiveWriter(plan, shells, {site: deepcopy(module).to("meta") for site, module in projections.items()})
        users = plan.graph.users()
        self.ends: list[End | None] = []
        outputs: list[fx.Node] = []
        tasks = len(networks) - 1
        for index in plan.graph.outputs:
            node = plan.graph.nodes[index]
            if users[index] or node.site is None:
                every = tuple(range(node.channels))
                outputs += [writer.exactly(index, task, every) for task in range(tasks)]
                self.ends.append(None)
                continue
            held = [writer.sorted(node.site, mask) for mask in plan.computed[index]]
            outputs += [writer.raw(index, branch, channels) for branch, channels in enumerate(held) if channels]
            self.ends.append(End(tuple(held[:-1]), held[-1], tuple(_places(own, held[-1]) for own in held[:-1])))
        self.program: Program = writer.finish(outputs)
        self.shares = writer.shares
        self.module = self.program.module("LiveBranches")
        self.sources = [plan.graph.modules(network) for network in self.networks]
        self.constants = {name: buffer for name, buffer in self.module.named_buffers() if name.startswith("index_")}

    def __call__(self, image: Tensor, mixes: Sequence[Tensor], *, training: bool) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the tensors of the cut.

        Args:
            image: normalised image.
            mixes: per site ``[T, C]``.
            training: with batch statistics, which move the branches' running statistics, and dropout.
        """
        self.module.train(training)
        self.constants = {name: value.to(image.device) for name, value in self.constants.items()}
        tensors: dict[str, Tensor] = dict(self.constants)
        pieces: list[tuple[Tensor, Channels, Tensor]] = []
        for name, layer in self.program.layers.items():
            operation, source = self._origin(layer)
            taken = operation.weights(source, layer.outputs, layer.inputs)
            tensors.update((f"{name}.{key}", tensor) for key, tensor in taken.items())
            if training:
                buffers = dict(source.named_buffers())
                pieces += [
                    (buffers[key], layer.outputs, tensor)
                    for key, tensor in taken.items()
                    if key in buffers and tensor is not buffers[key]
                ]
        for name, mix in self.program.mixes.items():
            tensors[name] = mix.value(mixes)
        for name, (site, order) in self.shares.items():
            tensors[name] = mixes[site][:, list(order)]
        outputs: list[Tensor] = functional_call(self.module, tensors, (image,))
        with torch.no_grad():
            for whole, channels, piece in pieces:
                whole.index_copy_(0, torch.tensor(channels, device=whole.device), piece)
        return outputs

    def _origin(self, layer: Layer) -> tuple[Operation, nn.Module]:
        """What a layer does, and the module that it takes its weights from."""
        if layer.site is not None:
            return Dense(), self.projections[layer.site]
        module = None if layer.node is None else self.sources[layer.branch][layer.node]
        if layer.node is None or module is None:
            raise TypeError("a layer takes its weights from a node or from a projection")
        return self.graph.nodes[layer.node].operation, module

    def join(self, level: int, tensors: list[Tensor], axis: int) -> list[Tensor]:
        """What the tasks read of a level that only heads read.

        Args:
            level: of the pyramid.
            tensors: what the program gave for it; those used are taken out.
            axis: of the channels.
        """
        end = self.ends[level]
        if end is None:
            raise ValueError(f"level {level} is joined already")
        own = [tensors.pop(0) if channels else None for channels in end.own]
        shared = [tensors.pop(0)] if end.shared else []
        joined = []
        for mine, places in zip(own, end.joined, strict=True):
            parts = shared if mine is None else [mine, *shared]
            whole = parts[0] if len(parts) == 1 else torch.cat(parts, axis)
            joined.append(take_channels(whole, axis, torch.tensor(places, device=whole.device)))
        return joined


def _places(own: Channels, shared: Channels) -> tuple[int, ...]:
    """For every channel of a task's level its place in ``own`` followed by ``shared``."""
    place = {channel: len(own) + position for position, channel in enumerate(shared)}
    place |= {channel: position for position, channel in enumerate(own)}
    return tuple(place[channel] for channel in sorted(place))
