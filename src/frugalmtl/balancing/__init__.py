"""Balancing: one update from the tasks' losses (``scalarization/``) or gradients (``aggregation/``)."""

from frugalmtl.balancing._stacking import SCALARIZERS
from frugalmtl.balancing._transfers import HostCopy
from frugalmtl.balancing.base import Balancer, BalancerRegistry, BalancerReport, ForwardPass, StepContext
from frugalmtl.balancing.gradients import RepresentationCut

BALANCERS = BalancerRegistry(
    "frugalmtl.balancing", "balancer", ("scalarization", "scalarization.bilevel", "aggregation")
)

__all__ = [
    "BALANCERS",
    "SCALARIZERS",
    "Balancer",
    "BalancerReport",
    "ForwardPass",
    "HostCopy",
    "RepresentationCut",
    "StepContext",
]
