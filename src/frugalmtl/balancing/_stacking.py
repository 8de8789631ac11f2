"""Stacks: scalarizers that weigh the losses whose gradients an aggregator takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from frugalmtl.balancing._registry import BalancerRegistry
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.checks import UserError

_HOOKS = ("backward", "choose", "before_step", "after_step")
"""By these a method takes part in a step otherwise than by the weights of its losses."""


def stacks(member: Callable[..., Any]) -> bool:
    """Whether all that a balancer does in a step is to weigh the losses, so that an aggregator may go on from there.

    A scalarizer that chooses the tasks of a step, or tries or judges the step of the weighted sum, does not: under an
    aggregator that step is not taken.
    """
    if not (inspect.isclass(member) and issubclass(member, Scalarizer)):
        return False
    return all(getattr(member, hook) is getattr(Scalarizer, hook) for hook in _HOOKS)


class StackableRegistry(BalancerRegistry):
    """The balancers of several rooms that stack."""

    def names(self) -> list[str]:
        """Names of the balancers that stack, sorted."""
        return sorted(name for room in self.rooms for name in room.names() if stacks(room.get(name)))

    def get(self, name: str) -> Callable[..., Any]:
        """The scalarizer called ``name``.

        Raises:
            UserError: no such balancer, or it does not stack; the message lists those that do.
        """
        for room in self.rooms:
            if name in room.names() and not stacks(room.get(name)):
                raise UserError(
                    f"{name} cannot weigh the losses of an aggregator, for it does more in a step than weigh losses: "
                    f"take one of {', '.join(self.names())}"
                )
        return super().get(name)


SCALARIZERS = StackableRegistry("frugalmtl.balancing", "scalarizer", ("scalarization", "scalarization.bilevel"))
