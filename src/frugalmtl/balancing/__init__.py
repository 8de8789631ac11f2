"""How the tasks' losses (``scalarization/``) or gradients (``aggregation/``) are combined into one update."""

from frugalmtl.balancing.base import Balance, Balancer, BalancerRegistry, Pass, StepContext
from frugalmtl.balancing.gradients import RepresentationCut

BALANCERS = BalancerRegistry("frugalmtl.balancing", "balancer", ("scalarization", "aggregation"))

__all__ = ["BALANCERS", "Balance", "Balancer", "Pass", "RepresentationCut", "StepContext"]
