"""Channels of a backbone: graph of operations, plans for masks, and the smaller networks that masks leave."""

from frugalmtl.channels.cost import node_macs, projection_macs, site_macs
from frugalmtl.channels.frozen import FrozenProgram
from frugalmtl.channels.graph import Graph, Node, added_sites, units
from frugalmtl.channels.operations import Channels, Mask, Operation
from frugalmtl.channels.plan import ChannelPlan, plan_channels
from frugalmtl.channels.static import static_network
from frugalmtl.channels.tracing import branch_of, graph_of

__all__ = [
    "ChannelPlan",
    "Channels",
    "FrozenProgram",
    "Graph",
    "Mask",
    "Node",
    "Operation",
    "added_sites",
    "branch_of",
    "graph_of",
    "node_macs",
    "plan_channels",
    "projection_macs",
    "site_macs",
    "static_network",
    "units",
]
