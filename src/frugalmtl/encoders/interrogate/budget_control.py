"""Control of the deployed network's cost: the price while gates learn, the gates when they are frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from frugalmtl.channels import Mask
from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.interrogate.gates import Gates
from frugalmtl.encoders.interrogate.rounding import GateGroup, rounded, rounded_to_cost

CostOf = Callable[[Sequence[Mask]], float]
"""Gates per site ``[T, C]`` -> multiply-adds of the whole deployed model."""

Point = tuple[float, float]
"""Multiply-adds and milliseconds."""

_ROUNDS = 10
_CLOSE_ENOUGH = 0.01


class BudgetControl:
    """Sets the price while gates learn, and the gates when they are frozen.

    Args:
        gates: they are set in place.
        budget: of the deployed model; None only rounds widths.
        groups: gates that are rounded together.

    Attributes:
        full: multiply-adds of the single-task networks, once :meth:`plan` was called.
    """

    def __init__(self, gates: Gates, budget: Budget | None, groups: Sequence[GateGroup]) -> None:
        self.gates, self.budget, self.groups = gates, budget, list(groups)
        self.macs = torch.zeros(0)
        self.full = float("nan")
        self.latency: Callable[[], float] | None = None
        self.ends: tuple[Point, Point] = (0.0, 0.0), (0.0, 0.0)

    def plan(self, cost_of: CostOf, macs: Tensor, latency: Callable[[], float] | None) -> float:
        """Find the multiply-adds to aim at; 0 without a budget.

        Args:
            cost_of: see :data:`CostOf`.
            macs: ``[U]``, multiply-adds of every gate's own channels.
            latency: measures the model as it would be deployed now, in milliseconds per image.

        Raises:
            UserError: the budget cannot be kept.
        """
        timed = self.budget is not None and self.budget.kind == "ms"
        self.macs, self.latency = macs, latency if timed else None
        shape = tuple(self.gates.alpha.shape)
        least = cost_of(self.gates.places.split(np.zeros(shape, dtype=bool)))
        self.full = cost_of(self.gates.places.split(np.ones(shape, dtype=bool)))
        if self.budget is None:
            return 0.0
        if self.budget.kind == "ms":
            return self._plan_latency(least)
        goal = self.budget.value * (self.full if self.budget.kind == "share" else 1.0)
        if not 0.999 * least <= goal <= 1.001 * self.full:
            raise UserError(
                f"a budget of {goal / 1e9:.4g} G multiply-adds ({goal / self.full:.2f}x of the single-task networks) "
                f"cannot be kept: one shared network with all heads costs {least / 1e9:.4g} G "
                f"({least / self.full:.2f}x), single-task networks {self.full / 1e9:.4g} G; ask for something between"
            )
        return goal

    def _plan_latency(self, least: float) -> float:
        if self.budget is None or self.latency is None:
            raise UserError("a budget in milliseconds needs a model that can be measured, in a single process")
        wanted, learned = self.budget.value, self.gates.alpha.detach().clone()
        times = []
        for sign in (-1.0, 1.0):
            self._set(learned.abs().clamp(min=1e-6) * sign)
            times.append(self.latency())
        self._set(learned)
        fast, slow = times
        if not fast <= wanted <= slow:
            raise UserError(
                f"a budget of {wanted:.4g} ms cannot be kept: on this machine one shared network with all heads takes "
                f"{fast:.4g} ms, single-task networks {slow:.4g} ms; ask for something between"
            )
        self.ends = (least, fast), (self.full, slow)
        return _between(*self.ends, wanted)

    def steer(self, cost_of: CostOf, goal: float, share: float) -> None:
        """Set the price so that the cost lies ``share`` of the way from the single-task networks' to the goal.

        The price is found on a smooth formula of the cost; what that leaves out (dead layers, attention) is added from
        the exact cost of the gates as they stand.
        """
        if self.budget is None:
            return
        alpha, exact = self.gates.alpha.detach(), cost_of(self.gates.private())
        macs = self.macs.to(alpha.device)
        beside = exact - float(smooth_cost((self.gates.scores().detach() > 0).to(macs.dtype), macs))
        target = self.full + (goal - self.full) * share
        self.gates.price.fill_(price_for(alpha, macs, self.gates.cost, target - beside))

    def freeze(self, cost_of: CostOf, goal: float) -> None:
        """Decide all gates: good widths at the goal; the price is 0 from here on."""
        alpha = self.gates.alpha.detach().double().cpu().numpy()
        cost = self.gates.cost.double().cpu().numpy()
        if self.budget is None:
            self._decide(rounded(alpha, self.groups))
            return

        def exact(open_gates: Mask) -> float:
            return cost_of(self.gates.places.split(open_gates))

        def decided(target: float) -> Mask:
            return rounded_to_cost(alpha, cost, self.groups, exact, target)

        if self.budget.kind != "ms" or self.latency is None:
            self._decide(decided(goal))
            return
        trials: list[tuple[float, Mask]] = []
        target, wanted = goal, self.budget.value
        below, above = self.ends
        for _ in range(_ROUNDS):
            chosen = decided(target)
            self._decide(chosen)
            measured = self.latency()
            trials.append((abs(measured - wanted), chosen))
            if abs(measured - wanted) <= _CLOSE_ENOUGH * wanted:
                break
            below, above = ((target, measured), above) if measured < wanted else (below, (target, measured))
            target = _between(below, above, wanted)
        self._decide(min(trials, key=lambda pair: pair[0])[1])

    def _decide(self, open_gates: Mask) -> None:
        """Alphas whose sign says what was decided, as far from zero as the scores were."""
        sure = self.gates.scores().detach().abs().clamp(min=1e-6)
        sign = torch.from_numpy(np.where(open_gates, 1.0, -1.0)).to(sure)
        self._set(sure * sign)
        self.gates.price.zero_()

    @torch.no_grad()
    def _set(self, alpha: Tensor) -> None:
        self.gates.alpha.copy_(alpha)


def _between(below: Point, above: Point, wanted: float) -> float:
    """Multiply-adds at which the wanted time is to be expected, on the line between a faster and a slower network.

    Never nearer than a tenth of the way to either, so that a bent line is closed in on from both sides.
    """
    (least, fast), (most, slow) = below, above
    share = (wanted - fast) / (slow - fast) if slow > fast else 0.5
    return least + (most - least) * min(0.9, max(0.1, share))


def smooth_cost(open_gates: Tensor, macs: Tensor) -> Tensor:
    """Multiply-adds of the layers before the sites: own channels, and each shared one that some task picks.

    Args:
        open_gates: ``[T, U]`` of zeros and ones.
        macs: ``[U]`` of one channel (or unit of channels).
    """
    return (macs * (open_gates.sum(0) + 1.0 - open_gates.prod(0))).sum()


def price_for(alpha: Tensor, macs: Tensor, cost: Tensor, target: float) -> float:
    """The price at which the gates ``alpha > price * cost`` cost just ``target`` or less.

    The cost falls as the price rises, so it is found by halving among the prices at which some gate flips. A negative
    price opens gates that would be closed.

    Args:
        alpha: ``[T, U]``.
        macs: ``[U]`` of a gate's channels.
        cost: ``[U]``, the same relative to its mean.
        target: multiply-adds of the layers before the sites.
    """
    worth = (alpha / cost)[:, cost > 0].flatten().sort().values
    worth = worth + 4 * torch.finfo(worth.dtype).eps * worth.abs()  # so that a gate is closed at its own price
    low, high = -1, len(worth) - 1  # at the price worth[high] all gates with a cost are closed; below worth[0] none is
    while high - low > 1:
        middle = (low + high) // 2
        spent = smooth_cost((alpha > worth[middle] * cost).to(macs.dtype), macs)
        low, high = (middle, high) if spent > target else (low, middle)
    if low >= 0:
        return float(worth[high])
    below = worth[0] - worth[0].abs().clamp(min=1e-6) * 1e-3
    return float(below if smooth_cost((alpha > below * cost).to(macs.dtype), macs) <= target else worth[0])
