"""Balancing: one update from the tasks' losses (``scalarization/``) or gradients (``aggregation/``)."""

import lazy_loader

from frugalmtl.balancing._registry import BalancerRegistry

BALANCERS = BalancerRegistry(
    "frugalmtl.balancing", "balancer", ("scalarization", "scalarization.bilevel", "aggregation")
)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["BALANCERS"]
