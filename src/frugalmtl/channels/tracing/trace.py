"""Tracing of a backbone into a graph of operations on channels."""

from __future__ import annotations

from copy import deepcopy

from frugalmtl.backbones import Backbone
from frugalmtl.channels.graph import Graph
from frugalmtl.channels.tracing.reading import read_nodes
from frugalmtl.channels.tracing.sites import measured, with_sites
from frugalmtl.channels.tracing.tracer import ChannelTracer
from frugalmtl.core.checks import UserError


def graph_of(backbone: Backbone) -> Graph:
    """The operations of a backbone, found by tracing it (``torch.fx``), with its sites.

    Raises:
        UserError: the backbone does something whose effect on channels is not known.
    """
    tracer = ChannelTracer()
    try:
        traced = tracer.trace(backbone)
    except UserError:
        raise
    except Exception as error:  # modules that look at values or sizes may raise anything on what stands for a tensor
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        where = tracer.failed or "this backbone"
        raise UserError(f"{where} cannot be traced channel by channel ({reason}): choose another backbone") from None
    nodes, outputs = read_nodes(traced, backbone)
    nodes = measured(nodes, outputs, backbone)
    return with_sites(nodes, outputs)


def branch_of(backbone: Backbone, graph: Graph) -> Backbone:
    """A copy whose activations do not overwrite what another operation reads."""
    network, users = deepcopy(backbone), graph.users()
    for node, module in zip(graph.nodes, graph.modules(network), strict=True):
        source = node.inputs[0] if node.inputs else 0
        read_by_others = len(users[source]) > 1 or graph.nodes[source].site is not None or source == 0
        if getattr(module, "inplace", False) and read_by_others:
            setattr(module, "inplace", False)  # noqa: B010  # modules type their attributes as tensors
    return network
