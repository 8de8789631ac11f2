"""Staircase."""

from __future__ import annotations

from frugalmtl.core.checks import positive
from frugalmtl.engine.schedules.base import Progress


def step(progress: Progress, *, every: int, factor: float = 0.1) -> float:
    """``factor^floor(epoch / every)``.

    Args:
        progress: the position.
        every: epochs on one level.
        factor: ratio of two levels.
    """
    positive("every", every)
    return float(positive("factor", factor) ** (progress.epoch // every))
