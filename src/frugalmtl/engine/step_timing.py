"""Step timing: training steps on noise, timed against each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import positive
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.core.types import Batch
from frugalmtl.engine.launch import kernels, local_fabric
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stages.modes import enter_first_step
from frugalmtl.engine.stages.timetable import turns_of
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import Task

NOISE_SEED = 0
TOTAL = "total"


class StepTimer:
    """One training step that is taken again and again on the same batch, without loading data.

    Args:
        setup: trained in place: give copies where that matters.
        batch: also that of the second stream, for balancers that look at one.
        update: move the parameters as well; else a step ends with the finished gradients.
    """

    def __init__(self, setup: StepSetup, batch: Batch, *, update: bool = False) -> None:
        self.setup, self.update = setup, update
        self.batches = setup.on_device([batch])
        self.validation = self.batches if setup.balancer.needs_validation_stream else []

    @classmethod
    def at_stage(
        cls,
        model: MultiTaskModel,
        balancer: Balancer,
        settings: TrainSettings,
        batch: Batch,
        *,
        stage: int = -1,
        turn: int = 0,
        update: bool = False,
    ) -> StepTimer:
        """A timer of the first step of a stage of a model's recipe, on the model's device.

        Args:
            model: trained in place.
            balancer: trained in place.
            settings: epochs, optimiser, precision and layout.
            batch: see :class:`StepTimer`.
            stage: number of the stage among those that have any epochs; -1 for the last.
            turn: number of the turn of that stage.
            update: see :class:`StepTimer`.
        """
        recipe = model.recipe()
        lengths = stage_epochs(recipe, settings.epochs)
        index = [number for number, length in enumerate(lengths) if length > 0][stage]
        device = next(model.parameters()).device
        chosen = enter_first_step(model, recipe[index], lengths[index], turns_of(recipe[index])[turn])
        model.to(memory_format=settings.memory_format)
        balancer.to(device).enter_epoch(sum(lengths[:index]), settings.epochs)
        fabric = local_fabric(device, settings.precision)
        setup = StepSetup(fabric, model, balancer, recipe[index], settings.in_stage(recipe[index]), run_ahead=True)
        setup.turn = chosen
        return cls(setup, batch, update=update)

    def time(self, *, parts: bool = False) -> dict[str, float]:
        """Milliseconds of one step: ``{"total": ...}``.

        Args:
            parts: also those of ``"forward"`` (with the losses), ``"backward"`` (all that the balancer does) and
                ``"update"``. The device is waited for between them, so the total may grow on a GPU.
        """
        self.clear()
        moments: list[tuple[str, float]] = []

        def mark(part: str) -> None:
            self._wait()
            moments.append((part, time.perf_counter()))

        start = time.perf_counter()
        self.take(*([mark] if parts else []))
        elapsed = {TOTAL: 1000.0 * (time.perf_counter() - start)}
        before = start
        for part, moment in moments:
            elapsed[part] = 1000.0 * (moment - before)
            before = moment
        return elapsed

    def take(self, mark: Callable[[str], None] = lambda _: None) -> None:
        """Take the step and wait for the device."""
        with kernels(self.setup.settings):
            take_step(self.setup, self.batches, validation=self.validation, update=self.update, mark=mark)
            self.setup.check.settle()
            self._wait()

    def clear(self) -> None:
        """Drop the gradients of the last step."""
        self.setup.model.zero_grad(set_to_none=True)
        self.setup.balancer.zero_grad(set_to_none=True)
        self._wait()

    def _wait(self) -> None:
        if self.setup.fabric.device.type == "cuda":
            torch.cuda.synchronize(self.setup.fabric.device)


def time_steps(timers: Mapping[str, StepTimer], rounds: int, *, parts: bool = False) -> dict[str, dict[str, float]]:
    """Time steps against each other: every round takes one of each, and the first of a round rotates.

    One round before them is not counted.

    Args:
        timers: ``{name: timer}``.
        rounds: steps of each that are timed.
        parts: see :meth:`StepTimer.time`.

    Returns:
        ``{name: {part: median milliseconds}}``.

    Raises:
        UserError: a number of rounds that is not positive.
    """
    positive("rounds", rounds)
    names = list(timers)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(-1, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            elapsed = timers[name].time(parts=parts)
            if number >= 0:
                times[name].append(elapsed)
    return {
        name: {part: statistics.median(one[part] for one in steps) for part in steps[0]}
        for name, steps in times.items()
    }


def noise_batch(tasks: Sequence[Task], image_size: tuple[int, int], size: int) -> Batch:
    """Noise of a fixed seed, with a label for every task at every place.

    Class labels are uniform over the task's channels; continuous ones uniform in [0, 1), then made valid values by
    :attr:`Task.normalise`.

    Args:
        tasks: the tasks that get labels.
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
