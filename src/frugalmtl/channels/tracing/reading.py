"""Reading of a traced graph as operations on channels."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import SwinTokens, WindowGrid
from frugalmtl.channels.attention import AttentionChannels, WindowAttentionChannels
from frugalmtl.channels.graph import Node
from frugalmtl.channels.operations import ChannelSlice, Image, Operation, Permute, Sum
from frugalmtl.channels.tracing import tracer
from frugalmtl.channels.tracing.kinds import operation_of
from frugalmtl.channels.windows import MergePatches, Partition, SumOfWindows
from frugalmtl.core.checks import UserError


def read_nodes(traced: fx.Graph, backbone: Backbone) -> tuple[list[Node], list[int]]:
    """Nodes without widths, and those that are levels of the pyramid.

    Raises:
        UserError: an operation whose effect on channels is not known.
    """
    nodes: list[Node] = []
    places: dict[fx.Node, int] = {}
    outputs: list[int] = []
    for item in traced.nodes:
        if item.op == "output":
            outputs = [places[level] for level in item.args[0]]
            continue
        if item.op == "call_module" and isinstance(backbone.get_submodule(str(item.target)), nn.Identity):
            places[item] = places[item.all_input_nodes[0]]
            continue
        places[item] = len(nodes)
        inputs = tuple(places[source] for source in item.all_input_nodes)
        name = str(item.target) if item.op == "call_module" else item.name
        nodes.append(Node(name, _operation(item, backbone), inputs, channels=0, axis=1))
    return nodes, outputs


def _operation(item: fx.Node, backbone: Backbone) -> Operation:
    if item.op == "placeholder":
        return Image()
    if item.op == "call_module":
        return operation_of(str(item.target), backbone.get_submodule(str(item.target)))
    two = len(item.all_input_nodes) == len(item.args) == 2
    if item.op == "call_function" and item.target in (operator.add, operator.iadd, torch.add) and two:
        return Sum()
    if item.op == "call_function" and item.target is tracer.part:
        _, start, width = item.args
        return ChannelSlice(int(start), int(width))  # type: ignore[arg-type]  # numbers, from _attention
    if item.op == "call_function" and item.target is tracer.attend:
        return _attention_operation(item, backbone)
    if item.op == "call_function" and item.target is tracer.merge:
        return MergePatches()
    if item.op == "call_function" and item.target in (tracer.partition, tracer.add_windows):
        windows = _windows_of(item, backbone)
        return Partition(windows) if item.target is tracer.partition else SumOfWindows(windows)
    if item.op == "call_method" and item.target == "permute" and item.args[1:] in ((0, 2, 3, 1), (0, 3, 1, 2)):
        return Permute([int(dim) for dim in item.args[1:]])  # type: ignore[arg-type]  # numbers, too
    what = getattr(item.target, "__name__", item.target)
    raise UserError(f"the effect of the operation {what!r} on channels is not known: choose another backbone")


def _attention_operation(item: fx.Node, backbone: Backbone) -> AttentionChannels:
    target = str(item.kwargs["target"])
    source: Any = backbone.get_submodule(target)
    width = source.qkv.out_features // 3 // source.num_heads
    if "block" not in item.kwargs:
        weighted = any(True for norm in (source.q_norm, source.k_norm) for _ in norm.parameters())
        return AttentionChannels(target, source.num_heads, width, weighted=weighted)
    return WindowAttentionChannels(target, source.num_heads, width, _windows_of(item, backbone))


def _windows_of(item: fx.Node, backbone: Backbone) -> WindowGrid:
    return SwinTokens(backbone.get_submodule(str(item.kwargs["block"]))).windows
