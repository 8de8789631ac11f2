"""Dry run: a training step of every stage and turn on copies, before a training begins."""

from __future__ import annotations

import copy
import traceback
from pathlib import Path

import torch

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage, Turn, stage_epochs
from frugalmtl.core.types import Batch
from frugalmtl.engine.launch import local_fabric
from frugalmtl.engine.randomness import isolated
from frugalmtl.engine.settings import Precision, TrainSettings
from frugalmtl.engine.stages.modes import enter_first_step
from frugalmtl.engine.stages.timetable import turns_of
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.engine.step.compilation import TRIAL, refused
from frugalmtl.engine.step_timing import noise_batch
from frugalmtl.model import MultiTaskModel

_PACKAGE = Path(__file__).parents[1]


def dry_run(
    model: MultiTaskModel,
    balancer: Balancer,
    settings: TrainSettings,
    image_size: tuple[int, int],
    batch: Batch | None = None,
    *,
    device: torch.device | None = None,
) -> None:
    """Take the first step of every stage and turn as the training will, without update, so that refusals come first.

    Each process sees ``batch_size / devices`` images at a time, also where gradients of several batches are
    accumulated; two of those are taken then. Model and balancer are copied for each turn, and the random generators
    are afterwards as before.

    Args:
        model: stays as it is.
        balancer: takes the gradients; stays as it is.
        settings: epochs, optimisers, images per step, layout, precision.
        image_size: height and width.
        batch: also that of the second stream; noise with a label for every task if not given.
        device: of the steps; that of the model's parameters if not given.

    Raises:
        UserError: a stage cannot be trained; the message names it where there are several. What torch raised
            (too little memory, shapes that do not fit) is the cause.
    """
    device = device or next(model.parameters()).device
    images = settings.batch_size // settings.devices if batch is None else len(batch.image)
    recipe = model.recipe()
    behind = 0
    with isolated(device):
        for stage, epochs in zip(recipe, stage_epochs(recipe, settings.epochs), strict=True):
            if not epochs:
                continue
            for turn in turns_of(stage):
                place = f"stage {stage.name!r}" + (f", turn {turn.name!r}" if stage.turns else "")
                try:
                    step_batch = batch or noise_batch(model.tasks, image_size, images)
                    trial, weights = copy.deepcopy((model, balancer))
                    trial.to(device).to(memory_format=settings.memory_format)
                    weights.to(device).enter_epoch(behind, settings.epochs)
                    _take(trial, weights, stage, turn, epochs, settings.in_stage(stage), step_batch)
                except UserError as error:
                    alone = len(recipe) == 1 and not stage.turns
                    raise UserError(str(error) if alone else f"{place}: {error}") from error
                except (RuntimeError, ValueError, MemoryError) as error:
                    text = _in_words(error, images, image_size, settings, device)
                    raise UserError(f"{place}: {text}") from error
            behind += epochs
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _take(
    model: MultiTaskModel,
    balancer: Balancer,
    stage: Stage,
    turn: Turn,
    epochs: int,
    settings: TrainSettings,
    batch: Batch,
) -> None:
    device = next(model.parameters()).device
    enter_first_step(model, stage, epochs, turn)
    fabric = local_fabric(device, _precision(settings, device))
    setup = StepSetup(fabric, model, balancer, stage, settings, backend=TRIAL)
    setup.turn = turn
    batches = [batch] * min(settings.accumulate, 2)
    validation = batches if balancer.needs_validation_stream else []
    with refused(settings):
        take_step(setup, batches, validation=validation, measure=settings.interference_every > 0, update=False)


def _precision(settings: TrainSettings, device: torch.device) -> Precision:
    """That of the training; float16 is for GPUs, and refused where there is none when the processes are launched."""
    return "32-true" if settings.precision == "16-mixed" and device.type == "cpu" else settings.precision


def _in_words(
    error: Exception, images: int, image_size: tuple[int, int], settings: TrainSettings, device: torch.device
) -> str:
    height, width = image_size
    shared = f" (batch_size {settings.batch_size} over {settings.devices} devices)" if settings.devices > 1 else ""
    step = f"a training step on {images} image{'' if images == 1 else 's'} of {height} x {width}{shared}"
    message = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate" in message:
        return (
            f"{step} needs more memory than {device} has: lower batch_size (accumulate makes up for it) or image_size"
        )
    if "more than 1 value per channel" in message:
        return (
            f"{step} leaves batch normalisation one value per channel, which has no variance: raise batch_size to "
            f"{2 * settings.devices} or more, or image_size, until the coarsest map is larger than 1 x 1"
        )
    cause = f"{message.splitlines()[0]} ({type(error).__name__}{_place(error)})"
    return f"{step} fails: {cause}; check image_size, tasks, and the sections of the network"


def _place(error: Exception) -> str:
    """The innermost line of this package that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [(Path(frame.filename), frame.lineno) for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    return f" at {places[-1][0].relative_to(_PACKAGE)}:{places[-1][1]}" if places else ""
