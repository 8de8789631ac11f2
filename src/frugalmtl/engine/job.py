"""A training job: model, balancer, settings, streams of batches, folder; and the checks before it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.distributed import process_count
from frugalmtl.core.recipe import Stage, stage_epochs
from frugalmtl.core.types import Batch, Scores
from frugalmtl.engine.checkpoints.identity import flatten
from frugalmtl.engine.logs.run_log import require_tensorboard
from frugalmtl.engine.parameter_groups import check_groups
from frugalmtl.engine.randomness import isolated
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step.compilation import check_compilable
from frugalmtl.model import MultiTaskModel

CPU = torch.device("cpu")


class EpochLoader(Protocol):
    """Batches of this process, epoch by epoch; the content of an epoch depends on a seed and its index alone."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches in every epoch, the same for all processes."""
        ...

    def epoch(self, index: int, start: int = 0) -> Iterable[Batch]:
        """The batches of epoch ``index`` (0-based, of the whole run) from batch ``start`` on."""
        ...


@dataclass(frozen=True)
class TrainJob:
    """Everything that one training is made of, checked when made.

    Attributes:
        model: trained in place; left in eval mode.
        balancer: combines losses or gradients.
        settings: length, optimiser, precision.
        streams: training batches of this process; then those of a second stream, as many per epoch, for balancers that
            look at one.
        folder: of the run; gets ``checkpoints/`` and ``log.jsonl``.
        evaluate: called every ``settings.evaluate_every`` epochs, on all processes; may switch modes.
        seed: of everything random in training (dropout, gates, balancers).
        identity: further facts that must not differ when the run is continued (model and data sections of a config).

    Raises:
        UserError: the balancer needs a second stream or scores that are not there; a stream has no batches, or not as
            many as the first.
    """

    model: MultiTaskModel
    balancer: Balancer
    settings: TrainSettings
    streams: Sequence[EpochLoader]
    folder: Path
    evaluate: Callable[[MultiTaskModel], Scores] | None = None
    seed: int = 0
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        method = f"the balancer {type(self.balancer).__name__}"
        batches = self.streams[0].batches_per_epoch
        if self.balancer.needs_validation_stream and len(self.streams) < 2:
            raise UserError(f"{method} needs a second stream of batches: add one to 'streams'")
        for stream in self.streams[1:]:
            if stream.batches_per_epoch != batches:
                raise UserError(
                    f"the second stream must have as many batches in an epoch as the first, {batches}, but has "
                    f"{stream.batches_per_epoch}"
                )
        if self.balancer.needs_scores and self.evaluate is None:
            raise UserError(f"{method} reads scores: give 'evaluate'")
        positive("the number of batches in an epoch", batches)

    @cached_property
    def stages(self) -> list[tuple[Stage, int]]:
        """The stages that have any epochs, with their lengths."""
        recipe = self.model.recipe()
        lengths = stage_epochs(recipe, self.settings.epochs)
        return [(stage, length) for stage, length in zip(recipe, lengths, strict=True) if length > 0]

    @property
    def used_streams(self) -> Sequence[EpochLoader]:
        """The streams that are read: the second one only if the balancer looks at it."""
        return self.streams if self.balancer.needs_validation_stream else self.streams[:1]

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return -(-self.streams[0].batches_per_epoch // self.settings.accumulate)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.steps_per_epoch * self.settings.epochs

    def facts(self) -> dict[str, Any]:
        """The facts that must not differ when a run is continued, in one level."""
        return flatten(
            {
                "config": dict(self.identity),
                "train": self.settings.identity(),
                "seed": self.seed,
                "processes": process_count(),
                "batches per epoch": self.streams[0].batches_per_epoch,
                "tasks": [task.name for task in self.model.tasks],
                "stages": [
                    {**vars(stage), "groups": [vars(group) for group in stage.groups], "epochs": epochs}
                    for stage, epochs in self.stages
                ],
                "balancer": type(self.balancer).__name__,
            }
        )


def default_facts() -> dict[str, Any]:
    """Those of :meth:`TrainJob.facts` that a run of an earlier version may lack: settings that were added since."""
    return flatten({"train": TrainSettings().identity()})


def check_trainable(model: MultiTaskModel, balancer: Balancer, settings: TrainSettings) -> None:
    """Check that settings, recipe and balancer fit each other; to be called once, before anything is written.

    Raises:
        UserError: fewer epochs than stages need; the recipe asks for an optimiser that cannot be made; an entry of
            ``lr_factors`` acts on nothing; the balancer reads scores, but nothing is evaluated after each epoch;
            TensorBoard is wanted but not installed; the training cannot be compiled as asked.
    """
    recipe = model.recipe()
    for stage, epochs in zip(recipe, stage_epochs(recipe, settings.epochs), strict=True):
        model.encoder.check_stage(stage.name, epochs)
    check_groups(model, recipe, settings)
    if balancer.needs_scores and settings.evaluate_every != 1:
        raise UserError(
            f"the balancer {type(balancer).__name__} reads the scores of every epoch, but evaluate_every is "
            f"{settings.evaluate_every}: set it to 1"
        )
    check_compilable(model, balancer, settings)
    if settings.tensorboard:
        require_tensorboard()


def grouped_batches(loader: EpochLoader, epoch: int, start: int, accumulate: int) -> Iterator[list[Batch]]:
    """The batches of every step of an epoch from step ``start`` on; loading leaves no trace in the generators."""
    total = loader.batches_per_epoch
    with isolated(CPU):
        source = iter(loader.epoch(epoch, start * accumulate))
    for first in range(start * accumulate, total, accumulate):
        group: list[Batch] = []
        for _ in range(first, min(first + accumulate, total)):
            with isolated(CPU):
                batch = next(source, None)
            if batch is None:
                raise RuntimeError(f"the loader ended before its {total} batches")
            group.append(batch)
        yield group
    with isolated(CPU):
        next(source, None)  # lets the loader close its epoch
