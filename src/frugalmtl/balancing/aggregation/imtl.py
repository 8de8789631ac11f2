"""IMTL: learned scales of the losses, and equal projections onto their gradients (Liu et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frugalmtl.balancing.aggregation.base import Losses
from frugalmtl.balancing.aggregation.imtl_g import IMTLG
from frugalmtl.tasks import Task


class IMTL(IMTLG):
    """IMTL (Liu et al. 2021, "Towards impartial multi-task learning"): IMTL-G on the losses that IMTL-L scales.

    ``L_t' = exp(s_t) L_t - s_t`` with learned s; what the tasks share follows ``sum_t w_t grad L_t'`` with IMTL-G's
    weights. Each head, and each ``s_t``, gets the plain gradient of ``L_t'``, not times ``w_t`` (as LibMTL's code has
    it). The scales thus learn as in IMTL-L alone, whatever w is.

    IMTL-G's direction is that of equal projections whatever the losses are multiplied with, so the scales decide
    how long it is, and in what proportion the heads learn.

    Args:
        tasks: the tasks.
        losses: the scalarizer; ``imtl_l`` is the paper's.
    """

    def __init__(self, tasks: Sequence[Task], *, losses: Losses = "imtl_l", **options: Any) -> None:
        super().__init__(tasks, losses=losses, **options)
