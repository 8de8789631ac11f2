"""Fit of a discrete policy to a budget: the most likely one whose multiply-adds lie within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""Whether a block runs, ``[T, L]``."""

Odds = NDArray[np.float64]
"""``log P(run) - log P(skip)``, ``[T, L]``."""

CostOf = Callable[[Mask], float]
"""Multiply-adds of the whole model deployed with a policy."""

TOLERANCE = 0.02
"""Relative distance from the budget that is allowed."""

_ROUNDS = 200
_PAIRS = 400


@dataclass(frozen=True)
class Fit:
    """A policy and how well it fits.

    Attributes:
        policy: ``[T, L]``.
        cost: its multiply-adds.
        distance: relative distance from the target.
        unlikely: by how much its log-likelihood lies below that of the most likely policy.
    """

    policy: Mask
    cost: float
    distance: float
    unlikely: float

    @property
    def within(self) -> bool:
        """Whether the budget is kept."""
        return self.distance <= TOLERANCE

    @property
    def order(self) -> tuple[float, float]:
        """Smaller is better: the budget first, then the likelihood."""
        return (0.0, self.unlikely) if self.within else (self.distance, self.unlikely)


class Fitting:
    """Search for the most likely policy whose cost is within 2 % of a target.

    From the most likely policy, a *greedy* walk takes the move with the least log-odds lost per multiply-add that it
    comes nearer; then a *local search* takes whatever move, or pair of flips, makes the policy more likely and keeps it
    within the tolerance (or brings it nearer where it is not). If that ends outside, the walk begins again from
    policies that are likely at a price per multiply-add. Moves are: a flip of one block of one task; one block of all
    tasks; one task takes over the beginning of another's policy, so that both share it. The last two are needed because
    a single flip may make a tree dearer by parting two tasks.

    Args:
        log_odds: see :data:`Odds`.
        cost_of: see :data:`CostOf`.
        target: multiply-adds.
    """

    def __init__(self, log_odds: Odds, cost_of: CostOf, target: float) -> None:
        self.log_odds, self.cost_of, self.target = log_odds, cost_of, target
        self._fits: dict[bytes, Fit] = {}

    def best(self, start: Mask | None = None) -> Fit:
        """The best policy; where none within the tolerance was met, the nearest.

        Args:
            start: a further policy to begin from where the most likely one leads outside.
        """
        best = self._improved(self._approached(self._fit(self.log_odds >= 0)))
        starts = [] if start is None else [start]
        for policy in (*starts, *self._priced()):
            if best.within:
                break
            best = min(best, self._improved(self._approached(self._fit(policy))), key=lambda fit: fit.order)
        return best

    def _fit(self, policy: Mask) -> Fit:
        key = policy.tobytes()
        if key not in self._fits:
            cost = self.cost_of(policy)
            against = policy != (self.log_odds >= 0)
            unlikely = float(np.abs(self.log_odds)[against].sum())
            self._fits[key] = Fit(policy, cost, abs(cost / self.target - 1.0), unlikely)
        return self._fits[key]

    def _approached(self, fit: Fit) -> Fit:
        """The end of the greedy walk."""
        while not fit.within:
            nearer = [other for other in map(self._fit, _moves(fit.policy)) if other.distance < fit.distance - 1e-12]
            if not nearer:
                return fit
            fit = min(nearer, key=lambda other: self._price(fit, other))
        return fit

    def _price(self, before: Fit, after: Fit) -> tuple[float, float]:
        """Log-odds lost per share of the target; moves that lose none come first, the likeliest first of all."""
        lost, nearer = after.unlikely - before.unlikely, before.distance - after.distance
        return (lost / nearer, -nearer) if lost > 0 else (lost, -nearer)

    def _improved(self, fit: Fit) -> Fit:
        """The end of the local search."""
        for _ in range(_ROUNDS):
            better = min(map(self._fit, _moves(fit.policy)), key=lambda other: other.order)
            if better.order >= fit.order:
                better = min(map(self._fit, self._pairs(fit)), key=lambda other: other.order, default=fit)
            if better.order >= fit.order:
                break
            fit = better
        return fit

    def _pairs(self, fit: Fit) -> Iterable[Mask]:
        """Policies two flips away: those first that gain most (or come nearest, where flips add up)."""
        flips = [self._fit(policy) for policy in _flips(fit.policy)]
        lost = np.array([flip.unlikely - fit.unlikely for flip in flips])
        cost = np.array([flip.cost - fit.cost for flip in flips])
        distance = np.abs((fit.cost + cost[:, None] + cost[None, :]) / self.target - 1.0)
        together = lost[:, None] + lost[None, :]
        useful = (distance <= 2 * TOLERANCE) & (together < 0) if fit.within else distance < fit.distance
        first, second = np.nonzero(np.triu(useful, 1))
        order = np.argsort(together[first, second] if fit.within else distance[first, second], kind="stable")
        for index in order[:_PAIRS]:
            yield flips[first[index]].policy ^ flips[second[index]].policy ^ fit.policy

    def _priced(self) -> Iterable[Mask]:
        """Policies in which a block runs if it is worth a price per multiply-add, from cheap to dear, and both ends."""
        full = np.ones_like(self.log_odds, dtype=bool)
        whole = self.cost_of(full)
        costs = []
        for block in range(full.shape[1]):
            without = full.copy()
            without[:, block] = False
            costs.append(max(whole - self.cost_of(without), 1e-9 * whole))
        worth = self.log_odds / np.array(costs)
        for share in np.linspace(0.0, 1.0, 7):
            yield worth >= np.quantile(worth, share)
        yield full
        yield ~full
        yield from _spread(full)


def _moves(policy: Mask) -> Iterable[Mask]:
    yield from _flips(policy)
    tasks, blocks = policy.shape
    for block in range(blocks):
        for runs in (False, True):
            if (policy[:, block] != runs).sum() > 1:
                moved = policy.copy()
                moved[:, block] = runs
                yield moved
    for task in range(tasks):
        for other in range(tasks):
            differs = np.nonzero(policy[task] != policy[other])[0]
            for block in differs[1:] if task != other else ():
                moved = policy.copy()
                moved[task, : block + 1] = policy[other, : block + 1]
                yield moved


def _flips(policy: Mask) -> Iterable[Mask]:
    for place in np.ndindex(policy.shape):
        flipped = policy.copy()
        flipped[place] = ~flipped[place]
        yield flipped


def _spread(full: Mask) -> Iterable[Mask]:
    """Policies of tasks that part early: each skips a block of its own among the first, and runs all others."""
    tasks, blocks = full.shape
    spread = full.copy()
    for task in range(1, min(tasks, blocks + 1)):
        spread[task, task - 1] = False
    yield spread
