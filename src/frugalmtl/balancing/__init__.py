"""How the tasks' losses (``losswise/``) or gradients (``gradwise/``) are combined into one update."""

from frugalmtl.balancing.base import Balance, Balancer, BalancerRegistry, Pass, StepContext
from frugalmtl.balancing.gradients import RepresentationCut

BALANCERS = BalancerRegistry("frugalmtl.balancing", "balancer", ("losswise", "gradwise"))

__all__ = ["BALANCERS", "Balance", "Balancer", "Pass", "RepresentationCut", "StepContext"]
