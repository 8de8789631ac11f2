"""Every task counts the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from frugalmtl.balancing.losswise.fixed import Fixed
from frugalmtl.tasks import Task


class Uniform(Fixed):
    """``L = sum_t L_t`` (Vandenhende et al. 2021, "uniform weights").

    Args:
        tasks: the tasks.
        normalise: ``"mean"`` divides by the number of tasks.
    """

    scale = "sum"

    def __init__(self, tasks: Sequence[Task], *, normalise: Literal["sum", "mean"] | None = None) -> None:
        super().__init__(tasks, weights="uniform", normalise=normalise)
