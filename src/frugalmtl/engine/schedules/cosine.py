"""Half a cosine."""

from __future__ import annotations

import math
from typing import Literal

from frugalmtl.core.checks import fraction
from frugalmtl.engine.schedules.base import Progress


def cosine(progress: Progress, *, floor: float = 0.0, per: Literal["step", "epoch"] = "step") -> float:
    """``floor + (1 - floor) (1 + cos(pi done)) / 2`` (Loshchilov and Hutter 2017, without restarts).

    Args:
        progress: the position.
        floor: factor that is approached at the end of the stage, in [0, 1].
        per: moves with every ``"step"`` or every ``"epoch"``.
    """
    fraction("floor", floor)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress.share(per)))
