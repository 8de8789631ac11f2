"""A training job: model, balancer, settings, streams of batches, folder; and the checks before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError, known, positive
from frugalmtl.core.distributed import process_count
from frugalmtl.core.recipe import HOLDOUT, TRAIN, VALIDATION, Stage, stage_epochs
from frugalmtl.engine.checkpoints.identity import flatten
from frugalmtl.engine.loggers.base import require_loggers
from frugalmtl.engine.parameter_groups import check_groups
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stages.measures import Measures
from frugalmtl.engine.stages.streams import EpochLoader, steps_per_pass
from frugalmtl.engine.stages.timetable import Timetable, streams_of
from frugalmtl.engine.step.compilation import check_compilable
from frugalmtl.model import MultiTaskModel


@dataclass(frozen=True)
class TrainJob:
    """Everything that one training is made of, checked when made.

    Attributes:
        model: trained in place; left in eval mode.
        balancer: combines losses or gradients.
        settings: length, optimiser, precision.
        streams: batches of this process by stream: :data:`~frugalmtl.core.recipe.TRAIN`, whose length is that of an
            epoch; :data:`~frugalmtl.core.recipe.VALIDATION` for balancers that look at a second one; and those of
            :meth:`Encoder.streams`.
        folder: of the run; gets ``checkpoints/`` and ``log.jsonl``.
        measures: scores (every ``settings.evaluate_every`` epochs, and where a method asks) and cost.
        seed: of everything random in training (dropout, gates, balancers).
        identity: further facts that must not differ when the run is continued (model and data sections of a config).

    Raises:
        UserError: a stream is missing or has no batches; the balancer reads scores, or a stage or the settings choose
            weights by them, and there are no measures; a stage keeps its best weights by samples that it trains on; its
            turns do not fit each other.
    """

    model: MultiTaskModel
    balancer: Balancer
    settings: TrainSettings
    streams: Mapping[str, EpochLoader]
    folder: Path
    measures: Measures | None = None
    seed: int = 0
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        method = f"the balancer {type(self.balancer).__name__}"
        if TRAIN not in self.streams:
            raise UserError(f"a training needs the stream {TRAIN!r}, but got {', '.join(self.streams) or 'none'}")
        if self.balancer.needs_validation_stream and VALIDATION not in self.streams:
            raise UserError(f"{method} needs a second stream of batches: add {VALIDATION!r} to 'streams'")
        if self.balancer.needs_scores and self.measures is None:
            raise UserError(f"{method} reads scores: give 'measures'")
        if self.settings.chosen_by_scores and self.measures is None:
            raise UserError(f"{self.settings.chosen_by_scores} goes by scores: give 'measures'")
        for name, stream in self.streams.items():
            positive(f"the number of batches in an epoch of the stream {name!r}", stream.batches_per_epoch)
        for stage, _ in self.stages:
            if stage.keep == "best" and self.measures is None:
                raise UserError(f"stage {stage.name!r} keeps its best weights by scores: give 'measures'")
        self.timetable  # noqa: B018  # made now, so that it is checked now

    @cached_property
    def stages(self) -> list[tuple[Stage, int]]:
        """The stages that have any epochs, with their lengths."""
        recipe = self.model.recipe()
        lengths = stage_epochs(recipe, self.settings.epochs)
        return [(stage, length) for stage, length in zip(recipe, lengths, strict=True) if length > 0]

    @cached_property
    def timetable(self) -> Timetable:
        """The turn and the batches of every step."""
        steps = {name: steps_per_pass(loader, self.settings.accumulate) for name, loader in self.streams.items()}
        return Timetable(self.stages, self.steps_per_epoch, steps)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return steps_per_pass(self.streams[TRAIN], self.settings.accumulate)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.steps_per_epoch * self.settings.epochs

    def epoch_of_run(self, stage: int, epoch: int) -> int:
        """The number in the whole run of an epoch of a stage (0-based)."""
        return sum(length for _, length in self.stages[:stage]) + epoch

    def facts(self) -> dict[str, Any]:
        """The facts that must not differ when a run is continued, in one level."""
        return flatten(
            {
                "config": dict(self.identity),
                "train": self.settings.identity(),
                "seed": self.seed,
                "processes": process_count(),
                "batches per epoch": self.streams[TRAIN].batches_per_epoch,
                "tasks": [task.name for task in self.model.tasks],
                "stages": [{**_facts_of(stage), "epochs": epochs} for stage, epochs in self.stages],
                "balancer": type(self.balancer).__name__,
            }
        )


def _facts_of(stage: Stage) -> dict[str, Any]:
    """A stage as plain values; what earlier versions did not know is left out where it is not used."""
    later = {field.name: field.default for field in fields(Stage) if field.name in ("stream", "keep")}
    # `settled` follows from the method's options, which are facts themselves.
    plain = {key: value for key, value in vars(stage).items() if later.get(key, ...) != value and key != "settled"}
    groups, turns = [vars(group) for group in stage.groups], [vars(turn) for turn in stage.turns]
    return {**plain, "groups": groups, "turns": turns}


def default_facts() -> dict[str, Any]:
    """Those of :meth:`TrainJob.facts` that a run of an earlier version may lack: settings that were added since."""
    return flatten({"train": TrainSettings().identity()})


def _check_held_out(model: MultiTaskModel, stage: Stage) -> None:
    """Check that a stage that keeps its best weights is judged by samples that it does not train on.

    Raises:
        UserError: it is not, or the method has no such stream.
    """
    if stage.keep == "last":
        return
    shares = {TRAIN: (0.0, 1.0), **model.encoder.streams()}
    if HOLDOUT not in shares:
        raise UserError(f"stage {stage.name!r} keeps its best weights, but its method holds out no stream {HOLDOUT!r}")
    start, stop = shares[HOLDOUT]
    for _, stream in streams_of(stage):
        first, last = shares.get(stream, (0.0, 0.0))
        if first < stop and start < last:
            raise UserError(
                f"stage {stage.name!r} keeps the weights that are best on the stream {HOLDOUT!r}, but trains on the "
                f"same samples in the stream {stream!r}: let it read another"
            )


def _check_chosen(last: Stage, epochs: int, settings: TrainSettings) -> None:
    """Check that scores can choose among the weights of the last stage, if they are to.

    Raises:
        UserError: nothing is evaluated; the stage decides to its end on what the deployed model runs; its method
            chooses among its weights itself.
    """
    setting = settings.chosen_by_scores
    if not setting:
        return
    if settings.evaluate_every == 0:
        raise UserError(f"{setting} goes by the scores of evaluations, but evaluate_every is 0: set it, e.g. to 1")
    if last.keep == "best":
        raise UserError(
            f"{setting} chooses among the weights of the last stage, but the method keeps the best weights of "
            f"{last.name!r} by itself: leave the setting out"
        )
    if last.settled_from(epochs) == epochs:
        raise UserError(
            f"{setting} compares epochs between which the method decides nothing about what the deployed model runs, "
            f"but in the last stage {last.name!r} it decides to the end: leave the setting out, or set the encoder's "
            "options so that it decides earlier (docs/guides/training.md)"
        )


def check_trainable(model: MultiTaskModel, balancer: Balancer, settings: TrainSettings) -> None:
    """Check that settings, recipe and balancer fit each other; to be called once, before anything is written.

    Raises:
        UserError: fewer epochs than stages need; a turn is for a task that is not the model's; a stage replaces a
            setting by one that does not fit, or would choose among its weights by what it trains on; the recipe asks
            for an optimiser that cannot be made; an entry of ``lr_factors`` acts on nothing; the balancer reads scores,
            but nothing is evaluated after each epoch; a logger is not installed; the training cannot be
            compiled as asked; weights cannot be chosen as asked.
    """
    recipe = model.recipe()
    lengths = stage_epochs(recipe, settings.epochs)
    for stage, epochs in zip(recipe, lengths, strict=True):
        settings.in_stage(stage)
        for turn in stage.turns:
            for name in turn.tasks or ():
                known(f"task of the turn {turn.name!r} of stage {stage.name!r}:", name, model.encoder.task_names)
        _check_held_out(model, stage)
        model.encoder.check_stage(stage.name, epochs)
    _check_chosen(*[pair for pair in zip(recipe, lengths, strict=True) if pair[1] > 0][-1], settings)
    check_groups(model, recipe, settings)
    if balancer.needs_scores and settings.evaluate_every != 1:
        raise UserError(
            f"the balancer {type(balancer).__name__} reads the scores of every epoch, but evaluate_every is "
            f"{settings.evaluate_every}: set it to 1"
        )
    check_compilable(model, balancer, settings)
    require_loggers(settings.log_sections)
