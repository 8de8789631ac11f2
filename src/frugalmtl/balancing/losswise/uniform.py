"""Every task counts the same."""

from __future__ import annotations

from collections.abc import Sequence

from frugalmtl.balancing.losswise.fixed import Fixed
from frugalmtl.tasks import Task


class Uniform(Fixed):
    """``L = sum_t L_t`` (Vandenhende et al. 2021, "uniform weights").

    Args:
        tasks: the tasks.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__(tasks, weights="uniform")
