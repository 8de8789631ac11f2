"""How channels flow through a backbone: a graph of operations, each of which can be had for some channels only."""

from frugalmtl.channels.graph import Graph, Node, units
from frugalmtl.channels.operations import Channels, Mask, Operation
from frugalmtl.channels.tracing import branch_of, graph_of

__all__ = ["Channels", "Graph", "Mask", "Node", "Operation", "branch_of", "graph_of", "units"]
