"""How the tasks' losses (``scalarization/``) or gradients (``aggregation/``) are combined into one update."""

from frugalmtl.balancing.base import Balancer, BalancerRegistry, BalancerReport, ForwardPass, StepContext
from frugalmtl.balancing.gradients import RepresentationCut

BALANCERS = BalancerRegistry("frugalmtl.balancing", "balancer", ("scalarization", "aggregation"))

__all__ = ["BALANCERS", "Balancer", "BalancerReport", "ForwardPass", "RepresentationCut", "StepContext"]
