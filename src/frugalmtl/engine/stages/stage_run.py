"""Stage under way: its objects, the turn that each step belongs to, and the batches that it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from lightning_fabric import Fabric

from frugalmtl.core.recipe import HOLDOUT, VALIDATION
from frugalmtl.core.types import Batch
from frugalmtl.engine.job import TrainJob
from frugalmtl.engine.parameter_groups import Rates
from frugalmtl.engine.stages.average import AverageWeights
from frugalmtl.engine.stages.best import BestWeights
from frugalmtl.engine.stages.modes import enter_turn, set_modes
from frugalmtl.engine.stages.streams import StreamReader
from frugalmtl.engine.stages.timetable import Moment
from frugalmtl.engine.step import StepSetup


class StageRun:
    """One stage of a training.

    Args:
        job: the training.
        index: of the stage among those that have any epochs.
        fabric: launched.
        trainable: which parameters may train at all, by name.

    Attributes:
        stage: the stage.
        epochs: its length.
        steps: its length in optimiser steps.
        step: of the stage, the one that :meth:`begin_step` has begun.
        setup: what its steps share.
        rates: learning rates.
        best: None where the stage ends with its last weights, after all its epochs.
        average: of the weights, in the last stage of a training that keeps one.
    """

    def __init__(self, job: TrainJob, index: int, fabric: Fabric, trainable: Mapping[str, bool]) -> None:
        self.job, self.index, self.trainable = job, index, trainable
        self.stage, self.epochs = job.stages[index]
        self.steps, self.step = self.epochs * job.steps_per_epoch, 0
        settings = job.settings.in_stage(self.stage)
        self.setup = StepSetup(fabric, job.model, job.balancer, self.stage, settings, run_ahead=True)
        self.rates = Rates(settings)
        self.best, last = _best_of(job, index), index + 1 == len(job.stages)
        self.average = AverageWeights(job.model, settings.ema) if last and settings.ema is not None else None
        self._readers = {
            name: StreamReader(loader, settings.accumulate, self.setup.upcoming) for name, loader in job.streams.items()
        }
        self._moment: Moment | None = None

    @property
    def over(self) -> bool:
        """Whether the stage ends before all its epochs are over."""
        return self.best is not None and self.best.over

    def evaluated(self) -> contextlib.AbstractContextManager[None]:
        """The model has the weights that are evaluated in the block."""
        return contextlib.nullcontext() if self.average is None else self.average.in_place(self.job.model)

    def take_over(self) -> None:
        """Give the model the weights that the stage ends with."""
        if self.average is not None:
            self.average.take_over(self.job.model)
        if self.best is not None:
            self.best.take_over(self.job.model)

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs, for a checkpoint."""
        parts = {"best": self.best, "average": self.average}
        return {name: part.state() for name, part in parts.items() if part is not None}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            ValueError, KeyError, TypeError, RuntimeError: it is something else.
        """
        if self.best is not None and "best" in state:
            self.best.restore(state["best"])
        if self.average is not None:
            self.average.restore(state["average"])

    @property
    def label(self) -> str:
        """Stage and turn, for a person who watches."""
        return f"{self.stage.name} ({self.setup.turn.name})" if self.stage.turns else self.stage.name

    def place(self) -> dict[str, Any]:
        """Stage and turn, for the log."""
        turn = {"turn": self.setup.turn.name} if self.stage.turns else {}
        return {"stage": self.stage.name, **turn}

    def set_modes(self) -> None:
        """Put the layers in the mode that they train in."""
        set_modes(self.job.model, self.stage, self.setup.turn)

    def begin_step(self, step: int, step_of_run: int) -> tuple[list[Batch], list[Batch]]:
        """Begin the turn if it is its first step; the batches of the step, and those of the balancer's second stream.

        Args:
            step: of the stage.
            step_of_run: optimiser steps before it in the whole run.
        """
        self.step, moment, before = step, self.job.timetable.at(self.index, step), self._moment
        if before is None or moment.turn is not before.turn or moment.cycle != before.cycle:
            self.setup.turn = moment.turn
            resumed = before is None and moment.turn_step > 0  # then the method was told before its state was restored
            if self.stage.turns and not resumed:
                self.job.model.enter_turn(moment.turn.name, moment.cycle)
            enter_turn(self.job.model, self.stage, moment.turn, self.trainable)
            self.job.balancer.enter_turn()
        self._moment = moment
        batches = self._readers[moment.stream].read(moment.stream_step)
        if not self.job.balancer.needs_validation_stream:
            return batches, []
        return batches, self._readers[VALIDATION].read(step_of_run)


def _best_of(job: TrainJob, index: int) -> BestWeights | None:
    """What chooses among the weights of a stage: its method, by what is held out, or in the last stage the settings."""
    stage, epochs = job.stages[index]
    if job.measures is None:
        return None
    if stage.keep == "best":
        return BestWeights(job.measures, HOLDOUT)
    if index + 1 < len(job.stages) or not job.settings.chosen_by_scores:
        return None
    keep, patience = job.settings.keep == "best", job.settings.patience
    return BestWeights(job.measures, first=stage.settled_from(epochs), keep=keep, patience=patience)
