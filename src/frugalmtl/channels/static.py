"""Static network: one plain module of smaller layers for all branches of a plan, some of them stacked."""

from __future__ import annotations

import copy
import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalmtl.channels.builder import ProgramBuilder
from frugalmtl.channels.plan import ChannelPlan
from frugalmtl.channels.program import Program, ReorderChannels
from frugalmtl.layers.gathering import gather

LANES = 16
"""Filters that a convolution computes at once in float32 on AVX-512; odd widths cost as much as the next multiple."""


def static_network(
    plan: ChannelPlan,
    networks: Sequence[nn.Module],
    mixes: Sequence[Tensor],
    names: Sequence[str],
    read_levels: Sequence[Sequence[int]],
    projections: Mapping[int, nn.Module] | None = None,
) -> fx.GraphModule:
    """A plain module, image ``[B, 3, H, W]`` -> ``{name: pyramid}``, whose layers hold the computed filters alone.

    Args:
        plan: what is needed.
        networks: the private branches in order, then the shared one; in eval mode.
        mixes: per site ``[T, C]``, shares of the private branches in the mix.
        names: of the private branches.
        read_levels: per private branch the levels of its pyramid that are read; the image stands in for the others. A
            branch without a level is not returned.
        projections: linear layers between the mix of a site and the shared branch.
    """
    builder = ProgramBuilder(plan, networks, projections or {})
    outputs: dict[str, list[fx.Node]] = {}
    for branch, (name, levels) in enumerate(zip(names, read_levels, strict=True)):
        if not levels:
            continue
        outputs[name] = []
        for level, index in enumerate(plan.graph.outputs):
            every = tuple(range(plan.graph.nodes[index].channels))
            outputs[name].append(builder.in_order(index, branch, every) if level in levels else builder.draft.image)
    program = builder.draft.finish(outputs)
    stack_layers(program.root, program.graph)
    add_in_place(program.root, program.graph)
    _reorder_by_modules(program)
    for name, mix in program.mixes.items():
        program.root.register_buffer(name, mix.value(mixes).detach().clone())
    return program.module("StaticBranches").to(mixes[0].device)


def add_in_place(root: nn.Module, graph: fx.Graph) -> None:
    """Add into an input of an addition that nothing else reads: fresh memory costs more time than the sum; in place.

    Args:
        root: holds the modules.
        graph: calls them; changed in place.
    """
    for node in graph.nodes:
        if node.target is operator.add:
            first, second = node.args
            if not _writable(root, first):
                first, second = second, first
            if _writable(root, first):
                node.target, node.args = operator.iadd, (first, second)


def _writable(root: nn.Module, node: fx.Node) -> bool:
    """Whether a tensor has memory of its own, and one reader."""
    fresh = isinstance(_module(root, node), nn.Conv2d | nn.Linear | _BatchNorm)
    return len(node.users) == 1 and (fresh or node.target in (operator.add, operator.iadd))


def _reorder_by_modules(program: Program) -> None:
    """Reorder returned tensors by modules, which deployment folds into the convolutions that read them."""
    for number, node in enumerate(list(program.graph.nodes)):
        if node.target is gather and all(user.op == "output" for user in node.users):
            tensor, axis, index = node.args
            name = f"reorder_{number}"
            program.root.add_module(name, ReorderChannels(program.root.get_buffer(index.target), axis))
            with program.graph.inserting_before(node):
                node.replace_all_uses_with(program.graph.call_module(name, (tensor,)))
    program.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))


def stack_layers(root: nn.Module, graph: fx.Graph) -> None:
    """Join convolutions of a program that read the same tensor, with the normalisation and activation behind them.

    Branches that share all channels of a site read one tensor. Their convolutions are stacked where that leaves fewer
    filters to round up, see :data:`LANES`: four of 18 filters cost as four of 32, one of 72 as one of 80. Elsewhere
    they stay apart: one convolution is then no faster than several, and its parts have to be cut out of it.

    Args:
        root: holds the modules; stacked ones are added, the others stay.
        graph: calls them; changed in place.
    """
    readers: dict[Any, list[fx.Node]] = defaultdict(list)
    for node in graph.nodes:
        module = _module(root, node)
        if type(module) is nn.Conv2d and module.groups == 1:
            settings = (module.kernel_size, module.stride, module.padding, module.dilation, module.padding_mode)
            readers[(node.all_input_nodes[0], *settings, module.bias is None)].append(node)
    for number, nodes in enumerate(readers.values()):
        widths = _widths(root, nodes)
        if rounded_up(sum(widths)) < sum(map(rounded_up, widths)):
            _stack(root, graph, nodes, f"stack_{number}")
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))


def rounded_up(filters: int) -> int:
    """The number of filters that a convolution's time is that of."""
    return -(-filters // LANES) * LANES


def _stack(root: nn.Module, graph: fx.Graph, nodes: list[fx.Node], name: str) -> None:
    widths = _widths(root, nodes)
    stacked = nodes[0].all_input_nodes[0]
    first, step = nodes[0], 0
    while True:
        modules = [root.get_submodule(str(node.target)) for node in nodes]
        root.add_module(f"{name}_{step}", _stacked(modules, sum(widths)))
        with graph.inserting_before(first):
            stacked = graph.call_module(f"{name}_{step}", (stacked,))
        behind = [_only_reader(node) for node in nodes]
        following = [_module(root, node) for node in behind]
        if not _alike(following):
            break
        nodes, step = [node for node in behind if node is not None], step + 1
    start = 0
    for node, width in zip(nodes, widths, strict=True):
        with graph.inserting_before(first):
            part = graph.call_function(torch.narrow, (stacked, 1, start, width))
        node.replace_all_uses_with(part)
        start += width


def _widths(root: nn.Module, nodes: Sequence[fx.Node]) -> list[int]:
    convolutions: list[Any] = [root.get_submodule(str(node.target)) for node in nodes]
    return [int(convolution.out_channels) for convolution in convolutions]


def _stacked(modules: Sequence[nn.Module], width: int) -> nn.Module:
    """One module with the filters, vectors and statistics of all, one after the other."""
    result: Any = copy.deepcopy(modules[0])
    of_all = [{**dict(module.named_parameters()), **dict(module.named_buffers())} for module in modules]
    for name, tensor in of_all[0].items():
        if tensor.ndim:
            joined = torch.cat([tensors[name].detach() for tensors in of_all])
            setattr(result, name, nn.Parameter(joined) if name in result._parameters else joined)
    for name in ("out_channels", "num_features"):
        if hasattr(result, name):
            setattr(result, name, width)
    stacked: nn.Module = result
    return stacked


def _alike(modules: Sequence[nn.Module | None]) -> bool:
    """Whether all are normalisations, or all activations without parameters, of one kind and with equal settings."""
    settings = {None if module is None else _settings(module) for module in modules}
    return len(settings) == 1 and None not in settings and () not in settings


def _settings(module: nn.Module) -> tuple[object, ...]:
    """What normalisations and activations must have in common to be stacked; empty for other modules."""
    of: Any = module
    if isinstance(module, _BatchNorm):
        return (type(module), of.eps, of.affine, of.track_running_stats, *map(repr, module.children()))
    if type(module).__module__ == "torch.nn.modules.activation" and not [*module.parameters()]:
        return (repr(module),)
    return ()


def _module(root: nn.Module, node: fx.Node | None) -> nn.Module | None:
    return root.get_submodule(str(node.target)) if node is not None and node.op == "call_module" else None


def _only_reader(node: fx.Node) -> fx.Node | None:
    """The one node that reads a node's output, once."""
    return next(iter(node.users)) if len(node.users) == 1 else None
