"""Cost of a training step: time and memory of forward, losses, and all that the balancer does."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.counting import device_of
from frugalmtl.core.types import Batch
from frugalmtl.deployment import plan_encoder
from frugalmtl.engine.randomness import isolated
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step_timing import TOTAL, StepTimer, noise_batch, time_steps
from frugalmtl.evaluation.cost.memory import peak_of
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.streams.clock import clock_of


@dataclass(frozen=True)
class StepFigures:
    """One training step, without loading data.

    Attributes:
        median_ms: median milliseconds over the rounds.
        memory: bytes held at the worst moment beyond weights, state and batch; the finished gradients count.
    """

    median_ms: float
    memory: int


def step_figures(
    rows: Mapping[str, Built],
    batch: Batch | None = None,
    *,
    batch_size: int = 8,
    rounds: int = 7,
    settings: Mapping[str, TrainSettings] | None = None,
    update: bool = False,
) -> dict[str, StepFigures]:
    """Time training steps against each other: every round takes one step of each row, and the first one rotates.

    One round before them is not counted; memory is measured in a step of its own after them. The rows stand at the
    beginning of the last stage of their recipe. Copies are trained, so the rows are as before, and so are the random
    generators.

    Args:
        rows: ``{name: experiment}``.
        batch: for all rows, also as the batch of a second stream; noise with labels everywhere if not given.
        batch_size: images in that noise.
        rounds: steps that are timed.
        settings: of each row: layout of the images, precision, epochs and optimiser (whose state balancers may read);
            the defaults for rows that are not named.
        update: count the optimiser's update as well.

    Raises:
        UserError: no row, or a number of rounds or images that is not positive.
    """
    if not rows:
        raise UserError("a step's cost needs at least one row, but got none")
    positive("rounds", rounds)
    devices = {device_of(built.model) for built in rows.values()}
    if len(devices) > 1:
        raise UserError(f"rows timed together must be on one device, but are on {sorted(map(str, devices))}")
    device = devices.pop()
    with isolated(device):
        timers: dict[str, StepTimer] = {}
        for name, built in rows.items():
            sample = batch or noise_batch(built.tasks, built.image_size, batch_size)
            chosen = (settings or {}).get(name, TrainSettings())
            timers[name] = step_timer(built, chosen, sample, update=update)
        times = time_steps(timers, rounds)
        memory: dict[str, int] = {}
        for name, timer in timers.items():
            timer.clear()
            with peak_of(device) as peak:
                timer.take()
            timer.clear()
            memory[name] = peak.bytes
    return {name: StepFigures(times[name][TOTAL], memory[name]) for name in rows}


def step_timer(
    built: Built, settings: TrainSettings, batch: Batch, *, stage: int = -1, update: bool = False
) -> StepTimer:
    """A timer of steps on copies of an experiment's model and balancer; an encoder with a budget is planned first.

    Args:
        built: stays as it is.
        settings: see :meth:`StepTimer.at_stage`, as are the others.
        batch: on any device.
        stage: number of the stage, -1 for the last.
        update: count the optimiser's update as well.
    """
    model, balancer = copy.deepcopy((built.model, built.balancer))
    if model.encoder.budget is not None:
        timed = model.encoder.target_latency_ms is not None
        plan_encoder(model, built.image_size, clock_of(built, model) if timed else None)
    return StepTimer.at_stage(model, balancer, settings, batch, stage=stage, update=update)
