"""Curves of the learning rate over a stage: constant, cosine, polynomial, staircase."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from frugalmtl.core.checks import fraction, positive


@dataclass(frozen=True)
class Progress:
    """Position of an optimiser step in its stage, all counted from 0.

    Attributes:
        step: this step.
        steps: steps of the stage.
        epoch: epoch of this step.
        epochs: epochs of the stage.
    """

    step: int
    steps: int
    epoch: int
    epochs: int

    def share(self, per: Literal["step", "epoch"]) -> float:
        """Share of the stage that lies behind, in [0, 1), moving with every step or every epoch."""
        return self.step / self.steps if per == "step" else self.epoch / self.epochs


def constant(progress: Progress) -> float:  # noqa: ARG001  # every schedule takes the position
    """1 at every step.

    Args:
        progress: the position.
    """
    return 1.0


def cosine(progress: Progress, *, floor: float = 0.0, cycles: int = 1, per: Literal["step", "epoch"] = "step") -> float:
    """``floor + (1 - floor) (1 + cos(pi done)) / 2`` (Loshchilov and Hutter, 2017).

    Args:
        progress: the position.
        floor: factor that is approached at the end of a cycle, in [0, 1].
        cycles: of equal length, each of which begins at 1 again, as the stages of a method do.
        per: moves with every ``"step"`` or every ``"epoch"``.
    """
    fraction("floor", floor)
    done = progress.share(per) * positive("cycles", cycles) % 1.0
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


def poly(progress: Progress, *, power: float = 0.9, per: Literal["step", "epoch"] = "step") -> float:
    """``(1 - done)^power`` with ``done`` the share of the stage behind.

    Args:
        progress: the position.
        power: exponent (0.9 throughout the literature on dense prediction).
        per: moves with every ``"step"`` (ATRC, InvPT) or every ``"epoch"`` (the survey, ASTMT).
    """
    return float((1.0 - progress.share(per)) ** positive("power", power))


def step(progress: Progress, *, every: int, factor: float = 0.1) -> float:
    """``factor^floor(epoch / every)``.

    Args:
        progress: the position.
        every: epochs on one level.
        factor: ratio of two levels.
    """
    positive("every", every)
    return float(positive("factor", factor) ** (progress.epoch // every))
