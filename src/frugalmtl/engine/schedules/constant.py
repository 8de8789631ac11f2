"""No change."""

from __future__ import annotations

from frugalmtl.engine.schedules.base import Progress


def constant(progress: Progress) -> float:  # noqa: ARG001  # every schedule takes the position
    """1 at every step.

    Args:
        progress: the position.
    """
    return 1.0
