"""Calibration of operating points: the threshold at which images cost what a point says, on the mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from math import isfinite

import torch
from torch import Tensor, nn

from frugalmtl.core.budget import Budget, CostEnd, goal_in_macs
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.adamtl.efficiency.cost import ImageCost

MeanCost = Callable[[float], float]
"""Threshold -> mean multiply-adds of the held-out images."""

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

    Args:
        points: budgets by name.

    Attributes:
        goals: multiply-adds per image, float64 ``[P]``; 0 before they are planned.
        threshold: of each point, float64 ``[P]``; NaN before they are calibrated.
        reached: mean multiply-adds on the held-out images, float64 ``[P]``; NaN before.
    """

    goals: Tensor
    threshold: Tensor
    reached: Tensor

    def __init__(self, points: Mapping[str, Budget]) -> None:
        super().__init__()
        self.points = dict(points)
        self.register_buffer("goals", torch.zeros(len(points), dtype=torch.float64))
        self.register_buffer("threshold", torch.full((len(points),), torch.nan, dtype=torch.float64))
        self.register_buffer("reached", torch.full((len(points),), torch.nan, dtype=torch.float64))

    def plan(self, cost: ImageCost, single_task: float) -> None:
        """Set the goals.

        Args:
            cost: of the model.
            single_task: multiply-adds of the single-task networks with their heads.

        Raises:
            UserError: a point below the cheapest or above the dearest that the model can be.
        """
        least, most = CostEnd("nothing on", cost.cheapest), CostEnd("everything on", cost.dearest)
        for number, (name, budget) in enumerate(self.points.items()):
            try:
                self.goals[number] = goal_in_macs(budget, single_task, least, most)
            except UserError as refusal:
                raise UserError(f"the operating point {name!r} cannot be reached: {refusal}") from None

    def calibrate(self, mean_cost: MeanCost) -> None:
        """Find the threshold of every point; warns of one that is missed.

        Args:
            mean_cost: on the held-out images.
        """
        for number, goal in enumerate(self.goals.tolist()):
            threshold, reached = threshold_for(goal, mean_cost)
            self.keep(number, threshold, reached)

    def keep(self, number: int, threshold: float, reached: float) -> None:
        """Set what a point has; warns of a mean cost that misses it."""
        self.threshold[number], self.reached[number] = threshold, reached
        name, goal = list(self.points)[number], float(self.goals[number])
        if abs(reached - goal) > TOLERANCE * goal:
            warnings.warn(
                f"operating point {name!r}: the nearest mean cost is {reached / 1e9:.4g} G multiply-adds, "
                f"{reached / goal - 1.0:+.1%} from its {goal / 1e9:.4g} G: what is decided alike for all images comes "
                "in steps of whole blocks",
                stacklevel=2,
            )

    def thresholds(self) -> dict[str, float]:
        """By name of the point; none before they are calibrated."""
        if self.threshold.is_meta:
            return {}
        values = self.threshold.tolist()
        return dict(zip(self.points, values, strict=True)) if all(map(isfinite, values)) else {}


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
