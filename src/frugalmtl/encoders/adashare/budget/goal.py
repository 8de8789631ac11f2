"""Goal of a budget: its multiply-adds or milliseconds, the least and the most that policies cost, and their fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from frugalmtl.core.budget import HERE, Budget, CostPoint, goal_in_macs, goal_of_time, nearest_in_time
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.adashare.budget.fitting import TOLERANCE, CostOf, Fit, Fitting, Mask, Odds

Measure = Callable[[Sequence[Mask]], list[float]]
"""Milliseconds per image of the model deployed with each policy, measured against each other; slow."""

CHEAPEST, DEAREST = "one network of no block that may be skipped, with all heads,", "the dearest policies"


class Goal:
    """The cost that the deployed model is to have, if any, and the policies that have it.

    Args:
        budget: None without one.
        cost_of: multiply-adds of the whole model deployed with a policy, heads included.
        single_task: those of the single-task networks, heads included, to which shares refer.
        shape: T and L.

    Attributes:
        macs: multiply-adds to aim at, once planned; 0 without a budget.
    """

    def __init__(self, budget: Budget | None, cost_of: CostOf, single_task: float, shape: tuple[int, int]) -> None:
        self.budget, self.cost_of, self.single_task, self.shape = budget, cost_of, single_task, shape
        self.macs = 0.0
        self._reachable: Mask | None = None
        self._points = [CostPoint(CHEAPEST, 0.0), CostPoint(DEAREST, 0.0)]

    def plan(
        self, measure: Measure | None, before: Goal | None = None, *, place: str = HERE["eager"], between: int = 0
    ) -> None:
        """Find the multiply-adds to aim at.

        Args:
            measure: for a budget in milliseconds.
            before: of the same model, planned earlier: what it measured is not measured anew.
            place: where it measures, as are the next, see :class:`~frugalmtl.core.budget.Clock`.
            between: models between the cheapest and the dearest that are measured, too.

        Raises:
            UserError: no policy costs what was asked for; the message says what policies cost, or the nearest.
        """
        if self.budget is None:
            return
        nothing = np.zeros(self.shape, dtype=bool)
        dearest = Fitting(np.zeros(self.shape), self.cost_of, 2.0 * self.single_task).best()
        least, most = self.cost_of(nothing), dearest.cost
        if self.budget.kind == "ms":
            if before is not None and [before._points[0].macs, before._points[-1].macs] == [least, most]:
                self._points = before._points
            else:
                policies = [nothing, *self._between(least, most, between), dearest.policy]
                times = _measured(measure, *policies)
                words = [CHEAPEST, *[""] * between, DEAREST]
                costs = map(self.cost_of, policies)
                self._points = [CostPoint(*point) for point in zip(words, costs, times, strict=True)]
            self.macs = goal_of_time(self.budget.value, self._points, place)
            return
        ends = CostPoint(CHEAPEST, least), CostPoint(DEAREST, most)
        self.macs = goal_in_macs(self.budget, self.single_task, *ends, slack=TOLERANCE)
        fit = Fitting(np.zeros(self.shape), self.cost_of, self.macs).best()
        if not fit.within:
            raise UserError(
                f"a budget of {self._words(self.macs)} cannot be kept within {TOLERANCE:.0%}: the blocks are too "
                f"coarse, and the nearest that was met is {self._words(fit.cost)}; ask for that"
            )
        self._reachable = fit.policy

    def brought(self, odds: Odds) -> Mask:
        """The most likely policy that costs :attr:`macs`; without a budget the most likely one.

        Args:
            odds: log-odds, ``[T, L]``.
        """
        return odds >= 0 if self.budget is None else self._fit(odds, self.macs).policy

    def fitted(self, odds: Odds, measure: Measure | None) -> Mask:
        """The most likely policy that keeps the budget; of one in milliseconds found by measuring, and from then on
        :attr:`macs` are those of this policy.

        Args:
            odds: log-odds, ``[T, L]``.
            measure: for a budget in milliseconds.

        Raises:
            UserError: there is nothing to measure with.
        """
        if self.budget is None or self.budget.kind != "ms":
            return self.brought(odds)

        def trial(macs: float) -> tuple[Mask, float]:
            policy = self._fit(odds, macs).policy
            return policy, _measured(measure, policy)[0]

        policy = nearest_in_time(self.budget.value, self.macs, self._points[0], self._points[-1], trial)
        self.macs = self.cost_of(policy)
        return policy

    def odds_by_cost(self) -> Odds:
        """Log-odds of a policy by cost alone, the same for all tasks: the most expensive blocks are skipped first.

        The policy skips blocks from the most expensive on, as long as the cost stays above the budget; a block is left
        if without it the cost would be below. Where all tasks alike cannot cost as much as was asked for, all blocks
        run, and the fit makes tasks part, at expensive blocks first.
        """
        full = np.ones(self.shape, dtype=bool)
        whole = self.cost_of(full)
        saved = np.array([whole - self.cost_of(_without(full, block)) for block in range(self.shape[1])])
        policy = full
        for block in np.argsort(-saved, kind="stable"):
            if self.cost_of(policy) > (1.0 + TOLERANCE) * self.macs:
                less = _without(policy, block)
                policy = less if self.cost_of(less) >= (1.0 - TOLERANCE) * self.macs else policy
        size = 1.0 / (1.0 + saved / max(saved.mean(), 1e-9))
        odds: Odds = np.where(policy, size, -size)
        return odds

    def _between(self, least: float, most: float, number: int) -> list[Mask]:
        """Policies by chance, of costs evenly spread between the ends."""
        odds = np.random.default_rng(0).normal(size=self.shape)
        targets = np.linspace(least, most, number + 2)[1:-1]
        return [Fitting(odds, self.cost_of, float(target)).best().policy for target in targets]

    def _fit(self, odds: Odds, macs: float) -> Fit:
        return Fitting(odds, self.cost_of, macs).best(self._reachable)

    def _words(self, macs: float) -> str:
        return f"{macs / 1e9:.4g} G multiply-adds ({macs / self.single_task:.3f}x of the single-task networks)"


def _measured(measure: Measure | None, *policies: Mask) -> list[float]:
    if measure is None:
        raise UserError("a budget in milliseconds needs a model that can be measured, in a single process")
    return measure(policies)


def _without(policy: Mask, block: int) -> Mask:
    skipped = policy.copy()
    skipped[:, block] = False
    return skipped
