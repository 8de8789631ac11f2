"""Losses: prediction + target + mask -> scalar. Pure functions ``loss(raw, target, valid, *, options)``, one a file.

Shapes as in :class:`frugalmtl.core.types.Batch`. Every loss is computed in float32 (or better) whatever the precision
of the prediction, and is a zero with a graph (so that every parameter gets a zero gradient) where nothing is valid.
"""

from frugalmtl.losses._combine import LOSSES, Criterion, TaskLosses, is_of_classes, task_losses, totals_by_task

__all__ = ["LOSSES", "Criterion", "TaskLosses", "is_of_classes", "task_losses", "totals_by_task"]
