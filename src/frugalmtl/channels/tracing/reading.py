"""Reading of a traced graph as operations on channels."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import SwinTokens, WindowGrid
from frugalmtl.channels.attention import AttentionChannels, WindowAttentionChannels
from frugalmtl.channels.graph import Node
from frugalmtl.channels.operations import ChannelScale, ChannelSlice, Concat, Image, Operation, Permute, Sum
from frugalmtl.channels.tracing import tracer
from frugalmtl.channels.tracing.kinds import operation_of
from frugalmtl.channels.windows import MergePatches, Partition, SumOfWindows
from frugalmtl.core.checks import UserError


@dataclass(frozen=True)
class _Numbers:
    """A parameter ``[C]``, and the axis of the channels that it fits."""

    target: str
    axis: int = -1


@dataclass(frozen=True)
class _Split:
    """A tensor cut into parts."""

    source: fx.Node
    widths: tuple[int, ...]
    axis: int


class _Reader:
    """Operations of a traced graph, one after the other.

    Args:
        backbone: that was traced.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.numbers: dict[fx.Node, _Numbers] = {}
        self.splits: dict[fx.Node, _Split] = {}
        self.nodes: list[Node] = []
        self.places: dict[fx.Node, int] = {}

    def read(self, item: fx.Node) -> None:
        """Add the node of an item, if it has one of its own."""
        if item.op == "call_module" and isinstance(self.backbone.get_submodule(str(item.target)), nn.Identity):
            self.places[item] = self.places[item.all_input_nodes[0]]
        elif (numbers := self._numbers(item)) is not None:
            self.numbers[item] = numbers
        elif (split := self._split(item)) is not None:
            self.splits[item] = split
        else:
            inputs = self._inputs(item)
            operation = self._operation(item)
            self.places[item] = len(self.nodes)
            name = str(item.target) if item.op == "call_module" else item.name
            self.nodes.append(Node(name, operation, inputs, channels=0, axis=1, layer=_where(item)))

    def _inputs(self, item: fx.Node) -> tuple[int, ...]:
        sources = [self.splits[node].source if node in self.splits else node for node in item.all_input_nodes]
        return tuple(self.places[source] for source in sources if source not in self.numbers)

    def _numbers(self, item: fx.Node) -> _Numbers | None:
        """A parameter of one dimension, or one that was given the shape of channels on axis 1."""
        if item.op == "get_attr":
            value = attrgetter(str(item.target))(self.backbone)
            return _Numbers(str(item.target)) if isinstance(value, Tensor) and value.ndim == 1 else None
        source = self.numbers.get(item.all_input_nodes[0]) if item.all_input_nodes else None
        if source is not None and item.op == "call_method" and item.target in ("reshape", "view"):
            shape = item.args[1] if isinstance(item.args[1], tuple) else item.args[1:]
            return replace(source, axis=1) if tuple(shape) == (1, -1, 1, 1) else None
        return None

    def _split(self, item: fx.Node) -> _Split | None:
        """A cut into parts of given widths."""
        function = item.op == "call_function" and item.target is torch.split
        if not function and not (item.op == "call_method" and item.target == "split"):
            return None
        tensor, widths = item.args[:2]
        axis = _axis(item.args[2] if len(item.args) > 2 else item.kwargs.get("dim", 0))
        if axis is None or not isinstance(widths, list | tuple) or not isinstance(tensor, fx.Node):
            return None
        return _Split(tensor, tuple(int(width) for width in widths), axis)  # type: ignore[arg-type]

    def _operation(self, item: fx.Node) -> Operation:
        if item.op == "placeholder":
            return Image()
        if item.op == "call_module":
            return operation_of(str(item.target), self.backbone.get_submodule(str(item.target)))
        operation: Operation | None = None
        if any(node in self.numbers for node in item.all_input_nodes):
            operation = self._scale(item)
        elif item.op != "get_attr":
            operation = self._part(item) or _concat(item) or _plain_operation(item, self.backbone)
        if operation is None:
            what = getattr(item.target, "__name__", item.target)
            raise UserError(
                f"{_where(item)} does something whose effect on channels is not known ({what}): choose another backbone"
            )
        return operation

    def _scale(self, item: fx.Node) -> ChannelScale | None:
        """A product of channels and numbers."""
        numbers = [self.numbers[node] for node in item.all_input_nodes if node in self.numbers]
        if item.target not in (operator.mul, torch.mul, "mul") or len(item.args) != 2 or len(numbers) != 1:
            return None
        owner, _, attribute = numbers[0].target.rpartition(".")
        return ChannelScale(owner, attribute, numbers[0].axis) if len(item.all_input_nodes) == 2 else None

    def _part(self, item: fx.Node) -> ChannelSlice | None:
        """A part of a split."""
        split = self.splits.get(item.all_input_nodes[0]) if item.all_input_nodes else None
        if split is None or item.target is not operator.getitem or not isinstance(item.args[1], int):
            return None
        index = range(len(split.widths))[item.args[1]]
        return ChannelSlice(sum(split.widths[:index]), split.widths[index], split.axis)


def read_nodes(traced: fx.Graph, backbone: Backbone) -> tuple[list[Node], list[int]]:
    """Nodes without widths, and those that are levels of the pyramid.

    Raises:
        UserError: an operation whose effect on channels is not known, named by the module that it is part of.
    """
    reader = _Reader(backbone)
    for item in traced.nodes:
        if item.op != "output":
            reader.read(item)
    levels = next(item for item in traced.nodes if item.op == "output").args[0]
    return reader.nodes, [reader.places[level] for level in levels]


def _where(item: fx.Node) -> str:
    """The innermost module that an item is part of, in words."""
    stack = list(item.meta.get("nn_module_stack", {}).values())
    return f"{stack[-1][0]} ({stack[-1][1].__name__})" if stack else "this backbone"


def _axis(dim: object) -> int | None:
    """Where channels may be, of ``[B, C, h, w]`` or ``[B, h, w, C]``."""
    return 1 if dim == 1 else -1 if dim in (-1, 3) else None


def _concat(item: fx.Node) -> Concat | None:
    if item.op != "call_function" or item.target not in (torch.cat, torch.concat):
        return None
    tensors = item.args[0]
    axis = _axis(item.args[1] if len(item.args) > 1 else item.kwargs.get("dim", 0))
    once = isinstance(tensors, list | tuple) and len(item.all_input_nodes) == len(tensors)
    return Concat(axis) if axis is not None and once else None


def _plain_operation(item: fx.Node, backbone: Backbone) -> Operation | None:
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
    return None


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
