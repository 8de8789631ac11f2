"""CAGrad: conflict-averse gradient descent (Liu et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from frugalmtl.balancing.aggregation._solvers.cones import Array, inverses, lengths_and_units, shortest_above
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.balancing.base import check_choice
from frugalmtl.core.checks import UserError
from frugalmtl.tasks import Task

_HALVINGS = 50
_TOLERANCE = 1e-9


class CAGrad(GramianWeightedAggregator):
    """Conflict-averse gradient descent (Liu et al. 2021, eq. 3): near the mean gradient, the best for the worst task.

    The direction maximises ``min_t g_t . d`` over ``||d - g_0|| <= c ||g_0||`` with the mean gradient ``g_0``. The
    solution is ``d = g_0 + c ||g_0|| g_w / ||g_w||`` for a ``g_w = sum_t w_t g_t`` of the convex hull. The paper finds
    w by a general solver from the dual problem, which says nothing where ``g_w = 0`` (torchjd's weights are all 0
    there, and wherever ``||g_w||`` is below 1e-4 of the gradients). Here the problem itself is solved: for a given
    worst rate, the nearest d to ``g_0`` that reaches it is a non-negative least squares problem; the best rate is
    bisected. Where gradients are Pareto-stationary, d is thus the vector nearest to ``g_0`` among the optimal ones; a
    task whose gradient is 0 does not change ``d`` beyond its share in the mean. Before rescaling, the weights are ``1 /
    T`` and what is added, so they sum to 1 or more. The paper takes the gradients at the parameters.

    Args:
        tasks: the tasks.
        c: radius of the ball, 0 or more; 0 is the mean gradient, and from 1 on d never hurts a task.
        rescale: divide by ``1 + c^2`` (``"1+c2"``, the authors' code, which then multiplies by T to match the sum of
            losses: ``normalise: sum`` comes close) or ``1 + c`` (``"1+c"``, its other option), so that the step length
            depends less on c.

    Raises:
        UserError: c below 0, or an unknown choice.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        c: float = 0.4,
        rescale: Literal["none", "1+c2", "1+c"] = "1+c2",
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        if not 0 <= c < float("inf"):
            raise UserError(f"c of cagrad must be 0 or more and finite, but got {c!r}")
        check_choice("rescale of cagrad", rescale, ("none", "1+c2", "1+c"))
        self.c = c
        self.divisor = {"none": 1.0, "1+c2": 1.0 + c * c, "1+c": 1.0 + c}[rescale]

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the direction."""
        lengths, units = lengths_and_units(gramian)
        mean = lengths @ units / len(lengths)
        radius = self.c * float(np.linalg.norm(mean))
        added = towards_the_worst(lengths, units, mean, radius) if radius > 0 else np.zeros(len(lengths))
        return torch.from_numpy((1.0 / len(lengths) + added) / self.divisor)


def towards_the_worst(lengths: Array, units: Array, mean: Array, radius: float) -> Array:
    """Weights ``[T]`` of the shortest vector that, added to the mean, lifts the smallest rate as far as it can.

    Args:
        lengths: of the gradients.
        units: the gradients at unit length, ``[T, T]``.
        mean: of the gradients, ``[T]``, in the same coordinates.
        radius: how long the vector may be.
    """
    rates, inverse = lengths * (units @ mean), inverses(lengths)
    low, high = float(rates.min()), float((rates + radius * lengths).min())
    best = np.zeros(len(lengths))
    for _ in range(_HALVINGS):
        rate = (low + high) / 2
        # Beyond 1 a bound is out of reach, below -1 it does not matter.
        bounds = np.clip((rate - rates) * inverse / radius, -2.0, 2.0)
        multipliers = shortest_above(units, bounds)
        vector = multipliers @ units
        if np.linalg.norm(vector) <= 1.0 and np.all(units @ vector >= bounds - _TOLERANCE):
            low, best = rate, multipliers
        else:
            high = rate
    return best * inverse * radius
