"""One run: stage by stage, epoch by epoch, step by step; and on exactly where it was interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.core.distributed import broadcast, gather
from frugalmtl.core.recipe import Stage
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.core.types import Batch, Scores
from frugalmtl.engine.checkpoint import FINAL, Checkpoints, read_state, restore, step_name
from frugalmtl.engine.identity import require_same
from frugalmtl.engine.loader import EpochLoader
from frugalmtl.engine.logging import RunLog
from frugalmtl.engine.lookahead import affinities
from frugalmtl.engine.means import Means, count_report
from frugalmtl.engine.parameter_groups import Rates
from frugalmtl.engine.progress import ProgressDisplay
from frugalmtl.engine.randomness import isolated, random_state, set_random_state
from frugalmtl.engine.schedules import Progress
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stage import freeze, set_modes
from frugalmtl.engine.step import StepReport, StepSetup, take_step
from frugalmtl.losses import totals_by_task
from frugalmtl.model import MultiTaskModel

_CPU = torch.device("cpu")
_COMMON = {"identity", "history", "seconds", "steps"}
_RUNNING = _COMMON | {"stage", "epoch", "step", "optimizer", "scaler", "random", "sums", "counts"}


@dataclass
class TrainResult:
    """What a training leaves.

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


class Run:
    """One call of :func:`frugalmtl.engine.train`; its arguments and, in place of some, what was made of them.

    Args:
        plan: the stages that have any epochs, with their lengths.
        identity: what must not differ when a run is continued, flat.
    """

    log: RunLog
    display: ProgressDisplay

    def __init__(
        self,
        model: MultiTaskModel,
        balancer: Balancer,
        settings: TrainSettings,
        loader: EpochLoader,
        run_dir: Path,
        fabric: Fabric,
        plan: list[tuple[Stage, int]],
        *,
        identity: dict[str, Any],
        seed: int,
        evaluate: Callable[[MultiTaskModel], Scores] | None,
        on_step: Callable[[int], None] | None,
        validation: EpochLoader | None = None,
    ) -> None:
        self.model, self.balancer = model, balancer
        self.settings, self.loader, self.run_dir, self.fabric, self.plan = settings, loader, run_dir, fabric, plan
        self.identity, self.seed, self.evaluate, self.on_step = identity, seed, evaluate, on_step
        self.validation = validation if balancer.needs_validation_stream else None
        self.trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        self.checkpoints = Checkpoints(run_dir / "checkpoints")
        self.rates = Rates(settings)
        self.steps_per_epoch = -(-loader.batches_per_epoch // settings.accumulate)
        self.steps = 0
        self.first_step = 0
        self.history: list[dict[str, Any]] = []
        self.means = Means()
        self.started = time.perf_counter()
        self.seconds_before = 0.0

    # --- start and end

    def execute(self, resume: bool | Literal["auto"]) -> TrainResult:
        """Find where to begin, and train from there to the end."""
        folder, state = self._find(resume)
        if folder is not None and folder.name == FINAL:
            self.model.enter_stage(self.plan[-1][0].name)
            restore(folder, self.model, self.balancer)
            if self.fabric.is_global_zero:
                self.checkpoints.clean()
            return self._result(folder)
        self._prepare()
        first = 0 if state is None else int(state["stage"])
        try:
            for index in range(first, len(self.plan)):
                resumed = (folder, state) if folder is not None and state is not None and index == first else None
                self._stage(index, resumed)
            return self._result(self._save(FINAL, {}))
        finally:
            self.display.close()
            self.log.close()

    def _find(self, resume: bool | Literal["auto"]) -> tuple[Path | None, dict[str, Any] | None]:
        folder = self.checkpoints.latest()
        if folder is None:
            if resume is True:
                raise UserError(f"there is no checkpoint in {self.run_dir} to continue from: check the folder")
            return None, None
        if resume is False:
            raise UserError(f"{self.run_dir} holds a run already: continue it, or choose another folder")
        state = read_state(folder, _COMMON if folder.name == FINAL else _RUNNING)
        try:
            identity, self.history = json.loads(state["identity"]), json.loads(state["history"])
            self.seconds_before, self.steps = float(state["seconds"]), int(state["steps"])
            require_same(identity, self.identity, self.run_dir)
            if folder.name != FINAL and not 0 <= state["epoch"] < self.plan[state["stage"]][1]:
                raise IndexError(f"there is no epoch {state['epoch']} in stage {state['stage']}")
        except UserError:
            raise
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise UserError(f"the state in {folder} does not belong to this training: {error}") from None
        self.first_step = self.steps
        return folder, state

    def _prepare(self) -> None:
        self.fabric.barrier()  # every process has found the checkpoint before the first one tidies up
        first = self.fabric.is_global_zero
        if first:
            self.checkpoints.clean()
        self.log = RunLog(self.run_dir if first else None, step=self.steps, tensorboard=self.settings.tensorboard)
        total = self.steps_per_epoch * self.settings.epochs
        self.display = ProgressDisplay(self.settings.progress if first else "off", total, self.steps)
        seed_everything(derive_seed(self.seed, "train", self.fabric.global_rank))
        self.model.to(self.fabric.device).to(memory_format=self.settings.memory_format)
        self.balancer.to(self.fabric.device)
        broadcast([*self.model.parameters(), *self.model.buffers(), *self.balancer.parameters()])

    def _result(self, folder: Path) -> TrainResult:
        return TrainResult(self.steps, self.settings.epochs, self._seconds(), self.history, folder)

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    # --- stages, epochs, steps

    def _stage(self, index: int, resumed: tuple[Path, dict[str, Any]] | None) -> None:
        stage, epochs = self.plan[index]
        offset = sum(length for _, length in self.plan[:index])
        self.model.enter_stage(stage.name)
        self.model.to(self.fabric.device).to(memory_format=self.settings.memory_format)
        epoch, step = 0, 0
        if resumed is not None:
            # What the hooks changed is overwritten by the weights; what they remember outside the weights stands.
            epoch, step = int(resumed[1]["epoch"]), int(resumed[1]["step"])
            self._enter_epoch(epoch, epochs, offset)
            restore(resumed[0], self.model, self.balancer)
        freeze(self.model, stage, self.trainable)
        setup = StepSetup(self.fabric, self.model, self.balancer, stage, self.settings)
        if resumed is not None:
            self._restore(resumed[1], setup.optimizer)
        if step == self.steps_per_epoch:
            epoch, step = epoch + 1, 0
        for number in range(epoch, epochs):
            if resumed is None or number != epoch or step == 0:
                self._enter_epoch(number, epochs, offset)
            self._epoch(setup, index, number, step if number == epoch else 0)

    def _enter_epoch(self, epoch: int, epochs: int, offset: int) -> None:
        self.model.enter_epoch(epoch, epochs)
        self.balancer.enter_epoch(offset + epoch, self.settings.epochs)

    def _epoch(self, setup: StepSetup, index: int, epoch: int, start: int) -> None:
        stage, epochs = self.plan[index]
        number = sum(length for _, length in self.plan[:index]) + epoch
        set_modes(self.model, stage)
        if start == 0:
            self.means = Means()
        streams = [self._batches(loader, number, start) for loader in (self.loader, self.validation) if loader]
        for step, (batches, *more) in enumerate(zip(*streams, strict=True), start=start):
            position = Progress(epoch * self.steps_per_epoch + step, epochs * self.steps_per_epoch, epoch, epochs)
            factor = self.rates.apply(setup.optimizer, position)
            self.model.enter_step(position.step / position.steps)
            if self._every(self.settings.affinity_every):
                self.means.add("affinity", affinities(setup.model, setup.losses, setup.on_device(batches)))
            measure = self._every(self.settings.interference_every)
            report = take_step(setup, batches, step=self.steps, validation=more[0] if more else (), measure=measure)
            self.steps += 1
            count_report(self.means, report)
            label = f"{stage.name}, epoch {number + 1}/{self.settings.epochs}"
            self.display.step(self.steps, label)
            if self.steps % self.settings.log_every == 0:
                self._log_step(report, stage, number, factor)
            if step + 1 == self.steps_per_epoch:
                self._end_epoch(stage, number, label)
            if self._due(step + 1):
                self._save_running(setup, index, epoch, step + 1)
            if self.on_step is not None:
                self.on_step(self.steps)

    def _every(self, steps: int) -> bool:
        return steps > 0 and self.steps % steps == 0

    def _batches(self, loader: EpochLoader, epoch: int, start: int) -> Iterator[list[Batch]]:
        """The batches of every step of an epoch from step ``start`` on."""
        accumulate, total = self.settings.accumulate, loader.batches_per_epoch
        with isolated(_CPU):
            source = iter(loader.epoch(epoch, start * accumulate))
        for first in range(start * accumulate, total, accumulate):
            group: list[Batch] = []
            for _ in range(first, min(first + accumulate, total)):
                with isolated(_CPU):
                    batch = next(source, None)
                if batch is None:
                    raise RuntimeError(f"the loader ended before its {total} batches")
                group.append(batch)
            yield group
        with isolated(_CPU):
            next(source, None)  # lets the loader close its epoch

    def _log_step(self, report: StepReport, stage: Stage, epoch: int, factor: float) -> None:
        record: dict[str, Any] = {"stage": stage.name, "epoch": epoch, "lr_factor": factor}
        told: dict[str, Mapping[str, Tensor | float]] = {
            "losses": report.parts,
            "penalties": report.penalties,
            "statistics": report.statistics,
            "weights": report.balance.weights,
            "norms": report.balance.norms,
            "cosines": report.balance.cosines,
        }
        for key, values in told.items():
            if values:
                record[key] = {name: float(value) for name, value in values.items()}
        if report.gradient_norm is not None:
            record["gradient_norm"] = float(report.gradient_norm)
        record["seconds"] = round(self._seconds(), 3)
        self.log.write("step", self.steps, record)

    def _end_epoch(self, stage: Stage, epoch: int, label: str) -> None:
        means = self.means.by_kind(self.fabric.device)
        parts = means.pop("parts")
        losses = totals_by_task(parts)
        record: dict[str, Any] = {"epoch": epoch, "stage": stage.name, "losses": losses, "parts": parts, **means}
        every = self.settings.evaluate_every
        if self.evaluate is not None and every and ((epoch + 1) % every == 0 or epoch + 1 == self.settings.epochs):
            broadcast(self.model.buffers())
            with isolated(self.fabric.device):
                record["scores"] = self.evaluate(self.model)
            set_modes(self.model, stage)
        self.balancer.end_epoch(losses, record.get("scores"))
        self.history.append(record)
        self.log.write("epoch", self.steps, {**record, "seconds": round(self._seconds(), 3)})
        pace = (time.perf_counter() - self.started) / (self.steps - self.first_step)
        self.display.epoch(label, losses, pace * (self.steps_per_epoch * self.settings.epochs - self.steps))

    # --- checkpoints

    def _due(self, step: int) -> bool:
        every = self.settings.checkpoint_every
        return self.steps % every == 0 if every else step == self.steps_per_epoch

    def _save_running(self, setup: StepSetup, stage: int, epoch: int, step: int) -> None:
        if self.steps == self.steps_per_epoch * self.settings.epochs:
            return  # the final checkpoint follows at once
        state = {
            "stage": stage,
            "epoch": epoch,
            "step": step,
            "optimizer": setup.optimizer.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "random": gather(random_state(self.fabric.device)),
            **self.means.state(),
        }
        self._save(step_name(self.steps), state)

    def _save(self, name: str, state: dict[str, Any]) -> Path:
        broadcast(self.model.buffers())
        common = {
            "identity": json.dumps(self.identity),
            "history": json.dumps(self.history),
            "seconds": self._seconds(),
            "steps": self.steps,
        }
        if self.fabric.is_global_zero:
            self.checkpoints.write(name, self.model, self.balancer, {**common, **state})
        self.fabric.barrier()
        return self.checkpoints.folder / name

    def _restore(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        try:
            optimizer.load_state_dict(state["optimizer"])
            self.fabric.strategy.precision.load_state_dict(state["scaler"])
            self.means = Means(state["sums"], state["counts"])
            set_random_state(state["random"][self.fabric.global_rank], self.fabric.device)
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError, AttributeError) as error:
            raise UserError(f"the state of the run in {self.run_dir} does not fit this training: {error}") from error
