"""Evaluation: a model and a data set -> scores of every task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch, Predictions, Scores
from frugalmtl.evaluation.metrics import METRICS, Score
from frugalmtl.evaluation.modes import device_of, evaluating
from frugalmtl.tasks import Task

OnBatch = Callable[[int], object]
"""Called after every batch with the number of its images."""


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: Sequence[Task],
    *,
    device: torch.device | str | None = None,
    progress: OnBatch | None = None,
) -> Scores:
    """Score a training model or a deployed one, with the same code, at image resolution.

    Each task's raw prediction is decoded (:attr:`Task.decode`) and given to the metrics that the task names, wherever
    the batch has labels for it. Runs in eval mode without gradients; every submodule gets its mode back. In a process
    group each process takes its own batches and all of them get the scores of the whole set (metrics are merged by
    ``torch.distributed``). Auxiliary tasks are not scored.

    Args:
        model: image ``[B, 3, H, W]`` -> :class:`Predictions`, or -> ``{task: raw prediction}``.
        batches: the set, in any number of batches.
        tasks: the tasks to score; the model may predict more.
        device: where the batches are moved; the model's device if not given.
        progress: told about every batch.

    Returns:
        ``{task: {metric key: value}}``; NaN where the set holds no label at all.

    Raises:
        UserError: no task to score, a task that the model does not predict or the batches do not hold, no images.
    """
    scored = [task for task in tasks if not task.auxiliary]
    if not scored:
        raise UserError("there is no task to evaluate: give at least one that is not auxiliary")
    device = device_of(model) if device is None else torch.device(device)
    metrics = {task.name: build_metrics(task, device) for task in scored}
    images = 0
    with evaluating(model), torch.inference_mode():
        for batch in batches:
            moved = batch.to(device, non_blocking=True)
            raw = raw_predictions(model(moved.image))
            for task in scored:
                _update(metrics[task.name], task, raw, moved)
            images += len(moved.image)
            if progress is not None:
                progress(len(moved.image))
    if images == 0 and not torch.distributed.is_initialized():
        raise UserError("there are no images to evaluate: the split is empty")
    return {task: _compute(scores) for task, scores in metrics.items()}


def build_metrics(task: Task, device: torch.device | str = "cpu") -> list[Score]:
    """Fresh metrics of a task."""
    return [METRICS.build(spec).to(device) for spec in task.metrics]


def raw_predictions(output: Predictions | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """``{task: raw prediction}`` of what a training model or a deployed one returned."""
    return output.by_task if isinstance(output, Predictions) else output


def _update(metrics: list[Score], task: Task, raw: Mapping[str, Tensor], batch: Batch) -> None:
    if task.name not in raw:
        raise UserError(f"the model predicts {sorted(raw)}, but task {task.name!r} is to be evaluated")
    if task.name not in batch.targets:
        raise UserError(
            f"the data set has labels for {sorted(batch.targets)}, but task {task.name!r} is to be evaluated"
        )
    prediction = task.decode(raw[task.name].float())
    for metric in metrics:
        metric.update(prediction, batch.targets[task.name], batch.valid[task.name])


def _compute(metrics: list[Score]) -> dict[str, float]:
    values: dict[str, float] = {}
    for metric in metrics:
        for key, value in metric.compute().items():
            if key in values:
                raise TypeError(f"two metrics of one task both give {key!r}: rename one")
            values[key] = float(value)
    return values
