"""Schedules: ``schedule(progress, *, options) -> factor`` of the learning rate, of the curves here, or one a file.

A schedule is a pure function of the position, so there is nothing to save and every parameter group is scaled from its
own base rate. Those of ``torch.optim`` depend on the steps before, which rounds differently after an interruption.
"""

from frugalmtl.engine.optimizers import TableRegistry
from frugalmtl.engine.schedules._curves import Progress, constant, cosine, poly, step

SCHEDULES = TableRegistry(
    "frugalmtl.engine.schedules",
    "schedule",
    lambda: {"constant": constant, "cosine": cosine, "poly": poly, "step": step},
)

__all__ = ["SCHEDULES", "Progress"]
