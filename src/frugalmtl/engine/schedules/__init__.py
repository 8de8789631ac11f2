"""Learning rate over a stage: ``schedule(progress, *, options) -> factor``, one a file.

A schedule is a pure function of the position, so there is nothing to save and every parameter group is scaled from its
own base rate.
"""

from frugalmtl.core.registry import Registry
from frugalmtl.engine.schedules.base import Progress

SCHEDULES = Registry("frugalmtl.engine.schedules", "schedule")

__all__ = ["SCHEDULES", "Progress"]
