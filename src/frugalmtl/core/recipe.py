"""A method's training, said as data: a list of stages that the engine runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from frugalmtl.core.checks import UserError, fraction

TRAIN = "train"
"""Stream of all training samples but those that a balancer holds out."""

VALIDATION = "validation"
"""Stream of the balancers that look at a second one."""

HOLDOUT = "holdout"
"""Stream that scores are taken on while a training is under way."""

REPLACEABLE = ("optimizer", "lr_factors", "schedule", "warmup_steps", "clip_norm")
"""Settings of a run that a stage may replace."""

Share = tuple[float, float]
"""A part of the training split, by the samples whose hash lies in ``[start, stop)`` of [0, 1)."""


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
class Turn:
    """One of the turns that follow each other round and round in a stage.

    Attributes:
        name: shown in logs and given to :meth:`Encoder.enter_turn`.
        epochs: length in passes over its stream, rounded to whole optimiser steps, at least one.
        steps: length in optimiser steps, instead of ``epochs``.
        trains: shell patterns over the names of those of the stage's parameters that train in this turn.
        tasks: names of the tasks whose losses count; None for all.
        stream: the stream whose batches are read: :data:`TRAIN`, or one of :meth:`Encoder.streams`.
        penalties: ``{name: weight}`` of the penalties that are added to the loss; None for the stage's.
        same_batch: read again the batches that the turn before it, of the same length, has read; ``stream`` is not used
            then.

    Raises:
        UserError: a length that is not positive.
    """

    name: str
    epochs: float = 1.0
    steps: int | None = None
    trains: tuple[str, ...] = ("*",)
    tasks: tuple[str, ...] | None = None
    stream: str = TRAIN
    penalties: Mapping[str, float] | None = None
    same_batch: bool = False

    def __post_init__(self) -> None:
        length = self.epochs if self.steps is None else self.steps
        if not length > 0:
            raise UserError(f"the turn {self.name!r} must be longer than 0, but got {length!r}")


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe.

    Learning rates begin anew in every stage, and so do the optimiser's momenta; in the turns of one stage they live on.
    A parameter that does not train in a turn keeps its momenta as they are.

    Attributes:
        name: shown in logs and given to :meth:`Encoder.enter_stage` and :meth:`Decoder.enter_stage`.
        share: share of the run's epochs that this stage takes; the shares of a recipe add up to 1.
        frozen: shell patterns over parameter names that do not train in this stage.
        groups: parameter groups that differ; the first matching pattern wins.
        penalties: ``{name: weight}`` of the model's penalties that are added to the loss.
        stream: the stream whose batches are read where the stage has no turns.
        turns: what follows each other round and round in this stage, until its epochs are over; empty for a stage that
            is all of one kind.
        settings: settings of the run that this stage replaces, by their names: one of :data:`REPLACEABLE`.
        fresh: shell patterns over names of parameters and buffers that begin this stage as they began the run.
        keep: whether the stage ends with its last weights, or with those of the epoch whose scores on the stream
            :data:`HOLDOUT` were best.
        settled: share of its epochs, at their end, in which the method decides nothing more about what the deployed
            model runs; 1 for a stage that decides nothing, 0 for one that decides until it ends. The scores of a run's
            last stage count in these epochs alone, where its weights are chosen by them (``train.keep``) or a training
            ends by them (``train.patience``): an earlier epoch would be chosen for what it was still allowed to run.
    """

    name: str = "train"
    share: float = 1.0
    frozen: tuple[str, ...] = ()
    groups: tuple[ParameterGroup, ...] = ()
    penalties: Mapping[str, float] = field(default_factory=dict)
    stream: str = TRAIN
    turns: tuple[Turn, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    keep: Literal["last", "best"] = "last"
    settled: float = 1.0

    def __post_init__(self) -> None:
        fraction(f"settled of stage {self.name!r}", self.settled)
        unknown = sorted(self.settings.keys() - set(REPLACEABLE))
        if unknown:
            raise UserError(
                f"stage {self.name!r} cannot replace the setting {unknown[0]!r}: only {', '.join(REPLACEABLE)}"
            )

    def trains(self, parameter: str) -> bool:
        """Whether the parameter of that name trains in this stage."""
        return not any(fnmatchcase(parameter, pattern) for pattern in self.frozen)

    def settled_from(self, epochs: int) -> int:
        """The first of its epochs (0-based) in which nothing more is decided; ``epochs`` if there is none.

        Args:
            epochs: length of the stage.
        """
        return settled_from(self.settled, epochs)


def settled_from(share: float, epochs: int) -> int:
    """The first of so many epochs (0-based) that belongs to a share at their end: one at least, none for a share of 0.

    >>> settled_from(0.25, 8), settled_from(0.01, 8), settled_from(0.0, 8)
    (6, 7, 8)
    """
    return epochs - (max(1, round(share * epochs)) if share > 0 else 0)


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
