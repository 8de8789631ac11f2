"""Dry run: a training step of every stage on copies, before a training begins."""

from __future__ import annotations

import copy

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.core.types import Batch
from frugalmtl.engine.launch import local_fabric
from frugalmtl.engine.randomness import isolated
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stage import enter_first_step
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.engine.step.compilation import TRIAL, refused
from frugalmtl.engine.step_timing import noise_batch
from frugalmtl.model import MultiTaskModel

IMAGES = 2


def dry_run(
    model: MultiTaskModel,
    balancer: Balancer,
    settings: TrainSettings,
    image_size: tuple[int, int],
    batch: Batch | None = None,
) -> None:
    """Take the first step of every stage, without its update, so that a refusal in a late stage comes first.

    Model and balancer are copied for each stage, and the random generators are afterwards as before.

    Args:
        model: on the device of its parameters.
        balancer: takes the gradients.
        settings: epochs and optimisers; the step itself is in single precision.
        image_size: height and width.
        batch: also that of the second stream; noise with a label for every task if not given.

    Raises:
        UserError: a stage cannot be trained; the message names it where there are several.
    """
    device = next(model.parameters()).device
    recipe = model.recipe()
    with isolated(device):
        batch = batch or noise_batch(model.tasks, image_size, IMAGES)
        behind = 0
        for stage, epochs in zip(recipe, stage_epochs(recipe, settings.epochs), strict=True):
            if not epochs:
                continue
            trial, weights = copy.deepcopy((model, balancer))
            try:
                enter_first_step(trial, stage, epochs)
                weights.to(device).enter_epoch(behind, settings.epochs)
                setup = StepSetup(local_fabric(device), trial, weights, stage, settings, backend=TRIAL)
                validation = [batch] if weights.needs_validation_stream else []
                with refused(settings):
                    take_step(setup, [batch], validation=validation, update=False)
            except UserError as error:
                raise UserError(f"stage {stage.name!r}: {error}" if len(recipe) > 1 else str(error)) from None
            behind += epochs
