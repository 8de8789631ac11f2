"""Trains a model by its recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning_fabric import Fabric

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.distributed import process_count
from frugalmtl.core.recipe import Stage, stage_epochs
from frugalmtl.core.types import Scores
from frugalmtl.engine.identity import flatten
from frugalmtl.engine.launch import kernels, make_fabric
from frugalmtl.engine.loader import EpochLoader
from frugalmtl.engine.logging import require_tensorboard
from frugalmtl.engine.parameter_groups import check_groups
from frugalmtl.engine.run import Run, TrainResult
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import Task


def train(
    model: MultiTaskModel,
    balancer: Balancer,
    tasks: Sequence[Task],
    settings: TrainSettings,
    loader: EpochLoader,
    run_dir: str | Path,
    *,
    fabric: Fabric | None = None,
    evaluate: Callable[[MultiTaskModel], Scores] | None = None,
    resume: bool | Literal["auto"] = "auto",
    seed: int = 0,
    identity: Mapping[str, Any] | None = None,
    on_step: Callable[[int], None] | None = None,
    validation: EpochLoader | None = None,
) -> TrainResult:
    """Train a model; write ``checkpoints/`` and ``log.jsonl`` in ``run_dir``.

    An interrupted run that is started again with the same arguments continues from its last checkpoint, in the middle
    of any stage and epoch, and (on the CPU, and wherever kernels are deterministic) ends with the same weights bit for
    bit.

    Args:
        model: trained in place; left in eval mode.
        balancer: combines losses or gradients.
        tasks: what is learned.
        settings: how long and how.
        loader: training batches of this process.
        run_dir: folder of the run.
        fabric: launched Fabric; made from the settings if not given.
        evaluate: called every ``settings.evaluate_every`` epochs, on all processes; may switch modes.
        resume: ``"auto"`` continues a run if there is one, ``True`` insists on one, ``False`` on there being none.
        seed: of everything random in training (dropout, gates, balancers).
        identity: further facts that must not differ when the run is continued (model and data sections of a config).
        validation: second stream of batches, as many per epoch, for balancers that look at one.
        on_step: called with the number of steps done after each step and what belongs to it.

    Raises:
        UserError: settings do not fit the model or the balancer; an entry of ``lr_factors`` acts on nothing; the recipe
            asks for an optimiser that cannot be made; the run cannot be continued as asked; a loss is not finite; the
            disk is full.
    """
    if settings.tensorboard:
        require_tensorboard()
    recipe = model.recipe()
    check_groups(model, recipe, settings)
    check_balancer(balancer, settings)
    if balancer.needs_validation_stream and validation is None:
        raise UserError(f"the balancer {type(balancer).__name__} needs a second stream of batches: give 'validation'")
    if validation is not None and validation.batches_per_epoch != loader.batches_per_epoch:
        raise UserError(
            f"the second stream must have as many batches in an epoch as the first, {loader.batches_per_epoch}, "
            f"but has {validation.batches_per_epoch}"
        )
    if balancer.needs_scores and evaluate is None:
        raise UserError(f"the balancer {type(balancer).__name__} reads scores: give 'evaluate'")
    plan = _plan(recipe, settings.epochs)
    positive("the number of batches in an epoch", loader.batches_per_epoch)
    fabric = fabric or make_fabric(settings)
    facts = flatten(
        {
            "config": dict(identity or {}),
            "train": settings.identity(),
            "seed": seed,
            "processes": process_count(),
            "batches per epoch": loader.batches_per_epoch,
            "tasks": [task.name for task in tasks],
            "stages": [
                {**vars(stage), "groups": [vars(group) for group in stage.groups], "epochs": epochs}
                for stage, epochs in plan
            ],
            "balancer": type(balancer).__name__,
        }
    )
    run = Run(
        model,
        balancer,
        settings,
        loader,
        Path(run_dir),
        fabric,
        plan,
        identity=facts,
        seed=seed,
        evaluate=evaluate,
        on_step=on_step,
        validation=validation,
    )
    try:
        with kernels(settings.deterministic):
            return run.execute(resume)
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(run.trainable.get(name, parameter.requires_grad))
        model.eval()


def check_balancer(balancer: Balancer, settings: TrainSettings) -> None:
    """Check that the settings give a balancer what it needs.

    Raises:
        UserError: it reads scores, but nothing is evaluated after each epoch.
    """
    if balancer.needs_scores and settings.evaluate_every != 1:
        raise UserError(
            f"the balancer {type(balancer).__name__} reads the scores of every epoch, but evaluate_every is "
            f"{settings.evaluate_every}: set it to 1"
        )


def _plan(recipe: tuple[Stage, ...], epochs: int) -> list[tuple[Stage, int]]:
    """The stages that have any epochs, with their lengths."""
    return [(stage, length) for stage, length in zip(recipe, stage_epochs(recipe, epochs), strict=True) if length > 0]
