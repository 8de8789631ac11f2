"""Nash-MTL: a bargaining solution over the direction (Navon et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frugalmtl.balancing._transfers import HostCopy
from frugalmtl.balancing.aggregation._solvers.cones import Array, inverses, lengths_and_units
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator, labelled
from frugalmtl.balancing.base import BalancerReport, ForwardPass, rescaled
from frugalmtl.balancing.gradients import AtRepresentation, Level, TaskGradients
from frugalmtl.core.checks import UserError, positive
from frugalmtl.tasks import Task

RIDGE = 1e-8
"""Added to the squared cosines of the gradients, so that opposed gradients have a bargain too."""


class NashMTL(GramianWeightedAggregator):
    """Nash-MTL (Navon et al. 2022, claim 3.1): the bargain that the tasks strike over the direction.

    Its weights are ``a > 0`` with ``G a = 1 / a`` for the inner products G of the gradients. Every task gains alike in
    relative terms: ``g_t . d = 1 / a_t > 0``. The direction d has length ``sqrt(T)`` whatever the gradients' scale; a
    task's weight is inverse to its own. The solution is the minimum of ``a' G a / 2 - sum_t log a_t``, strictly convex
    and self-concordant: damped Newton steps find it from the same start each time. The authors' code solves a sequence
    of convex programs from the last step's weights, with G divided by its Frobenius norm and the equation adapted, so
    that it aims at the same weights, but may stop short of them. Where gradients are Pareto-stationary there is no
    bargain; 1e-8 is added to the squared cosines, so that weights grow no more than ``1e4 sqrt(T)`` times while d
    becomes 0. A task with a loss but a gradient of 0 has weight 0.

    Fixed weights of the losses do not change the direction of new weights. Heads get the plain gradient of their own
    loss (ours; the authors' code scales theirs by the weights too).

    Args:
        tasks: the tasks.
        max_norm: largest norm of the direction of a step at what the tasks share (the authors': 1, which new weights
            always reach: choose learning rates for that); None leaves it. It does nothing with ``normalise``. At the
            representation, it is the norm there.
        update_every: steps between new weights (the authors' 1, 25 or 50). In between the last ones are kept as they
            were before clipping, and every step is clipped by itself, as the authors' code does; the trunk is traversed
            backwards once (parameters of the trunk that only one task reaches then have that task's weight too, and
            count in the norm).
        gradients_at: ``"parameters"`` (the paper), ``"parameters_batched"``, or ``"representation"`` (one backward pass
            through the trunk; ours).

    Raises:
        UserError: max_norm or update_every not above 0.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        max_norm: float | None = 1.0,
        update_every: int = 1,
        gradients_at: Level = "parameters",
        **options: Any,
    ) -> None:
        super().__init__(tasks, gradients_at=gradients_at, **options)
        if update_every < 1:
            raise UserError(f"update_every of nash_mtl must be 1 or more, but got {update_every!r}")
        self.max_norm = None if max_norm is None else positive("max_norm of nash_mtl", max_norm)
        self.update_every = update_every
        self.register_host_buffer("kept", torch.ones(len(self.task_names)))
        self.register_host_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.kept: Tensor
        self.steps: Tensor
        self._trunk: list[Tensor] = []

    def backward(self, step: ForwardPass) -> BalancerReport:
        """Take the gradients of one batch; with the last one, let the direction reach the shared parameters."""
        self._trunk = [item for item in step.model.get_submodule("encoder").parameters() if item.requires_grad]
        return super().backward(step)

    def direct(self, gradients: TaskGradients, losses: Tensor, factors: Tensor) -> BalancerReport:
        """Weigh the gradients; with kept weights nothing is compared, unless it costs nothing."""
        if self._due() or self.gradients_at == "representation" or not isinstance(gradients, AtRepresentation):
            return super().direct(gradients, losses, factors)
        self.steps += 1
        (joint,) = HostCopy([losses]).get()
        weights = torch.where(joint != 0, self.kept.to(joint), 0.0).tolist()
        factor: Tensor | float = 1.0
        if self.max_norm is None or self.normalise is not None:
            gradients.apply_weights(weights)
        else:
            factor = gradients.apply_clipped(weights, self._trunk, self.max_norm)
        named = zip(self.task_names, weights, factors, strict=True)
        return BalancerReport({name: factor * (weight * before) for name, weight, before in named})

    def solve(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """New or kept weights ``[T]``, clipped."""
        has_label = labelled(gramian, losses)
        if self._due():
            weights = super().solve(gramian, losses)
            if not bool(gramian.isfinite().all() and losses.isfinite().all()) or not bool(gramian.any()):
                return weights
            weights = weights / gramian.diagonal()[has_label].mean().sqrt()  # weigh() knows lengths up to this factor
            weights = rescaled(weights, self.normalise)
            self.kept.copy_(torch.where(weights > 0, weights, self.kept.to(weights)))
        else:
            weights = torch.where(has_label, self.kept.to(losses), 0.0)
        self.steps += 1
        norm = (weights @ gramian @ weights).clamp(min=0).sqrt()
        if self.max_norm is not None and self.normalise is None and norm > self.max_norm:
            weights = weights * (self.max_norm / norm)
        return weights

    def level(self) -> Level:
        """Between updates at the cut, through which kept weights reach the trunk in one backward pass."""
        return self.gradients_at if self._due() else "representation"

    def _due(self) -> bool:
        return int(self.steps) % self.update_every == 0

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """The bargain, before the norm is clipped."""
        lengths, units = lengths_and_units(gramian)
        cosines = units @ units.T  # positive semi-definite in spite of rounding, unlike what was given
        return torch.from_numpy(bargain(cosines + RIDGE * np.eye(len(lengths))) * inverses(lengths))


def bargain(matrix: Array, tolerance: float = 1e-6, rounds: int = 100) -> Array:
    """``b > 0`` ``[T]`` with ``A b = 1 / b`` for a positive definite A ``[T, T]``.

    Damped Newton steps on ``b' A b / 2 - sum_t log b_t``: with the Newton decrement l, steps of ``1 / (1 + l)`` stay in
    the domain and converge from anywhere (Nesterov and Nemirovskii 1994).
    """
    solution = 1.0 / np.sqrt(np.maximum(matrix.sum(axis=1), np.diagonal(matrix)))
    for _ in range(rounds):
        gradient = matrix @ solution - 1.0 / solution
        # In terms of relative changes, which keeps the system well scaled.
        curvature = matrix * np.outer(solution, solution) + np.eye(len(matrix))
        step = np.linalg.solve(curvature, gradient * solution)
        decrement = float(np.sqrt(max(step @ (gradient * solution), 0.0)))
        solution = solution * (1.0 - step / (1.0 + decrement))
        if decrement < tolerance:
            break
    return np.asarray(solution)
