"""Frozen program: training with masks that do not change, at the cost of what the masks leave."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from frugalmtl.channels.builder import ProgramBuilder, StoredTensor, in_site_order
from frugalmtl.channels.concatenation import ConcatenateSite, SiteLayout
from frugalmtl.channels.operations import Channels, Dense, Operation, index_of, select
from frugalmtl.channels.plan import ChannelPlan
from frugalmtl.channels.program import LayerSource, Program


@dataclass(frozen=True)
class OpenLevel:
    """A level that no operation reads, before its site: the tensors of it that a program gives.

    Attributes:
        private: channels of every private branch; empty if it computes none.
        shared: channels of the shared branch.
        places: for every private branch where each channel lies in its own and the shared tensor, one after the other.
    """

    private: tuple[Channels, ...]
    shared: Channels
    places: tuple[tuple[int, ...], ...]


class FrozenProgramBuilder(ProgramBuilder):
    """Builds sites so that their gradients are cheap: one operation concatenates what all branches read of a site."""

    def __init__(self, plan: ChannelPlan, networks: Sequence[nn.Module], projections: Mapping[int, nn.Module]) -> None:
        self.layouts: dict[int, SiteLayout | None] = {}
        self.shares: dict[str, tuple[int, Channels]] = {}
        super().__init__(plan, networks, projections)

    def _private_features(self, index: int, branch: int) -> StoredTensor:
        layout = self._layout(index)
        if layout is None or branch not in layout.joined:
            return super()._private_features(index, branch)
        return self._item(index, layout, layout.joined.index(branch)), self._all_channels(index)

    def _mix(self, index: int) -> StoredTensor:
        layout = self._layout(index)
        if layout is None or not self.plan.private[self.graph.site_of(index)].any():
            return super()._mix(index)
        return self._item(index, layout, len(layout.joined)), self._all_channels(index)

    def _all_channels(self, index: int) -> Channels:
        return tuple(self.order[self.graph.site_of(index)])

    def _layout(self, index: int) -> SiteLayout | None:
        """The layout of a site; None where some channels are not read."""
        if index not in self.layouts:
            site = self.graph.site_of(index)
            read = self.plan.read[site]
            readers = [branch for branch in range(self.shared) if read[branch].any()]
            complete = bool(read[read.any(1)].all())
            order, axis = self._all_channels(index), self.graph.nodes[index].axis
            self.layouts[index] = SiteLayout.of(order, self.plan.private[site], readers, axis) if complete else None
        return self.layouts[index]

    def deepest_shared(self) -> fx.Node:
        """What the shared branch computes last."""
        computed = [index for index, mask in enumerate(self.plan.computed) if index > 0 and mask[-1].any()]
        sites = [index for index in computed if self.graph.nodes[index].site is not None]
        return self._computed(sites[-1], self.shared)[0]

    def _item(self, index: int, layout: SiteLayout, number: int) -> fx.Node:
        """One of the tensors that the operation on a site gives."""
        key = ("site", index)
        if key not in self.tensors:
            site = self.graph.site_of(index)
            tensors = [
                self._computed(index, branch)[0] if mask.any() else None
                for branch, mask in enumerate(self.plan.computed[index])
            ]
            share = None
            if self.plan.read[site][self.shared].any():
                name = f"share_{site}"
                self.shares[name] = (site, self._all_channels(index))
                self.draft.root.register_buffer(name, None)
                share = self.draft.graph.get_attr(name)
            name = self.draft.add_module(f"site_{site}", ConcatenateSite(layout))
            self.tensors[key] = self.draft.graph.call_module(name, (share, tensors[-1], *tensors[:-1]))
        item = (*key, number)
        if item not in self.tensors:
            self.tensors[item] = self.draft.graph.call_function(operator.getitem, (self.tensors[key], number))
        return self.tensors[item]


class FrozenProgram:
    """The operations of a plan, run with slices of the branches' weights that gradients flow through.

    A channel that is left out gets no gradient from any loss while the masks stay, so leaving it out changes neither
    outputs nor gradients; its running statistics stay as they are.

    Args:
        plan: what is needed; all levels of all private branches must be.
        networks: the private branches in order, then the shared one.
        projections: linear layers between the mix of a site and the shared branch.

    Attributes:
        levels: see :class:`OpenLevel`; None for levels whose sites are in the program.
        anchored: the branches share channels, but none of a level; the last output is then what the shared branch
            computes last, where the tasks' graphs are to meet (see :func:`meet`).
    """

    def __init__(self, plan: ChannelPlan, networks: Sequence[nn.Module], projections: Mapping[int, nn.Module]) -> None:
        self.graph, self.networks, self.projections = plan.graph, list(networks), dict(projections)
        blank = deepcopy(networks[-1]).to("meta")  # of all branches: they have one structure, and weights come later
        builder = FrozenProgramBuilder(
            plan, [blank] * len(networks), {site: deepcopy(module).to("meta") for site, module in projections.items()}
        )
        users = plan.graph.users()
        self.levels: list[OpenLevel | None] = []
        outputs: list[fx.Node] = []
        for index in plan.graph.outputs:
            node = plan.graph.nodes[index]
            if users[index] or node.site is None:
                every = tuple(range(node.channels))
                outputs += [builder.in_order(index, branch, every) for branch in range(len(networks) - 1)]
                self.levels.append(None)
                continue
            *private, shared = (in_site_order(builder.order[node.site], mask) for mask in plan.computed[index])
            outputs += [
                builder.before_site(index, branch, channels)
                for branch, channels in enumerate((*private, shared))
                if channels
            ]
            places = tuple(_places(channels, shared) for channels in private)
            self.levels.append(OpenLevel(tuple(private), shared, places))
        self.anchored = not plan.branches_meet() and any(mask[-1].any() for mask in plan.computed[1:])
        outputs += [builder.deepest_shared()] if self.anchored else []
        self.program: Program = builder.draft.finish(outputs)
        self.shares = builder.shares
        self.module = self.program.module("FrozenBranches")
        self.sources = [plan.graph.modules(network) for network in self.networks]
        self.constants = {name: buffer for name, buffer in self.module.named_buffers() if name.startswith("index_")}

    def __call__(self, image: Tensor, mixes: Sequence[Tensor], *, training: bool) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of every private branch; of open levels what the branches compute.

        Args:
            image: normalised image.
            mixes: per site ``[T, C]``, shares of the private branches in the mix.
            training: with batch statistics, which move the branches' running statistics, and dropout.
        """
        self.module.train(training)
        self.constants = {name: value.to(image.device) for name, value in self.constants.items()}
        tensors: dict[str, Tensor] = dict(self.constants)
        slices: list[tuple[Tensor, Channels, Tensor]] = []
        for name, layer in self.program.layers.items():
            operation, source = self._source(layer)
            weights = operation.weights(source, layer.outputs, layer.inputs)
            tensors.update((f"{name}.{key}", tensor) for key, tensor in weights.items())
            if training:
                buffers = dict(source.named_buffers())
                slices += [
                    (buffers[key], layer.outputs, tensor)
                    for key, tensor in weights.items()
                    if key in buffers and tensor is not buffers[key]
                ]
        for name, mix in self.program.mixes.items():
            tensors[name] = mix.value(mixes)
        for name, (site, order) in self.shares.items():
            tensors[name] = select(mixes[site], order, dim=1)
        outputs: list[Tensor] = functional_call(self.module, tensors, (image,))
        with torch.no_grad():
            for buffer, channels, part in slices:
                buffer.index_copy_(0, index_of(channels, buffer.device), part)
        return outputs

    def _source(self, layer: LayerSource) -> tuple[Operation, nn.Module]:
        """The operation of a layer, and the module that it takes its weights from."""
        if layer.site is not None:
            return Dense(), self.projections[layer.site]
        module = None if layer.node is None else self.sources[layer.branch][layer.node]
        if layer.node is None or module is None:
            raise TypeError("a layer takes its weights from a node or from a projection")
        return self.graph.nodes[layer.node].operation, module

    def concatenate(self, number: int, tensors: list[Tensor], axis: int) -> list[Tensor]:
        """What the private branches read of an open level.

        Args:
            number: of the level.
            tensors: outputs of the program from this level on; those of the level are removed.
            axis: of the channels.
        """
        level = self.levels[number]
        if level is None:
            raise ValueError(f"level {number} is concatenated already")
        private = [tensors.pop(0) if channels else None for channels in level.private]
        shared = [tensors.pop(0)] if level.shared else []
        joined = []
        for tensor, places in zip(private, level.places, strict=True):
            parts = shared if tensor is None else [tensor, *shared]
            both = parts[0] if len(parts) == 1 else torch.cat(parts, axis)
            joined.append(select(both, places, axis))
        return joined


def meet(feature: Tensor, shared: Tensor) -> Tensor:
    """The feature as it is, with a gradient of zeros for a tensor that it does not depend on.

    Balancers look for where the tasks' graphs meet; without this, tasks that share all but their last layers would not.
    """
    joined: Tensor = _Meet.apply(feature, shared)
    return joined


class _Meet(torch.autograd.Function):
    """:func:`meet`."""

    @staticmethod
    def forward(ctx: Any, feature: Tensor, shared: Tensor) -> Tensor:
        ctx.shape = shared.shape
        return feature.view_as(feature)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, gradient.new_zeros(ctx.shape)


def _places(private: Channels, shared: Channels) -> tuple[int, ...]:
    """For every channel of a level its place in ``private`` followed by ``shared``."""
    place = {channel: len(private) + position for position, channel in enumerate(shared)}
    place |= {channel: position for position, channel in enumerate(private)}
    return tuple(place[channel] for channel in sorted(place))
