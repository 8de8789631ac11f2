"""Control of the deployed network's cost: the price while gates learn, the gates when they are frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from frugalmtl.channels import Mask
from frugalmtl.core.budget import Budget, Clock, CostPoint, goal_in_macs, goal_of_time, nearest_in_time
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.interrogate.budget.prices import price_for, smooth_cost
from frugalmtl.encoders.interrogate.budget.rounding import GateGroup, rounded, rounded_to_cost
from frugalmtl.encoders.interrogate.gates import Gates

CostOf = Callable[[Sequence[Mask]], float]
"""Gates per site ``[T, C]`` -> multiply-adds of the whole deployed model."""

CHEAPEST, DEAREST = "one shared network with all heads", "single-task networks"


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
        self.latency: Clock | None = None
        self.points = [CostPoint(CHEAPEST, 0.0), CostPoint(DEAREST, 0.0)]

    def plan(self, cost_of: CostOf, macs: Tensor, latency: Clock | None) -> float:
        """Find the multiply-adds to aim at; 0 without a budget.

        Args:
            cost_of: see :data:`CostOf`.
            macs: ``[U]``, multiply-adds of every gate's own channels.
            latency: tells the time of the model as it would be deployed.

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
            return self._plan_latency(cost_of, least)
        return goal_in_macs(self.budget, self.full, CostPoint(CHEAPEST, least), CostPoint(DEAREST, self.full))

    def _plan_latency(self, cost_of: CostOf, least: float) -> float:
        if self.budget is None or self.latency is None:
            raise UserError("a budget in milliseconds needs a model that can be measured, in a single process")
        if [self.points[0].macs, self.points[-1].macs] != [least, self.full]:  # else known: one answer for one model
            learned = self.gates.alpha.detach().clone()
            sure = learned.abs().clamp(min=1e-6)
            between = self._between(cost_of, least, self.latency.between)
            decisions = [-sure, *(torch.where(mask, sure, -sure) for mask in between), sure]
            times = self.latency([partial(self._set, alpha) for alpha in decisions])
            self._set(learned)
            costs = [least, *(cost_of(self.gates.places.split(mask.cpu().numpy())) for mask in between), self.full]
            words = [CHEAPEST, *[""] * len(between), DEAREST]
            self.points = [CostPoint(*point) for point in zip(words, costs, times, strict=True)]
        return goal_of_time(self.budget.value, self.points, self.latency.place)

    def _between(self, cost_of: CostOf, least: float, number: int) -> list[Tensor]:
        """Open gates ``[T, U]`` of models between the ends, by their worth; by chance where they are worth the same."""
        worth = self.gates.worth().double().cpu().numpy()
        if np.ptp(worth) == 0.0:
            worth = np.random.default_rng(0).random(worth.shape)
        cost = self.gates.cost.double().cpu().numpy()
        targets = np.linspace(least, self.full, number + 2)[1:-1]
        exact = self._exact(cost_of)
        masks = [rounded_to_cost(worth, cost, self.groups, exact, float(target)) for target in targets]
        return [torch.from_numpy(mask).to(self.gates.alpha.device) for mask in masks]

    def _exact(self, cost_of: CostOf) -> Callable[[Mask], float]:
        return lambda open_gates: cost_of(self.gates.places.split(open_gates))

    def steer(self, cost_of: CostOf, goal: float, share: float) -> None:
        """Set the price so that the cost lies ``share`` of the way from the single-task networks' to the goal.

        The price is found on a smooth formula of the cost; what that leaves out (dead layers, attention) is added from
        the exact cost of the gates as they stand.
        """
        if self.budget is None:
            return
        worth, exact = self.gates.worth(), cost_of(self.gates.private())
        macs = self.macs.to(worth.device)
        beside = exact - float(smooth_cost((self.gates.scores().detach() > 0).to(macs.dtype), macs))
        target = self.full + (goal - self.full) * share
        self.gates.price.fill_(price_for(worth, macs, self.gates.cost, target - beside))

    def freeze(self, cost_of: CostOf, goal: float) -> None:
        """Decide all gates: good widths at the goal; the price is 0 from here on."""
        worth = self.gates.worth().double().cpu().numpy()
        cost = self.gates.cost.double().cpu().numpy()
        if self.budget is None:
            self._decide(rounded(worth, self.groups))
            return

        def decided(target: float) -> Mask:
            return rounded_to_cost(worth, cost, self.groups, self._exact(cost_of), target)

        latency = self.latency
        if self.budget.kind != "ms" or latency is None:
            self._decide(decided(goal))
            return

        def trial(target: float) -> tuple[Mask, float]:
            chosen = decided(target)
            return chosen, latency([partial(self._decide, chosen)])[0]

        self._decide(nearest_in_time(self.budget.value, goal, self.points[0], self.points[-1], trial))

    def _decide(self, open_gates: Mask) -> None:
        """Alphas whose sign says what was decided, as far from zero as the scores were."""
        sure = self.gates.scores().detach().abs().clamp(min=1e-6)
        sign = torch.from_numpy(np.where(open_gates, 1.0, -1.0)).to(sure)
        self._set(sure * sign)
        self.gates.price.zero_()

    @torch.no_grad()
    def _set(self, alpha: Tensor) -> None:
        self.gates.alpha.copy_(alpha)
