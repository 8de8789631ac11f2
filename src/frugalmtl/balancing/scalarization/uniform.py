"""Every task counts the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from frugalmtl.balancing.scalarization.fixed import Fixed
from frugalmtl.tasks import Task


class Uniform(Fixed):
    """Uniform weights (Vandenhende et al. 2021): the plain sum of the losses, ``L = sum_t L_t``.

    Args:
        tasks: the tasks.
        normalise: ``"mean"`` divides by the number of tasks.
    """

    scale = "sum"

    def __init__(self, tasks: Sequence[Task], *, normalise: Literal["sum", "mean"] | None = None) -> None:
        super().__init__(tasks, weights="uniform", normalise=normalise)
