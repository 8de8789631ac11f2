"""Multiply-adds that a deployed model was asked to cost."""

from __future__ import annotations

from dataclasses import replace

from frugalmtl.core.budget import Budget
from frugalmtl.deployment import deploy
from frugalmtl.evaluation.cost import count
from frugalmtl.experiment.measure.profiling import single_task_sibling
from frugalmtl.experiment.runs.build import Built, build, without_weights
from frugalmtl.experiment.runs.run import Run


def target_macs(run: Run, built: Built) -> float | None:
    """Multiply-adds per image that a run's operating point, or else its encoder's budget, asks for; None if neither.

    Args:
        run: at its operating point, if it has one.
        built: its objects.
    """
    if run.point is None:
        return built.model.encoder.target_macs
    budget = Budget.parse(run.point)
    if budget.kind != "share":
        return budget.value
    config = replace(without_weights(single_task_sibling(run.config)), image_size=built.image_size)
    single = deploy(build(config, tasks=built.tasks).model)
    return budget.value * count(single, built.image_size).macs
