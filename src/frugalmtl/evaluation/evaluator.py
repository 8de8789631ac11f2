"""Evaluation: a model and a data set -> scores of every task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.counting import device_of, evaluating
from frugalmtl.core.types import Batch, Predictions, Scores
from frugalmtl.evaluation.confusion import Confusion
from frugalmtl.evaluation.metrics import METRICS, Score
from frugalmtl.tasks import Task

Value = TypeVar("Value")
OnBatch = Callable[[int], object]
"""Called after every batch with the number of its images."""

Remarks = dict[str, dict[str, str]]
"""``{task: {metric key: line}}``: why a value is missing, or the rule behind it."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set, and what a reader must know of them.

    Attributes:
        scores: ``{task: {metric key: value}}``; NaN where the set holds nothing to score.
        remarks: tasks and keys with a remark alone.
        confusions: of the tasks whose metrics count one.
    """

    scores: Scores
    remarks: Remarks
    confusions: dict[str, Confusion] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """A line per task with its scores, a dash where there is none; below it a line per remark, and its classes.

        >>> Evaluation({"depth": {"rmse": math.nan}}, {"depth": {"rmse": "no valid label"}}).lines()
        ['depth: rmse –', '  rmse: no valid label']
        """
        lines = []
        for task, values in self.scores.items():
            numbers = (f"{key} {'–' if math.isnan(value) else format(value, '.4f')}" for key, value in values.items())
            lines.append(f"{task}: {', '.join(numbers)}")
            lines += [f"  {key}: {remark}" for key, remark in self.remarks.get(task, {}).items()]
            lines += [f"  {line}" for line in self.confusions[task].lines()] if task in self.confusions else []
        return lines


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: Sequence[Task],
    *,
    device: torch.device | str | None = None,
    progress: OnBatch | None = None,
) -> Scores:
    """The scores of :func:`evaluate_with_remarks` alone."""
    return evaluate_with_remarks(model, batches, tasks, device=device, progress=progress).scores


def evaluate_with_remarks(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: Sequence[Task],
    *,
    device: torch.device | str | None = None,
    progress: OnBatch | None = None,
) -> Evaluation:
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

    Raises:
        UserError: no task to score, a task that the model does not predict or the batches do not hold, no images, or
            predictions that are not finite.
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
    scores = {task: _merged([metric.compute() for metric in kinds]) for task, kinds in metrics.items()}
    remarks = {task: _merged([metric.remarks() for metric in kinds]) for task, kinds in metrics.items()}
    return Evaluation(
        {task: {key: float(value) for key, value in values.items()} for task, values in scores.items()},
        {task: lines for task, lines in remarks.items() if lines},
        {task.name: matrix for task in scored if (matrix := _confusion(task, metrics[task.name])) is not None},
    )


def _confusion(task: Task, metrics: Sequence[Score]) -> Confusion | None:
    """The first confusion matrix that a task's metrics keep, if it has seen a label."""
    matrices = [matrix for metric in metrics if (matrix := metric.confusion_matrix()) is not None]
    if not matrices or not matrices[0].any() or len(matrices[0]) != len(task.classes):
        return None
    return Confusion(list(task.classes), matrices[0].tolist())


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
    require_finite(task, raw[task.name], batch.names)
    prediction = task.decode(raw[task.name].float())
    for metric in metrics:
        metric.update(prediction, batch.targets[task.name], batch.valid[task.name])


def require_finite(task: Task, raw: Tensor, names: Sequence[str] = ()) -> None:
    """Check a raw prediction ``[B, ...]``: decoding would make a class, or a score, of NaN.

    Raises:
        UserError: it holds NaN or infinities; names the task, and the images if there are names.
    """
    finite = raw.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        bad = [name for name, good in zip(names, finite.tolist(), strict=False) if not good]
        images = f" for {', '.join(bad[:4])}{', ...' if len(bad) > 4 else ''}" if bad else ""
        raise UserError(
            f"task {task.name!r}: the network predicts values that are not finite{images}: its weights have diverged; "
            "train it again with a lower lr, or with clip_norm"
        )


def _merged(parts: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Results of a task's metrics in one mapping."""
    merged: dict[str, Value] = {}
    for part in parts:
        for key, value in part.items():
            if key in merged:
                raise TypeError(f"two metrics of one task both give {key!r}: rename one")
            merged[key] = value
    return merged
