"""A method's training, said as data: a list of stages that the engine runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from frugalmtl.core.checks import UserError


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are optimised differently from the rest.

    Attributes:
        pattern: shell pattern over parameter names of the model (``"encoder.units.*"``).
        lr_factor: multiplies the stage's learning rate for this group, at every step of the schedule.
        weight_decay: replaces the optimiser's weight decay; ``None`` keeps it.
        optimizer: section of ``engine/optimizers`` (name and arguments): these parameters get an optimiser of their own
            with its own learning rate; ``None`` leaves them with the run's.
        scheduled: whether the run's schedule and warm-up act on this group; else its rate stays constant.
    """

    pattern: str
    lr_factor: float = 1.0
    weight_decay: float | None = None
    optimizer: Mapping[str, Any] | None = None
    scheduled: bool = True


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe.

    Attributes:
        name: shown in logs and given to :meth:`Encoder.enter_stage` and :meth:`Decoder.enter_stage`.
        share: share of the run's epochs that this stage takes; the shares of a recipe add up to 1.
        frozen: shell patterns over parameter names that do not train in this stage.
        groups: parameter groups that differ; the first matching pattern wins.
        penalties: ``{name: weight}`` of the model's penalties that are added to the loss.
    """

    name: str = "train"
    share: float = 1.0
    frozen: tuple[str, ...] = ()
    groups: tuple[ParameterGroup, ...] = ()
    penalties: Mapping[str, float] = field(default_factory=dict)

    def trains(self, parameter: str) -> bool:
        """Whether the parameter of that name trains in this stage."""
        return not any(fnmatchcase(parameter, pattern) for pattern in self.frozen)


def stage_epochs(recipe: tuple[Stage, ...], epochs: int) -> list[int]:
    """Whole epochs of each stage, adding up to ``epochs``; a stage with a positive share gets at least one.

    Raises:
        UserError: fewer epochs than stages with a share.
    """
    active = [stage for stage in recipe if stage.share > 0]
    if epochs < len(active):
        raise UserError(
            f"epochs must be at least {len(active)} for the stages {[s.name for s in active]}, but got {epochs}"
        )
    total = sum(stage.share for stage in active)
    ideal = [epochs * max(stage.share, 0.0) / total for stage in recipe]
    lengths = [max(1, int(length)) if length > 0 else 0 for length in ideal]
    while sum(lengths) != epochs:
        # Give to the stage that is shortest of its due, take from the one furthest above it (never its last epoch).
        due = {index: ideal[index] - length for index, length in enumerate(lengths) if length > 0}
        if sum(lengths) < epochs:
            lengths[max(due, key=lambda index: due[index])] += 1
        else:
            lengths[min((index for index in due if lengths[index] > 1), key=lambda index: due[index])] -= 1
    return lengths
