"""The training loop: stage by stage, epoch by epoch, step by step; and on exactly where a run was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning_fabric import Fabric

from frugalmtl.core.distributed import broadcast, gather
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.engine.affinity import affinities
from frugalmtl.engine.checkpoints import FINAL, Checkpoints, SavedRun, find_saved_run, restore, step_name
from frugalmtl.engine.checkpoints.exclusive import exclusive
from frugalmtl.engine.job import TrainJob, check_trainable, default_facts, grouped_batches
from frugalmtl.engine.launch import kernels, make_fabric
from frugalmtl.engine.logs import Means, ProgressDisplay, RunLog, count_report, step_record
from frugalmtl.engine.parameter_groups import Rates
from frugalmtl.engine.randomness import isolated, random_state
from frugalmtl.engine.schedules import Progress
from frugalmtl.engine.stage import freeze, set_modes
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.losses import totals_by_task

Resume = bool | Literal["auto"]


@dataclass
class TrainResult:
    """Figures of a finished training.

    Attributes:
        steps: optimiser steps of the whole run.
        epochs: epochs of the whole run.
        seconds: time spent training, over all interruptions.
        history: one record per epoch: ``epoch``, ``stage``, ``losses`` and, where it was evaluated, ``scores``.
        checkpoint: folder of the final weights.
    """

    steps: int
    epochs: int
    seconds: float
    history: list[dict[str, Any]]
    checkpoint: Path


def train(
    job: TrainJob,
    *,
    fabric: Fabric | None = None,
    resume: Resume = "auto",
    on_step: Callable[[int], None] | None = None,
) -> TrainResult:
    """Check a job and train its model.

    An interrupted run that is started again with the same job continues from its last checkpoint, in the middle of any
    stage and epoch, and (on the CPU, and wherever kernels are deterministic) ends with the same weights bit for bit.

    Args:
        job: model, balancer, settings, data, folder.
        fabric: launched Fabric; made from the settings if not given.
        resume: ``"auto"`` continues a run if there is one, ``True`` insists on one, ``False`` on there being none.
        on_step: called with the number of steps done after each step and its checkpoint.

    Raises:
        UserError: see :func:`~frugalmtl.engine.job.check_trainable`; the run cannot be continued as asked; another
            process trains in the folder; a loss is not finite; the disk is full.
    """
    check_trainable(job.model, job.balancer, job.settings)
    fabric = fabric or make_fabric(job.settings)
    with exclusive(job.folder, fabric):
        return TrainLoop(job, fabric, resume=resume, on_step=on_step).run()


class TrainLoop:
    """One training of a job that was checked.

    Args:
        job: see :class:`~frugalmtl.engine.job.TrainJob`.
        fabric: launched.
        resume: see :func:`train`.
        on_step: see :func:`train`.
    """

    def __init__(
        self,
        job: TrainJob,
        fabric: Fabric,
        *,
        resume: Resume = "auto",
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        self.job, self.fabric, self.resume, self.on_step = job, fabric, resume, on_step
        self.model, self.balancer, self.settings = job.model, job.balancer, job.settings
        self.trainable = {name: parameter.requires_grad for name, parameter in job.model.named_parameters()}
        self.checkpoints = Checkpoints(job.folder / "checkpoints")
        self.rates, self.facts = Rates(job.settings), job.facts()
        self.log, self.display = RunLog(None), ProgressDisplay("off", 0)
        self.means = Means()
        self.history: list[dict[str, Any]] = []
        self.steps = self.first_step = 0
        self.started, self.seconds_before = time.perf_counter(), 0.0

    def run(self) -> TrainResult:
        """Train from the beginning, or from the last checkpoint, to the end.

        Raises:
            UserError: see :func:`train`.
        """
        try:
            lengths, defaults = [length for _, length in self.job.stages], default_facts()
            saved = find_saved_run(self.checkpoints, self.facts, lengths, self.resume, defaults)
            if saved is not None:
                self.history, self.seconds_before = saved.history, saved.seconds
                self.steps = self.first_step = saved.steps
                if saved.finished:
                    return self._load(saved)
            self._begin()
            with kernels(self.settings):
                for index in range(saved.stage if saved else 0, len(self.job.stages)):
                    setup, epoch, step = self._begin_stage(index, saved)
                    for number in range(epoch, self.job.stages[index][1]):
                        self._train_epoch(setup, index, number, step)
                        step = 0
                    saved = None
                return self._result(self._save(FINAL, {}))
        finally:
            self.display.close()
            self.log.close()
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(self.trainable.get(name, parameter.requires_grad))
            self.model.eval()

    def _load(self, saved: SavedRun) -> TrainResult:
        """Take over the weights of a finished run."""
        self.model.enter_stage(self.job.stages[-1][0].name)
        restore(saved.folder, self.model, self.balancer)
        if self.fabric.is_global_zero:
            self.checkpoints.clean()
        return self._result(saved.folder)

    def _result(self, folder: Path) -> TrainResult:
        return TrainResult(self.steps, self.settings.epochs, self._seconds(), self.history, folder)

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _begin(self) -> None:
        """Tidy the folder, seed, and move everything to the device."""
        self.fabric.barrier()  # every process has read the checkpoint before the first one tidies up
        first = self.fabric.is_global_zero
        if first:
            self.checkpoints.clean()
        folder = self.job.folder if first else None
        self.log = RunLog(folder, step=self.steps, tensorboard=self.settings.tensorboard)
        self.display = ProgressDisplay(self.settings.progress if first else "off", self.job.steps, self.steps)
        seed_everything(derive_seed(self.job.seed, "train", self.fabric.global_rank))
        self.model.to(self.fabric.device).to(memory_format=self.settings.memory_format)
        self.balancer.to(self.fabric.device)
        broadcast([*self.model.parameters(), *self.model.buffers(), *self.balancer.parameters()])

    def _begin_stage(self, index: int, saved: SavedRun | None) -> tuple[StepSetup, int, int]:
        """The setup of a stage, and the epoch and the step in it to go on from."""
        stage, _ = self.job.stages[index]
        self.model.enter_stage(stage.name)
        self.model.to(self.fabric.device).to(memory_format=self.settings.memory_format)
        epoch, step = 0, 0
        if saved is not None:
            # What the hooks changed is overwritten by the weights; what they remember outside the weights stands.
            epoch, step = saved.epoch, saved.step
            self._enter_epoch(index, epoch)
            restore(saved.folder, self.model, self.balancer)
        freeze(self.model, stage, self.trainable)
        setup = StepSetup(self.fabric, self.model, self.balancer, stage, self.settings, run_ahead=True)
        if saved is not None:
            self.means = saved.restore_training(setup.optimizer, self.fabric)
        if step == self.job.steps_per_epoch:
            epoch, step = epoch + 1, 0
        return setup, epoch, step

    def _enter_epoch(self, index: int, epoch: int) -> None:
        self.model.enter_epoch(epoch, self.job.stages[index][1])
        self.balancer.enter_epoch(self._epoch_of_run(index, epoch), self.settings.epochs)

    def _epoch_of_run(self, index: int, epoch: int) -> int:
        return sum(length for _, length in self.job.stages[:index]) + epoch

    def _train_epoch(self, setup: StepSetup, index: int, epoch: int, start: int) -> None:
        """Train epoch ``epoch`` of stage ``index`` from step ``start`` on."""
        (stage, epochs), per_epoch = self.job.stages[index], self.job.steps_per_epoch
        number = self._epoch_of_run(index, epoch)
        label = f"{stage.name}, epoch {number + 1}/{self.settings.epochs}"
        if start == 0:
            self._enter_epoch(index, epoch)
            self.means = Means()
        set_modes(self.model, stage)
        groups = [grouped_batches(one, number, start, self.settings.accumulate) for one in self.job.used_streams]
        streams = [setup.upcoming(stream) for stream in groups]
        for step, (batches, *more) in enumerate(zip(*streams, strict=True), start=start):
            position = Progress(epoch * per_epoch + step, epochs * per_epoch, epoch, epochs)
            factor = self.rates.apply(setup.optimizer, position)
            self.model.enter_step(position.step / position.steps)
            if self._every(self.settings.affinity_every):
                self.means.add("affinity", affinities(self.model, setup.losses, setup.on_device(batches)))
            measure = self._every(self.settings.interference_every)
            validation = more[0] if more else ()
            report = take_step(setup, batches, step=self.steps, validation=validation, measure=measure)
            self.steps += 1
            count_report(self.means, report)
            self.display.step(self.steps, label)
            if self._every(self.settings.log_every):
                setup.check.settle()
                record = {"stage": stage.name, "epoch": number, "lr_factor": factor, **step_record(report)}
                self.log.write("step", self.steps, {**record, "seconds": round(self._seconds(), 3)})
            if step + 1 == per_epoch:
                self._end_epoch(setup, number, label)
            if self._every(self.settings.checkpoint_every or per_epoch) and self.steps < self.job.steps:
                self._save_running(setup, {"stage": index, "epoch": epoch, "step": step + 1})
            if self.on_step is not None:
                self.on_step(self.steps)

    def _every(self, steps: int) -> bool:
        return steps > 0 and self.steps % steps == 0

    def _end_epoch(self, setup: StepSetup, epoch: int, label: str) -> None:
        """Evaluate where it is due, tell the balancer, and log the means of the epoch."""
        setup.check.settle()
        means = self.means.by_kind(self.fabric.device)
        parts = means.pop("parts")
        losses = totals_by_task(parts)
        record: dict[str, Any] = {"epoch": epoch, "stage": setup.stage.name, "losses": losses, "parts": parts, **means}
        every = self.settings.evaluate_every
        if self.job.evaluate is not None and every and ((epoch + 1) % every == 0 or epoch + 1 == self.settings.epochs):
            broadcast(self.model.buffers())
            with isolated(self.fabric.device):
                record["scores"] = self.job.evaluate(self.model)
            set_modes(self.model, setup.stage)
        self.balancer.end_epoch(losses, record.get("scores"))
        self.history.append(record)
        self.log.write("epoch", self.steps, {**record, "seconds": round(self._seconds(), 3)})
        pace = (time.perf_counter() - self.started) / (self.steps - self.first_step)
        self.display.epoch(label, losses, pace * (self.job.steps - self.steps))

    def _save_running(self, setup: StepSetup, position: dict[str, int]) -> None:
        setup.check.settle()
        state = {
            **position,
            "optimizer": setup.optimizer.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "random": gather(random_state(self.fabric.device)),
            **self.means.state(),
        }
        self._save(step_name(self.steps), state)

    def _save(self, name: str, state: dict[str, Any]) -> Path:
        broadcast(self.model.buffers())
        run = SavedRun.common(self.facts, self.history, self._seconds(), self.steps)
        if self.fabric.is_global_zero:
            self.checkpoints.write(name, self.model, self.balancer, {**run, **state})
        self.fabric.barrier()
        return self.checkpoints.folder / name
