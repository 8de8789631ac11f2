"""What one training step costs: forward, losses, and all that the balancer does."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from frugalmtl.balancing import ForwardPass, StepContext
from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.core.types import Batch
from frugalmtl.deployment import plan_encoder, stopwatch
from frugalmtl.engine.randomness import isolated
from frugalmtl.engine.regime import build_optimizer, stand_in
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step import more_losses
from frugalmtl.evaluation.cost.latency import rotation
from frugalmtl.evaluation.cost.memory import peak_of
from frugalmtl.evaluation.modes import device_of
from frugalmtl.experiment.runs.build import Built
from frugalmtl.losses import Criterion
from frugalmtl.tasks import Task

NOISE_SEED = 0


@dataclass(frozen=True)
class StepFigures:
    """One training step, without loading data and without the optimiser's update.

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
) -> dict[str, StepFigures]:
    """Time training steps against each other: every round takes one step of each row, and who begins rotates.

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

    Raises:
        UserError: no row, or a number of rounds or images that is not positive.
    """
    if not rows:
        raise UserError("a step's cost needs at least one row, but got none")
    positive("rounds", rounds)
    given = settings or {}
    devices = {device_of(built.model) for built in rows.values()}
    if len(devices) > 1:
        raise UserError(f"rows timed together must be on one device, but are on {sorted(map(str, devices))}")
    device = devices.pop()
    times: dict[str, list[float]] = {name: [] for name in rows}
    memory: dict[str, int] = {}
    with isolated(device):
        steps = {
            name: _Step(
                built,
                batch or noise_batch(built.tasks, built.image_size, batch_size),
                given.get(name, TrainSettings()),
            )
            for name, built in rows.items()
        }
        for number in range(-1, rounds):
            for name in rotation(list(steps), number):
                elapsed = steps[name].time()
                if number >= 0:
                    times[name].append(elapsed)
        for name, step in steps.items():
            memory[name] = step.memory()
    return {name: StepFigures(statistics.median(values), memory[name]) for name, values in times.items()}


def noise_batch(tasks: Sequence[Task], image_size: tuple[int, int], size: int) -> Batch:
    """Noise of a fixed seed, with a label for every task at every place.

    Class labels are uniform over the task's channels; continuous ones uniform in [0, 1), then made valid values by
    :attr:`Task.normalise`.

    Args:
        tasks: what is labelled.
        image_size: height and width.
        size: images in the batch.

    Raises:
        UserError: a size that is not positive.
    """
    positive("the number of images in a batch", size)
    generator = torch.Generator().manual_seed(NOISE_SEED)
    image = torch.randn(size, 3, *image_size, generator=generator)
    targets = {task.name: _noise_labels(task, image_size, size, generator) for task in tasks}
    shapes = {task.name: (size, *image_size) if task.dense else targets[task.name].shape for task in tasks}
    valid = {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}
    return Batch(image, targets, valid, [f"noise {index}" for index in range(size)])


def _noise_labels(task: Task, image_size: tuple[int, int], size: int, generator: torch.Generator) -> Tensor:
    area = image_size if task.dense else ()
    if task.label_type == "classes":
        return torch.randint(0, task.channels, (size, *area), generator=generator)
    channels = task.label_channels if task.dense else task.channels
    labels = torch.rand(size, channels, *area, generator=generator)
    return torch.stack([task.normalise(label) for label in labels])


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    return torch.autocast(device.type, kinds[precision]) if precision in kinds else nullcontext()


class _Step:
    """A copy of a row at the beginning of its last stage, and the step that it takes again and again."""

    def __init__(self, built: Built, batch: Batch, settings: TrainSettings) -> None:
        self.model, self.balancer = copy.deepcopy((built.model, built.balancer))
        self.device = device_of(self.model)
        self.criterion = Criterion(built.tasks)
        self.autocast = partial(_autocast, self.device, settings.precision)
        self.batch = batch.to(self.device)
        self.batch.image = self.batch.image.contiguous(memory_format=settings.memory_format)
        recipe = self.model.recipe()
        lengths = stage_epochs(recipe, settings.epochs)
        last = max(index for index, length in enumerate(lengths) if length > 0)
        self.stage = recipe[last]
        if self.model.encoder.budget is not None:
            timed = self.model.encoder.target_latency_ms is not None
            plan_encoder(self.model, built.image_size, stopwatch(built.model, built.image_size) if timed else None)
        stand_in(self.model, self.stage, lengths[last])
        self.model.to(memory_format=settings.memory_format)
        self.balancer.to(self.device)
        self.balancer.enter_epoch(sum(lengths[:last]), settings.epochs)
        self.context = StepContext(
            self.model,
            [self.batch],
            [self.batch] if self.balancer.needs_validation_stream else [],
            self._losses,
            build_optimizer(self.model, self.balancer, self.stage, settings),
        )

    def time(self) -> float:
        """Milliseconds of one step."""
        self._clear()
        started = time.perf_counter()
        self._take()
        return (time.perf_counter() - started) * 1000.0

    def memory(self) -> int:
        """Peak bytes of one step."""
        self._clear()
        with peak_of(self.device) as peak:
            self._take()
        self._clear()
        return peak.bytes

    def _clear(self) -> None:
        self.model.zero_grad(set_to_none=True)
        self.balancer.zero_grad(set_to_none=True)
        self._wait()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        with self.autocast():
            return more_losses(self.model, self.criterion, batch)

    def _take(self) -> None:
        self.balancer.before_step(self.context)
        chosen = self.balancer.choose()
        cut = self.balancer.cut()
        with self.autocast():
            predictions = self.model(self.batch.image, cut, chosen)
        losses = self.criterion(predictions, self.batch, chosen).by_task
        terms = [predictions.penalties[name].float() * weight for name, weight in self.stage.penalties.items()]
        penalty = torch.stack(terms).sum() if terms else None
        self.balancer.backward(ForwardPass(self.model, losses, penalty, cut, Tensor.backward))
        self.balancer.after_step(self.context)
        self._wait()
