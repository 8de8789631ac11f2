"""Calibration of operating points: the threshold at which images cost what a point says, on the mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Protocol

import torch
from torch import Tensor, nn

from frugalmtl.core.budget import Budget, CostPoint, goal_in_macs
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.adamtl.efficiency.cost import ImageCost
from frugalmtl.encoders.adamtl.parts import Rule

MeanCost = Callable[[float], float]
"""Threshold -> mean multiply-adds of the held-out images."""


class HeldOut(Protocol):
    """What the policies do on held-out images under a rule."""

    def mean_cost(self, rule: Rule) -> float:
        """Mean multiply-adds."""

    def always_on(self, rule: Rule) -> frozenset[str]:
        """Names of the decisions of networks that are on for all of the images."""


CLOSE = 0.002
"""Relative distance from its goal at which a point is met."""

TOLERANCE = 0.03
"""Relative distance from its goal beyond which a point is said to be missed."""

FURTHEST = 1000.0
"""Largest threshold, and its negative: as sure as policies without networks are (``SURE``) is ten times that."""

NARROWEST = 1e-6
"""Width of a bracket of thresholds that is not halved any more."""

_TRIALS = 40


class Calibration(nn.Module):
    """Operating points: their goals, the thresholds that meet them, and what was met.

    One threshold serves blocks and tokens: it shifts all logits alike, so that what the policies learned about the
    order in which blocks and tokens matter stays as it is, and one number answers one question. With two, a second
    question (which of the pairs of equal cost predicts best) would have to be asked of the held-out samples.

    What is on for all held-out images at that threshold is on for every image from then on, and its policy is not
    computed; the threshold is then found again. That is left where the point would be missed by it, as where almost all
    is to run: a model without policies costs less than one that asks them and runs all.

    Args:
        points: budgets by name.
        decisions: names of all decisions.

    Attributes:
        goals: multiply-adds per image, float64 ``[P]``; 0 before they are planned.
        threshold: of each point, float64 ``[P]``; NaN before they are calibrated.
        reached: mean multiply-adds on the held-out images, float64 ``[P]``; NaN before.
        sure: whether each decision is on for every image at each point, bool ``[P, D]``.
    """

    goals: Tensor
    threshold: Tensor
    reached: Tensor
    sure: Tensor

    def __init__(self, points: Mapping[str, Budget], decisions: Sequence[str] = ()) -> None:
        super().__init__()
        self.points, self.decisions = dict(points), tuple(decisions)
        self.register_buffer("sure", torch.zeros(len(points), len(decisions), dtype=torch.bool))
        self.register_buffer("goals", torch.zeros(len(points), dtype=torch.float64))
        self.register_buffer("threshold", torch.full((len(points),), torch.nan, dtype=torch.float64))
        self.register_buffer("reached", torch.full((len(points),), torch.nan, dtype=torch.float64))

    def plan(self, cost: ImageCost, single_task: float) -> None:
        """Set the goals.

        Args:
            cost: of the model.
            single_task: multiply-adds of the single-task networks with their heads.

        Raises:
            UserError: a point below the cheapest that the model can be.
        """
        least, most = CostPoint("nothing on", cost.cheapest), CostPoint("everything on", cost.dearest)
        for number, (name, budget) in enumerate(self.points.items()):
            try:
                self.goals[number] = goal_in_macs(budget, single_task, least, most)
            except UserError as refusal:
                raise UserError(f"the operating point {name!r} cannot be reached: {refusal}") from None

    def calibrate(self, images: HeldOut) -> None:
        """Find the rule of every point; warns of one that is missed.

        Args:
            images: those that are held out.
        """
        for number, goal in enumerate(self.goals.tolist()):
            self.keep(number, *rule_for(goal, images))

    def keep(self, number: int, rule: Rule, reached: float) -> None:
        """Set what a point has; warns of a mean cost that misses it."""
        self.threshold[number], self.reached[number] = rule.threshold, reached
        self.sure[number] = torch.tensor([name in rule.sure for name in self.decisions], dtype=torch.bool)
        name, goal = list(self.points)[number], float(self.goals[number])
        if abs(reached - goal) > TOLERANCE * goal:
            warnings.warn(
                f"operating point {name!r}: the nearest mean cost is {reached / 1e9:.4g} G multiply-adds, "
                f"{reached / goal - 1.0:+.1%} from its {goal / 1e9:.4g} G: what is decided alike for all images comes "
                "in steps of whole blocks",
                stacklevel=2,
            )

    def rules(self) -> dict[str, Rule]:
        """By name of the point; none before they are calibrated."""
        if self.threshold.is_meta or not bool(self.threshold.isfinite().all()):
            return {}
        sure = [frozenset(compress(self.decisions, flags)) for flags in self.sure.tolist()]
        return dict(zip(self.points, map(Rule, self.threshold.tolist(), sure), strict=True))


def rule_for(goal: float, images: HeldOut) -> tuple[Rule, float]:
    """The rule whose mean cost is nearest to a goal, and this cost; see :class:`Calibration` for what is sure.

    Args:
        goal: multiply-adds.
        images: those that are held out.
    """
    threshold, reached = threshold_for(goal, lambda tried: images.mean_cost(Rule(tried)))
    sure = images.always_on(Rule(threshold))
    if sure:
        again, without = threshold_for(goal, lambda tried: images.mean_cost(Rule(tried, sure)))
        if abs(without - goal) <= max(CLOSE * goal, abs(reached - goal)):
            return Rule(again, sure), without
    return Rule(threshold), reached


def threshold_for(goal: float, mean_cost: MeanCost) -> tuple[float, float]:
    """The threshold whose mean cost is nearest to a goal, and this cost.

    The cost falls as the threshold rises, but for what changed states change in later decisions. From 0 on, steps of
    doubled length bracket the goal; then the bracket is halved until the cost is within 0.2 % of the goal. The nearest
    of all trials counts. With few images the cost comes in steps, of one block of one image each, and the bracket ends
    on one.

    Args:
        goal: multiply-adds.
        mean_cost: see :data:`MeanCost`.
    """
    trials: list[tuple[float, float]] = []

    def tried(threshold: float) -> float:
        trials.append((threshold, mean_cost(threshold)))
        return trials[-1][1]

    def best() -> tuple[float, float]:
        return min(trials, key=lambda trial: abs(trial[1] - goal))

    low = high = 0.0
    sign = 1.0 if tried(0.0) > goal else -1.0
    step = 0.5
    while len(trials) < _TRIALS and abs(best()[1] / goal - 1.0) > CLOSE:
        edge = sign * step
        passed = (tried(edge) <= goal) if sign > 0 else (tried(edge) > goal)
        if passed:
            low, high = sorted((edge, sign * step / 2 if step > 0.5 else 0.0))
            break
        if step >= FURTHEST:
            return best()
        step = min(2 * step, FURTHEST)
    while len(trials) < _TRIALS and high - low > NARROWEST and abs(best()[1] / goal - 1.0) > CLOSE:
        middle = (low + high) / 2
        low, high = (middle, high) if tried(middle) > goal else (low, middle)
    return best()
