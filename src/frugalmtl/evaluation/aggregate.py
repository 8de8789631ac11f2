"""Mean and spread of scores over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Scores


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one score.

    Attributes:
        mean: over seeds.
        std: sample standard deviation, divisor n - 1; NaN for one seed, for one run says nothing about spread.
        count: number of seeds n.
    """

    mean: float
    std: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation; a NaN among the values gives NaN, it is never left out in silence.

    Raises:
        UserError: no value.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        Spread(mean=2.0, std=1.0, count=3)
    """
    if not values:
        raise UserError("mean and standard deviation need the scores of at least one seed, but got none")
    mean = math.fsum(values) / len(values)
    if len(values) == 1 or not math.isfinite(mean):
        return Spread(mean, math.nan, len(values))
    return Spread(mean, statistics.stdev(values), len(values))


def aggregate(runs: Sequence[Scores]) -> dict[str, dict[str, Spread]]:
    """Spread of every score over runs that differ in their seed: ``{task: {metric: Spread}}``.

    Args:
        runs: one ``{task: {metric: value}}`` per seed.

    Raises:
        UserError: no run, or runs with different tasks or metrics.
    """
    if not runs:
        raise UserError("aggregate needs the scores of at least one seed, but got none")
    keys = {(task, metric) for task, metrics in runs[0].items() for metric in metrics}
    for index, run in enumerate(runs[1:], start=2):
        difference = keys ^ {(task, metric) for task, metrics in run.items() for metric in metrics}
        if difference:
            names = ", ".join(sorted("/".join(key) for key in difference))
            raise UserError(f"seeds must have the same scores, but run 1 and run {index} differ in {names}")
    return {
        task: {metric: spread([run[task][metric] for run in runs]) for metric in metrics}
        for task, metrics in runs[0].items()
    }
