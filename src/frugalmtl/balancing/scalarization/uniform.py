"""Uniform weights: the plain sum of the losses (Vandenhende et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from frugalmtl.balancing.base import Normalise
from frugalmtl.balancing.scalarization.fixed import Fixed
from frugalmtl.tasks import Task


class Uniform(Fixed):
    """Uniform weights (Vandenhende et al. 2021): the plain sum of the losses, ``L = sum_t L_t``.

    Args:
        tasks: the tasks.
        normalise: ``"mean"`` divides by the number of tasks.
    """

    scale = "sum"

    def __init__(self, tasks: Sequence[Task], *, normalise: Normalise = None) -> None:
        super().__init__(tasks, weights="uniform", normalise=normalise)
