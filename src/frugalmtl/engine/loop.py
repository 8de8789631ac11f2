"""The training loop: stage by stage, epoch by epoch, step by step; and on exactly where a run was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning_fabric import Fabric

from frugalmtl.core.distributed import broadcast, gather
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.engine.affinity import affinities
from frugalmtl.engine.checkpoints import (
    FINAL,
    INITIAL,
    Checkpoints,
    SavedRun,
    begin_anew,
    find_saved_run,
    restore,
    set_structure,
    step_name,
)
from frugalmtl.engine.checkpoints.exclusive import exclusive
from frugalmtl.engine.job import TrainJob, check_trainable, default_facts
from frugalmtl.engine.launch import kernels, make_fabric
from frugalmtl.engine.logs import Means
from frugalmtl.engine.logs.journal import Journal
from frugalmtl.engine.parameter_groups import rates_of
from frugalmtl.engine.randomness import isolated, random_state
from frugalmtl.engine.schedules import Progress
from frugalmtl.engine.stages.measures import stage_view
from frugalmtl.engine.stages.modes import freeze
from frugalmtl.engine.stages.stage_run import StageRun
from frugalmtl.engine.step import take_step

Resume = bool | Literal["auto"]


@dataclass
class TrainResult:
    """Figures of a finished training.

    Attributes:
        steps: optimiser steps of the whole run.
        epochs: epochs of the whole run; fewer than the settings say where it ended early (``patience``).
        seconds: time spent training, over all interruptions.
        history: one record per epoch: ``epoch``, ``stage``, ``losses``, ``statistics`` of models that give any,
            and, where it was evaluated, ``scores``; where these choose (``keep``, ``patience``), ``best`` says whether
            they were the best so far, and ``stopped`` that the training ended for want of better ones.
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
        self.facts = job.facts()
        self.journal = Journal(job.settings, job.steps, self.facts)

    def run(self) -> TrainResult:
        """Train from the beginning, or from the last checkpoint, to the end.

        Raises:
            UserError: see :func:`train`.
        """
        try:
            lengths, defaults = [length for _, length in self.job.stages], default_facts()
            saved = find_saved_run(self.checkpoints, self.facts, lengths, self.resume, defaults)
            if saved is not None:
                self.journal.go_on(saved.history, saved.steps, saved.seconds)
                if saved.finished:
                    return self._load(saved)
            self._begin(anew=saved is None)
            with kernels(self.settings):
                for index in range(saved.stage if saved else 0, len(self.job.stages)):
                    run, epoch, step = self._begin_stage(index, saved)
                    for number in range(epoch, self.job.stages[index][1]):
                        if run.over:
                            break
                        self._train_epoch(run, number, step)
                        step = 0
                    self._end_stage(run)
                    saved = None
                self.journal.end()
                return self._result(self._save(FINAL, {}))
        finally:
            self.journal.close()
            self._restore_flags()
            self.model.eval()

    def _load(self, saved: SavedRun) -> TrainResult:
        """Take over the weights of a finished run."""
        set_structure(self.model, saved.folder)
        self.model.enter_stage(self.job.stages[-1][0].name)
        restore(saved.folder, self.model, self.balancer)
        if self.fabric.is_global_zero:
            self.checkpoints.clean()
        return self._result(saved.folder)

    def _result(self, folder: Path) -> TrainResult:
        journal = self.journal
        return TrainResult(journal.steps, len(journal.history), journal.seconds(), journal.history, folder)

    def _restore_flags(self) -> None:
        """Let parameters take gradients that did before the run."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self.trainable.get(name, parameter.requires_grad))

    def _begin(self, *, anew: bool) -> None:
        """Tidy the folder, seed, and move everything to the device."""
        self.fabric.barrier()  # every process has read the checkpoint before the first one tidies up
        first = self.fabric.is_global_zero
        if first:
            self.checkpoints.clean()
            if anew and any(stage.fresh for stage, _ in self.job.stages):
                self.checkpoints.write_initial(self.model)
        self.journal.open(self.job.folder if first else None)
        seed_everything(derive_seed(self.job.seed, "train", self.fabric.global_rank))
        self._to_device()
        self.balancer.to(self.fabric.device)
        broadcast(self.balancer.parameters())

    def _to_device(self) -> None:
        """Move the model to the device, the same on all processes."""
        self.model.to(self.fabric.device).to(memory_format=self.settings.memory_format)
        broadcast([*self.model.parameters(), *self.model.buffers()])

    def _begin_stage(self, index: int, saved: SavedRun | None) -> tuple[StageRun, int, int]:
        """A stage ready to run, and the epoch and the step in it to go on from."""
        stage, _ = self.job.stages[index]
        if saved is not None:
            set_structure(self.model, saved.folder)
        elif stage.fresh:
            begin_anew(self.model, self.checkpoints.folder / INITIAL, stage.fresh)
        self.model.enter_stage(stage.name)
        self.model.to(self.fabric.device).to(memory_format=self.settings.memory_format)
        epoch, step = 0, 0
        if saved is not None:
            # What the hooks changed is overwritten by the weights; what they remember outside the weights stands.
            epoch, step = saved.epoch, saved.step
            self._enter_epoch(index, epoch)
            self._enter_turn_again(index, epoch * self.job.steps_per_epoch + step)
            restore(saved.folder, self.model, self.balancer)
        freeze(self.model, stage, self.trainable)
        run = StageRun(self.job, index, self.fabric, self.trainable)
        if saved is not None:
            self.journal.means = saved.restore_training(run.setup.optimizer, self.fabric, run.restore)
        if step == self.job.steps_per_epoch:
            epoch, step = epoch + 1, 0
        return run, epoch, step

    def _enter_turn_again(self, index: int, step: int) -> None:
        """Tell the method of the turn that a step lies in the middle of; at the end of the stage, of its last turn."""
        stage, epochs = self.job.stages[index]
        ended = step == epochs * self.job.steps_per_epoch
        moment = self.job.timetable.at(index, step - 1 if ended else step)
        if stage.turns and (ended or moment.turn_step):
            self.model.enter_turn(moment.turn.name, moment.cycle)

    def _enter_epoch(self, index: int, epoch: int) -> None:
        self.model.enter_epoch(epoch, self.job.stages[index][1])
        self.balancer.enter_epoch(self.job.epoch_of_run(index, epoch), self.settings.epochs)

    def _train_epoch(self, run: StageRun, epoch: int, start: int) -> None:
        """Train an epoch of a stage from step ``start`` on."""
        setup, journal, per_epoch = run.setup, self.journal, self.job.steps_per_epoch
        number = self.job.epoch_of_run(run.index, epoch)
        if start == 0:
            self._enter_epoch(run.index, epoch)
            journal.means = Means()
        run.set_modes()
        for step in range(start, per_epoch):
            batches, validation = run.begin_step(epoch * per_epoch + step, journal.steps)
            label = f"{run.label}, epoch {number + 1}/{self.settings.epochs}"
            factor = run.rates.apply(setup.optimizer, Progress(run.step, run.steps, epoch, run.epochs))
            self.model.enter_step(run.step / run.steps)
            if journal.due(self.settings.affinity_every):
                journal.means.add("affinity", affinities(self.model, setup.losses, setup.on_device(batches)))
            measure = journal.due(self.settings.interference_every)
            report = take_step(setup, batches, step=journal.steps, validation=validation, measure=measure)
            if run.average is not None:
                run.average.update()
            journal.step(report, label)
            if journal.due(self.settings.log_every):
                setup.check.settle()
                place = {**run.place(), "epoch": number, "lr_factor": factor, **rates_of(setup.optimizer)}
                journal.log_step(report, place)
            if step + 1 == per_epoch:
                self._end_epoch(run, epoch, label)
            if journal.due(self.settings.checkpoint_every or per_epoch) and journal.steps < self.job.steps:
                self._save_running(run, {"stage": run.index, "epoch": epoch, "step": step + 1})
            if self.on_step is not None:
                self.on_step(journal.steps)

    def _end_epoch(self, run: StageRun, epoch: int, label: str) -> None:
        """Evaluate an epoch of a stage where it is due, tell the balancer, and log the means of the epoch."""
        run.setup.check.settle()
        number = self.job.epoch_of_run(run.index, epoch)
        record = {"epoch": number, "stage": run.stage.name, **self.journal.epoch_means(self.fabric.device)}
        every = self.settings.evaluate_every
        due = every and ((number + 1) % every == 0 or number + 1 == self.settings.epochs)
        if self.job.measures is not None and (due or run.best is not None):
            broadcast(self.model.buffers())
            with isolated(self.fabric.device), run.evaluated():
                if due:
                    record["scores"] = self.job.measures.evaluate(self.model)
                if run.best is not None:
                    record |= run.best.judge(self.model, epoch, record.get("scores"))
            run.set_modes()
        self.balancer.end_epoch(record["losses"], record.get("scores"))
        self.journal.epoch(record, label)

    def _end_stage(self, run: StageRun) -> None:
        """Take the weights that the stage ends with, and let the method decide what follows from them."""
        run.setup.check.settle()
        run.take_over()
        self._restore_flags()
        self.model.eval()  # whatever turn it was in, and also where a run is resumed right here
        broadcast(self.model.buffers())
        with isolated(self.fabric.device):
            view = stage_view(self.model, self.job.measures, self.fabric.device)
            self.model.encoder.end_stage(run.stage.name, view)
        self._to_device()

    def _save_running(self, run: StageRun, position: dict[str, int]) -> None:
        run.setup.check.settle()
        state = {
            **position,
            "optimizer": run.setup.optimizer.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "random": gather(random_state(self.fabric.device)),
            **run.state(),
            **self.journal.means.state(),
        }
        self._save(step_name(self.journal.steps), state)

    def _save(self, name: str, state: dict[str, Any]) -> Path:
        broadcast(self.model.buffers())
        common = SavedRun.common(self.facts, self.journal.history, self.journal.seconds(), self.journal.steps)
        if self.fabric.is_global_zero:
            structure = self.model.encoder.structure()
            self.checkpoints.write(name, self.model, self.balancer, {**common, **state}, structure)
        self.fabric.barrier()
        return self.checkpoints.folder / name
