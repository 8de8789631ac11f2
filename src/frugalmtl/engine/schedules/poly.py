"""Polynomial decay."""

from __future__ import annotations

from typing import Literal

from frugalmtl.core.checks import positive
from frugalmtl.engine.schedules.base import Progress


def poly(progress: Progress, *, power: float = 0.9, per: Literal["step", "epoch"] = "step") -> float:
    """``(1 - done)^power`` with ``done`` the share of the stage behind.

    Args:
        progress: the position.
        power: exponent (0.9 throughout the literature on dense prediction).
        per: moves with every ``"step"`` (ATRC, InvPT) or every ``"epoch"`` (the survey, ASTMT).
    """
    return float((1.0 - progress.share(per)) ** positive("power", power))
