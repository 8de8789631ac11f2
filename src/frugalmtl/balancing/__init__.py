"""How the tasks' losses (``losswise/``) or gradients (``gradwise/``) are combined into one update."""

from frugalmtl.balancing.base import Balancer, BalancerRegistry, Pass

BALANCERS = BalancerRegistry("frugalmtl.balancing", "balancer", ("losswise", "gradwise"))

__all__ = ["BALANCERS", "Balancer", "Pass"]
