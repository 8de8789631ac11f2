"""Where in a stage a step stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
