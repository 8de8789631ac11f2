"""Prices of channels in measured time, and layers whose time does not fall with their width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from frugalmtl.channels import Graph, site_macs
from frugalmtl.channels.times import LayerTimes, Machine, SizedLayer, good_multiple, layers_of
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate.budget.rounding import GateGroup
from frugalmtl.encoders.interrogate.gates import Places
from frugalmtl.encoders.interrogate.options import SavingOptions

FLOOR = 0.05
"""Least price of a channel, over its price in multiply-adds: what saves no time closes last, and does close."""
WHOLE = 0.9
"""A layer that takes more than this of its time with half of its channels is kept whole, or not at all."""


def table_for(
    saving: SavingOptions, graph: Graph, network: nn.Module, context: ModelContext
) -> tuple[LayerTimes, dict[int, SizedLayer]]:
    """The times that prices are made of, from the options' file or measured now; and the layers by their nodes.

    Raises:
        UserError: no such file, a damaged one or one of other layers; or nothing was named and nothing can be measured.
    """
    layers = layers_of(graph, network, context.image_size)
    if saving.layer_times is not None:
        return LayerTimes.read(saving.layer_times), layers
    if context.layer_times is None:
        raise UserError(
            "price: time needs times of layers, which one training process alone measures: name a table of them as "
            "layer_times ('frugalmtl times' writes one)"
        )
    return context.layer_times(tuple(dict.fromkeys(layers.values()))), layers


def machine_for(saving: SavingOptions, context: ModelContext) -> Machine:
    """The machine that widths are for: that of the options' table, else the one that trains.

    Raises:
        UserError: no such file, or a damaged one; or neither is known.
    """
    if saving.layer_times is not None:
        return LayerTimes.read(saving.layer_times).machine
    if context.machine is None:
        raise UserError("multiple: auto needs a machine: name a table of its layer times, or give a number")
    return context.machine


def cost_in_time(saved: Tensor, macs: Tensor) -> Tensor:
    """What a copy of each gate's channels costs, by the time that it takes, relative to the mean: ``[U]``.

    ``cost_u = max(c_u / mean(c), FLOOR macs_u / mean(macs))`` with ``c_u = saved_u^2 / macs_u``: the time that a closed
    gate saves, times the time that it saves per multiply-add. The second factor is there since the budget counts
    multiply-adds: whoever closes what takes long for them saves more time until it is met. A channel that saves no time
    keeps a price by its multiply-adds, so that every budget can be met.

    Args:
        saved: time that a copy of the gate's channels takes, see :func:`saved_time`, ``[U]``.
        macs: multiply-adds of a copy of them, ``[U]``.
    """
    tilted = torch.where(macs > 0, saved.square() / macs.clamp(min=1.0), torch.zeros(()))
    least = FLOOR * macs / macs.mean()
    cost = torch.maximum(tilted / tilted.mean(), least) if tilted.any() else least
    return cost / cost.mean()


def saved_time(graph: Graph, places: Places, times: LayerTimes, layers: dict[int, SizedLayer], whole: Tensor) -> Tensor:
    """Time that a copy of each gate's channels takes in the layers before its sites, ``[U]``.

    What one channel more adds; where gates come whole, their share of the layer's time, since the
    layer then disappears.

    Args:
        graph: of one branch.
        places: of the gates.
        times: of its layers.
        layers: by node.
        whole: gates that come with all of their group or none, ``[U]`` of booleans.

    Raises:
        UserError: a layer was not measured.
    """
    full = {index: times.of(layer).at(layer.outputs) for index, layer in layers.items()}
    shares = places.macs(site_macs(graph, [full.get(index, 0.0) for index in range(len(graph.nodes))]))
    slopes = places.macs(site_macs(graph, times.per_node(layers, len(graph.nodes))))
    return torch.where(whole, shares, slopes)


def whole_gates(graph: Graph, places: Places, times: LayerTimes, layers: dict[int, SizedLayer]) -> Tensor:
    """Whether the layers before a gate's sites take hardly less time with half of their channels, ``[U]`` of booleans.

    Raises:
        UserError: a layer was not measured.
    """

    def at(share: float) -> Tensor:
        by_node = {index: times.of(layer).at(share * layer.outputs) for index, layer in layers.items()}
        return places.macs(site_macs(graph, [by_node.get(index, 0.0) for index in range(len(graph.nodes))]))

    return at(0.5) > WHOLE * at(1.0)


def multiples_on(groups: Sequence[GateGroup], whole: Tensor) -> Tensor:
    """The multiple of every group and its least one, ``[2, groups]``.

    A group whose gates are to be whole comes with all of them or none, as far as the budget lets it.

    Args:
        groups: with the multiples of the options or the machine.
        whole: see :func:`whole_gates`.
    """
    good = [group.width if whole[group.start] else group.multiple for group in groups]
    return torch.tensor([good, [group.multiple for group in groups]])


def come_whole(groups: Sequence[GateGroup], multiples: Tensor, gates: int) -> Tensor:
    """Gates whose group comes with all of them or none, ``[U]`` of booleans."""
    result = torch.zeros(gates, dtype=torch.bool)
    for group, multiple in zip(groups, multiples[0].tolist(), strict=True):
        result[group.start : group.start + group.width] = multiple >= group.width
    return result


def with_multiples(groups: Sequence[GateGroup], multiples: Tensor) -> list[GateGroup]:
    """The groups with the multiples of :func:`multiples_on`."""
    rows = zip(groups, *multiples.tolist(), strict=True)
    return [replace(group, multiple=multiple, least=least) for group, multiple, least in rows]


def resolved_multiple(saving: SavingOptions, context: ModelContext) -> int:
    """The multiple of the options, or what the machine likes."""
    return good_multiple(machine_for(saving, context)) if saving.multiple == "auto" else saving.multiple
