"""Pareto MTL: one model of a front, chosen by a preference (Lin et al., 2019)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from frugalmtl.balancing.aggregation._solvers.cones import ROUNDING, lengths_and_units, shortest
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.core.checks import UserError, not_negative
from frugalmtl.tasks import Task


class ParetoMTL(GramianWeightedAggregator):
    """Pareto multi-task learning (Lin et al. 2019): of K models, the one whose losses lie nearest to preference u_k.

    The preferences u_1 ... u_K divide the space of losses into cones. A model stays in its own as long as every ``G_j =
    (u_j - u_k) . L / ||L||`` is below 0; constraints with ``G_j >= -epsilon`` are active. First, until no constraint is
    active (at most ``warmup_steps`` steps), the direction is the shortest vector in the hull of the active constraints'
    gradients; then the shortest in the hull of the losses' gradients and theirs. The gradient of a constraint is
    ``sum_t (u_j - u_k)_t g_t``, so both are ``sum_t w_t g_t`` with ``w = A' a``, where A stacks the identity and the
    rows ``u_j - u_k``. Weights may be negative: to move to another ratio, a loss may rise (by what the tasks share:
    heads always go down their own loss).

    As in the authors' code: constraints look at the losses divided by their norm, and weights are divided by the mean
    of their absolute values, so these add up to T. Ours: they are so in the first phase too; the hulls' shortest
    vectors are exact; preferences for more than two tasks (:func:`preference_vectors`). In a step in which a task has
    no label, no ratio can be seen: the shortest vector of the others' gradients is taken, and the first phase goes on.

    The paper takes the gradients at the parameters. Losses of different scales are brought to one by ``weights``: the
    preferences apply to the weighted losses.

    Args:
        tasks: the tasks.
        preferences: how many preferences (K) there are; at least 2.
        preference: the one that this run follows, from 0. For two tasks the first wants the second task's loss to
            vanish, the last the first's.
        epsilon: how far inside its cone a model feels a constraint already, in units of ``G_j``.
        warmup_steps: most steps of the first phase (the authors' code: two epochs).

    Raises:
        UserError: fewer than two preferences, a preference that is none of them, an ``epsilon`` or ``warmup_steps``
            below 0.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        preferences: int = 5,
        preference: int = 0,
        epsilon: float = 0.0,
        warmup_steps: int = 200,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        if preferences < 2:
            raise UserError(f"preferences of pareto_mtl must be 2 or more, but got {preferences!r}")
        if not 0 <= preference < preferences:
            raise UserError(f"preference of pareto_mtl must be one of 0 to {preferences - 1}, but got {preference!r}")
        not_negative("epsilon of pareto_mtl", epsilon)
        if warmup_steps < 0:
            raise UserError(f"warmup_steps of pareto_mtl must be 0 or more, but got {warmup_steps!r}")
        self.epsilon, self.warmup_steps = epsilon, warmup_steps
        vectors = preference_vectors(len(self.task_names), preferences)
        others = vectors - vectors[preference]
        self.constraints = others[others.abs().sum(dim=1) > 0]
        self.register_host_buffer("warm", torch.tensor(warmup_steps == 0))
        self.register_host_buffer("steps", torch.zeros((), dtype=torch.long))
        self.warm: Tensor
        self.steps: Tensor

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the tasks' gradients in the shortest vector of the phase's hull."""
        tasks = torch.eye(len(losses), dtype=gramian.dtype)
        if len(losses) < len(self.task_names):
            return self._shortest(gramian, tasks)
        active = self.active(losses)
        if not bool(self.warm):
            self.warm.fill_(len(active) == 0 or int(self.steps) + 1 >= self.warmup_steps)
            self.steps += 1
            if len(active):
                return self._shortest(gramian, active)
        return self._shortest(gramian, torch.cat([tasks, active]))

    def active(self, losses: Tensor) -> Tensor:
        """Losses ``[T]`` -> rows ``u_j - u_k`` of the active constraints, ``[M, T]``."""
        rows = self.constraints.to(losses)
        return rows[rows @ losses / losses.norm().clamp(min=torch.finfo(losses.dtype).tiny) >= -self.epsilon]

    def _shortest(self, gramian: Tensor, rows: Tensor) -> Tensor:
        # Rank is decided on the tasks' gradients: those of constraints may cancel down to rounding.
        lengths, units = lengths_and_units(gramian)
        vectors = rows @ torch.from_numpy(lengths[:, None] * units)
        sizes = rows.abs() @ torch.from_numpy(lengths)
        vectors[vectors.norm(dim=1) <= math.sqrt(ROUNDING) * sizes] = 0.0
        weights = rows.T @ torch.from_numpy(shortest(vectors @ vectors.T))
        size = weights.abs().sum()
        return weights * (len(self.task_names) / size) if size > 0 else weights


def preference_vectors(tasks: int, count: int) -> Tensor:
    """Unit vectors ``[count, tasks]`` without negative entries, float64.

    Two tasks: spread evenly over the quarter circle, from the first axis to the second (as the authors' code has them).
    More (ours): of the points ``(n_1 ... n_T) / p`` with whole numbers that add up to p (Das and Dennis 1998), put on
    the sphere, one after another that which is farthest from those taken; p is the least with four times as many points
    as are wanted. The axes come first.

    >>> preference_vectors(2, 3)[1]
    tensor([0.7071, 0.7071], dtype=torch.float64)
    """
    if tasks == 2:
        angles = torch.linspace(0, math.pi / 2, count, dtype=torch.float64)
        return torch.stack([angles.cos(), angles.sin()], dim=1)
    if tasks == 1:
        return torch.ones(count, 1, dtype=torch.float64)
    divisions = next(p for p in itertools.count(2) if math.comb(p + tasks - 1, tasks - 1) >= 4 * count)
    bars = torch.tensor(list(itertools.combinations(range(divisions + tasks - 1), tasks - 1)))
    edges = torch.nn.functional.pad(bars, (1, 0), value=-1)
    counts = torch.nn.functional.pad(bars, (0, 1), value=divisions + tasks - 1) - edges - 1
    points = torch.nn.functional.normalize(counts.flip(0).double(), dim=1)
    # Rounded, so that equal distances are equal on every machine and the first of them is taken.
    cosines = (points @ points.T).round(decimals=9)
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int(cosines[chosen].amax(dim=0).argmin()))
    return points[chosen]
