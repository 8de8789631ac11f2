"""One pass per stage before a training begins, so that a balancer refuses then what it would refuse in its middle."""

from __future__ import annotations

import copy

from torch import Tensor

from frugalmtl.balancing import Balancer, ForwardPass
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.engine.randomness import isolated
from frugalmtl.engine.regime import stand_in
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.evaluation.modes import device_of
from frugalmtl.experiment.measure.training_cost import noise_batch
from frugalmtl.experiment.runs.build import Built
from frugalmtl.losses import Criterion


def rehearse(built: Built, settings: TrainSettings) -> None:
    """Let the balancer look at a pass of every stage, on a copy of the model; the random generators stay as they are.

    Raises:
        UserError: it cannot balance a stage; the message names the stage where there are several.
    """
    balancer = built.balancer
    if type(balancer).check is Balancer.check:
        return
    device = device_of(built.model)
    recipe = built.model.recipe()
    with isolated(device):
        batch = noise_batch(built.tasks, built.image_size, 2).to(device)
        for stage, epochs in zip(recipe, stage_epochs(recipe, settings.epochs), strict=True):
            if not epochs:
                continue
            model = copy.deepcopy(built.model)
            stand_in(model, stage, epochs)
            cut = balancer.cut()
            losses = Criterion(built.tasks)(model(batch.image, cut), batch).by_task
            try:
                balancer.check(ForwardPass(model, losses, None, cut, Tensor.backward))
            except UserError as error:
                raise UserError(f"stage {stage.name!r}: {error}" if len(recipe) > 1 else str(error)) from None
