"""Gradients of several tasks that are hard for one method or another."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch

from frugalmtl.balancing import BALANCERS
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.tasks import TASKS, Task
from tests.support.tiny_training import tasks

Array = npt.NDArray[np.float64]


@cache
def many_tasks(count: int) -> tuple[Task, ...]:
    """One to five tasks."""
    return (*tasks(), TASKS.build("normals"), TASKS.build("saliency"))[:count]


def build(section: dict[str, object], count: int = 3) -> GramianWeightedAggregator:
    """A balancer of so many tasks; the same one for the same options."""
    return _build(tuple(section.items()), count)


@cache
def _build(options: tuple[tuple[str, object], ...], count: int) -> GramianWeightedAggregator:
    balancer: GramianWeightedAggregator = BALANCERS.build(dict(options), many_tasks(count))
    return balancer


def regular(count: int, size: int, seed: int) -> Array:
    """Independent random rows of different lengths, more often in conflict than not."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, size)) * rng.uniform(0.3, 3.0, size=(count, 1))


SHAPES = ((2, 3), (3, 4), (5, 8), (5, 50))
REGULAR = [regular(count, size, 7 * seed + count) for seed in range(4) for count, size in SHAPES]


def _with_row(index: int, row: Array | float) -> Array:
    matrix = regular(3, 6, 11)
    matrix[index] = row
    return matrix


DEGENERATE: dict[str, Array] = {
    "all zero": np.zeros((3, 4)),
    "identical": np.tile(regular(1, 5, 3), (3, 1)),
    "opposed": np.stack([regular(1, 5, 3)[0], -regular(1, 5, 3)[0]]),
    "opposed, of other length": np.stack([regular(1, 5, 3)[0], -3.0 * regular(1, 5, 3)[0]]),
    "two of three opposed": _with_row(1, -regular(3, 6, 11)[0]),
    "one zero": _with_row(1, 0.0),
    "rank two": regular(5, 2, 1) @ regular(2, 9, 2),
    "rank one": regular(5, 1, 1) @ regular(1, 9, 2),
    "surrounding zero": _with_row(2, -regular(3, 6, 11)[:2].sum(axis=0)),
    "one much longer": _with_row(0, 1e6 * regular(3, 6, 11)[0]),
    "one much shorter": _with_row(0, 1e-6 * regular(3, 6, 11)[0]),
    "a single task": regular(1, 4, 5),
    "a single zero": np.zeros((1, 4)),
}


def direction(balancer: GramianWeightedAggregator, gradients: Array, losses: Array | None = None) -> Array:
    """What the balancer makes of the rows."""
    values = None if losses is None else torch.from_numpy(losses)
    result: Array = balancer.aggregate(torch.from_numpy(gradients), values).numpy()
    return result


def weights_of(balancer: GramianWeightedAggregator, gradients: Array, losses: Array | None = None) -> Array:
    """The weights behind it."""
    values = np.ones(len(gradients)) if losses is None else losses
    result: Array = balancer.solve(torch.from_numpy(gradients @ gradients.T), torch.from_numpy(values)).numpy()
    return result


def lengths(gradients: Array) -> Array:
    """Of the rows."""
    result: Array = np.linalg.norm(gradients, axis=1)
    return result


def shortest_in_hull(gradients: Array) -> Array:
    """By trying every face of the convex hull; rows in general position."""
    best: Array | None = None
    for size in range(1, len(gradients) + 1):
        for face in combinations(range(len(gradients)), size):
            rows = gradients[list(face)]
            weights = np.linalg.solve(rows @ rows.T, np.ones(size))
            result = weights / weights.sum() @ rows
            if (weights >= 0).all() and (best is None or result @ result < best @ best):
                best = result
    assert best is not None
    return best
