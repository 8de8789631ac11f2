"""Tracing of a backbone into a graph of operations on channels."""

from __future__ import annotations

import operator
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from timm.layers.attention import Attention as TimmAttention
from timm.layers.drop import DropBlock2d, DropPath
from timm.layers.format import Format
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.patch_embed import PatchEmbed
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models.swin_transformer import PatchMerging
from timm.models.vision_transformer import LayerScale
from torch import Tensor, fx, nn

from frugalmtl.backbones.base import Backbone
from frugalmtl.backbones.cifar_resnet import PaddedShortcut
from frugalmtl.backbones.families._patches import PatchResize
from frugalmtl.backbones.families.vision_transformer import GridBlock, PatchGrid
from frugalmtl.backbones.general.fixed_size import FixedSize
from frugalmtl.backbones.views import SwinTokens, WindowGrid, tokens_of
from frugalmtl.channels.attention import AttentionChannels, WindowAttentionChannels
from frugalmtl.channels.graph import Graph, Node
from frugalmtl.channels.operations import (
    AllChannels,
    ChannelSlice,
    ChannelWise,
    Dense,
    Grouped,
    Image,
    Operation,
    PatchEmbedding,
    Permute,
    Rearrange,
    Sum,
)
from frugalmtl.channels.windows import MergePatches, Partition, SumOfWindows
from frugalmtl.core.checks import UserError

PER_CHANNEL = (
    nn.Identity,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.Upsample,
    nn.Dropout,
    nn.Dropout2d,
    DropPath,
    DropBlock2d,
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    BatchNormAct2d,
    LayerScale,
    PatchResize,
    FixedSize,
)
ACTIVATIONS = ("torch.nn.modules.activation", "timm.layers.activations")
OVER_CHANNELS = (nn.LayerNorm, SqueezeExcite, SEModule)
DENSE = (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)
NO_ACTIVATIONS = (nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.PReLU, nn.GLU, nn.MultiheadAttention)


def graph_of(backbone: Backbone) -> Graph:
    """The operations of a backbone, found by tracing it (``torch.fx``), with its sites.

    Raises:
        UserError: the backbone does something whose effect on channels is not known.
    """
    try:
        traced = _Tracer().trace(backbone)
    except (torch.fx.proxy.TraceError, TypeError) as error:
        raise UserError(f"this backbone cannot be traced channel by channel ({error}): choose another") from None
    nodes, outputs = _read(traced, backbone)
    nodes = _measured(nodes, outputs, backbone)
    return _with_sites(nodes, outputs)


def branch_of(backbone: Backbone, graph: Graph) -> Backbone:
    """A copy whose activations do not overwrite what another operation reads."""
    network, users = deepcopy(backbone), graph.users()
    for node, module in zip(graph.nodes, graph.modules(network), strict=True):
        source = node.inputs[0] if node.inputs else 0
        read_by_others = len(users[source]) > 1 or graph.nodes[source].site is not None or source == 0
        if getattr(module, "inplace", False) and read_by_others:
            setattr(module, "inplace", False)  # noqa: B010  # modules type their attributes as tensors
    return network


class _Tracer(fx.Tracer):
    """Stops at modules whose effect on channels is known, and opens attention between its projections."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (PatchGrid, *PER_CHANNEL, *OVER_CHANNELS, *DENSE)) or _activation(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if isinstance(m, GridBlock):  # operations here work on grids as they work on sequences
            return m.block(*args)
        if isinstance(m, PaddedShortcut):
            raise UserError("a shortcut that pads channels cannot be cut by channels: give the backbone shortcut: B")
        if isinstance(m, TimmAttention):
            if m.gate is not None:
                raise UserError("gated attention cannot be traced channel by channel: choose another backbone")
            return self._attention(m, args[0], {})
        if isinstance(m, PatchEmbed):
            return self._patches(m, args[0])
        if isinstance(m, PatchMerging):
            return m.reduction(m.norm(self.create_proxy("call_function", _merge, args, {})))
        if isinstance(tokens_of(m), SwinTokens):
            return self._swin_block(m, args[0])
        return super().call_module(m, forward, args, kwargs)

    def _attention(self, attention: Any, tokens: fx.Proxy, where: dict[str, Any]) -> fx.Proxy:
        """Projections, and attention between them; ``where`` names the block of attention in windows."""
        projected = attention.qkv(tokens)
        width = attention.qkv.out_features // 3
        parts = [self.create_proxy("call_function", _part, (projected, index * width, width), {}) for index in range(3)]
        named = {"target": self.path_of_module(attention), **where}
        mixed = self.create_proxy("call_function", _attend, tuple(parts), named)
        if isinstance(attention, TimmAttention):
            mixed = attention.norm(mixed)
        result: fx.Proxy = attention.proj_drop(attention.proj(mixed))
        return result

    def _patches(self, embedding: Any, image: fx.Proxy) -> fx.Proxy:
        """Patches of an image as a grid; image sizes are multiples of a patch, which callers see to."""
        if embedding.flatten or embedding.output_fmt != Format.NHWC or embedding.dynamic_img_pad:
            raise UserError("patches that are no grid cannot be traced channel by channel: choose another backbone")
        grid: fx.Proxy = embedding.norm(embedding.proj(image).permute(0, 2, 3, 1))
        return grid

    def _swin_block(self, block: Any, grid: fx.Proxy) -> fx.Proxy:
        """Both halves of a block, see :class:`~frugalmtl.backbones.views.SwinTokens`; attention on windows."""
        where = {"block": self.path_of_module(block)}
        windows = self.create_proxy("call_function", _partition, (block.norm1(grid),), where)
        attended = block.drop_path1(self._attention(block.attn, windows, where))
        grid = self.create_proxy("call_function", _add_windows, (grid, attended), where)
        mixed: fx.Proxy = grid + block.drop_path2(block.mlp(block.norm2(grid)))
        return mixed


def _part(tensor: Tensor, start: int, width: int) -> Tensor:
    """Stands for :class:`ChannelSlice` in the traced graph."""
    raise NotImplementedError


def _attend(queries: Tensor, keys: Tensor, values: Tensor, target: str, block: str | None = None) -> Tensor:
    """Stands for :class:`AttentionChannels` in the traced graph."""
    raise NotImplementedError


def _partition(grid: Tensor, block: str) -> Tensor:
    """Stands for :class:`Partition` in the traced graph."""
    raise NotImplementedError


def _add_windows(grid: Tensor, windows: Tensor, block: str) -> Tensor:
    """Stands for :class:`SumOfWindows` in the traced graph."""
    raise NotImplementedError


def _merge(grid: Tensor) -> Tensor:
    """Stands for :class:`MergePatches` in the traced graph."""
    raise NotImplementedError


def _activation(module: nn.Module) -> bool:
    return type(module).__module__ in ACTIVATIONS and not isinstance(module, NO_ACTIVATIONS)


def _read(traced: fx.Graph, backbone: Backbone) -> tuple[list[Node], list[int]]:
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
        return _module_operation(str(item.target), backbone.get_submodule(str(item.target)))
    two = len(item.all_input_nodes) == len(item.args) == 2
    if item.op == "call_function" and item.target in (operator.add, operator.iadd, torch.add) and two:
        return Sum()
    if item.op == "call_function" and item.target is _part:
        _, start, width = item.args
        return ChannelSlice(int(start), int(width))  # type: ignore[arg-type]  # numbers, from _attention
    if item.op == "call_function" and item.target is _attend:
        return _attention_operation(item, backbone)
    if item.op == "call_function" and item.target is _merge:
        return MergePatches()
    if item.op == "call_function" and item.target in (_partition, _add_windows):
        windows = _windows_of(item, backbone)
        return Partition(windows) if item.target is _partition else SumOfWindows(windows)
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


def _module_operation(target: str, module: nn.Module) -> Operation:
    if isinstance(module, PatchGrid):
        if not isinstance(module.norm_pre, nn.Identity):
            raise UserError("a normalisation before the first block cannot be cut by channels: choose another backbone")
        return PatchEmbedding(target)
    if isinstance(module, OVER_CHANNELS):
        return AllChannels(target)
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        if module.groups == module.in_channels == module.out_channels:
            return ChannelWise(target)
        return Grouped(target, module.groups, module.out_channels // module.groups)
    if isinstance(module, nn.ConvTranspose2d) and module.groups > 1:
        raise UserError("transposed convolutions in groups cannot be cut by channels: choose another backbone")
    return Dense(target) if isinstance(module, DENSE) else ChannelWise(target)


@torch.no_grad()
def _measured(nodes: list[Node], outputs: list[int], backbone: Backbone) -> list[Node]:
    """Nodes with the axis and number of their channels."""
    training = backbone.training
    backbone.eval()
    axes = [1]
    for node in nodes[1:]:
        axis = axes[node.inputs[0]]
        if isinstance(node.operation, Permute):
            axis = -1 if node.operation.dims == (0, 2, 3, 1) else 1
        elif isinstance(node.operation, PatchEmbedding):
            axis = -1
        axes.append(axis)
    widths = [3] + [0] * (len(nodes) - 1)

    def visit(index: int, output: Tensor) -> None:
        widths[index] = output.shape[axes[index]]

    weight = next(backbone.parameters())
    probe = torch.zeros(1, 3, *backbone.probe_size, device=weight.device, dtype=weight.dtype)
    Graph(tuple(nodes), tuple(outputs), ()).run(backbone, probe, visit)
    backbone.train(training)
    return [replace(node, channels=width, axis=axis) for node, width, axis in zip(nodes, widths, axes, strict=True)]


def _with_sites(nodes: list[Node], outputs: list[int]) -> Graph:
    users = Graph(tuple(nodes), tuple(outputs), ()).users()
    fresh: list[bool] = []  # whether a layer with channels to leave out lies between a node and the sites before it
    sited: list[bool] = []
    for index, node in enumerate(nodes):
        carries = isinstance(node.operation, ChannelWise | Sum | Rearrange | ChannelSlice)
        inherited = any(fresh[source] and not sited[source] for source in node.inputs)
        fresh.append(isinstance(node.operation, Dense | Grouped) or (carries and inherited))
        readers = [nodes[user].operation for user in users[index]]
        across = any(not isinstance(reader, ChannelWise | Sum | Rearrange | ChannelSlice) for reader in readers)
        several = len(readers) > 1 and not all(isinstance(reader, ChannelSlice) for reader in readers)
        sited.append(index in outputs or (fresh[-1] and (across or several)))
    layers: list[str] = []
    for node in nodes:
        starts = isinstance(node.operation, Dense | Grouped)
        before = layers[max(node.inputs)] if node.inputs else ""
        layers.append(node.name if starts or not before else before)
    sites = tuple(index for index, flag in enumerate(sited) if flag)
    numbered = [
        replace(node, site=sites.index(index) if sited[index] else None, layer=layers[index])
        for index, node in enumerate(nodes)
    ]
    return Graph(tuple(numbered), tuple(outputs), sites)
