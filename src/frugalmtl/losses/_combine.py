"""Losses of a batch: one unweighted scalar per task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from frugalmtl.core.registry import Registry, Spec, SpecLike
from frugalmtl.core.types import Auxiliary, Batch, Predictions
from frugalmtl.losses._masking import full_precision
from frugalmtl.tasks import Task

LOSSES = Registry("frugalmtl.losses", "loss")

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class TaskLosses:
    """The losses of one batch, before any weighting.

    Attributes:
        by_task: ``{task: scalar}``: the final loss plus the losses of all auxiliary outputs of that task, each times
            its own weight, so that deep supervision carries the task's weight too (PAD-Net: ``sum_k w_k L(initial_k) +
            sum_k w_k L(final_k)``). That of a task that is not wanted is 0 and has no graph.
        parts: the summands apart, ``{"task": scalar, "task@auxiliary name": scalar}``, detached, for logs; of the
            wanted tasks alone.
    """

    by_task: dict[str, Tensor]
    parts: dict[str, Tensor] = field(default_factory=dict)


def totals_by_task(parts: Mapping[str, float]) -> dict[str, float]:
    """Sums of :attr:`TaskLosses.parts` (or of their means) task by task: what :attr:`TaskLosses.by_task` holds.

    >>> totals_by_task({"near": 1.0, "near@initial": 0.5, "far": 2.0})
    {'near': 1.5, 'far': 2.0}
    """
    totals: dict[str, float] = {}
    for name, value in parts.items():
        task = name.split("@")[0]
        totals[task] = totals.get(task, 0.0) + value
    return totals


class Criterion:
    """The losses of a list of tasks, read from :attr:`Task.loss` once.

    Raises:
        UserError: a task names no known loss, or gives it arguments that do not fit.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.losses: dict[str, Loss] = {}
        self.auxiliary: dict[str, tuple[SpecLike, Loss]] = {}
        for task in tasks:
            loss = _loss_of(LOSSES.check(task.loss))
            self.losses[task.name] = loss if task.activate is None else _activated(task.activate, loss)

    def __call__(self, predictions: Predictions, batch: Batch, tasks: Collection[str] | None = None) -> TaskLosses:
        """Predictions and labels of one batch -> losses of all tasks, in their order.

        Args:
            predictions: of the wanted tasks.
            batch: its labels.
            tasks: names of the wanted tasks; None for all.
        """
        zero = batch.image.new_zeros((), dtype=torch.promote_types(batch.image.dtype, torch.float32))
        result = TaskLosses(dict.fromkeys(self.losses, zero))
        for name, loss in self.losses.items():
            if tasks is not None and name not in tasks:
                continue
            target, valid = batch.targets[name], batch.valid[name]
            values = {name: loss(predictions.by_task[name], target, valid)} if name in predictions.by_task else {}
            for key, auxiliary in predictions.auxiliary.items():
                if name in auxiliary.by_task:
                    value = self._replaced(loss, key, auxiliary)(auxiliary.by_task[name], target, valid)
                    values[f"{name}@{key}"] = value if auxiliary.weight == 1.0 else auxiliary.weight * value
            if not values:
                raise KeyError(f"the model predicts nothing for the task {name!r}")
            result.by_task[name] = sum(values.values(), start=next(iter(values.values())).new_zeros(()))
            result.parts |= {key: value.detach() for key, value in values.items()}
        return result

    def _replaced(self, loss: Loss, key: str, auxiliary: Auxiliary) -> Loss:
        """The loss of auxiliary outputs: the task's, or one that is read from its section once."""
        if auxiliary.loss is None:
            return loss
        section, known = self.auxiliary.get(key, (None, loss))
        if section != auxiliary.loss:
            known = _loss_of(LOSSES.check(auxiliary.loss, what=f"loss of the auxiliary outputs {key!r}"))
            self.auxiliary[key] = (auxiliary.loss, known)
        return known


def _loss_of(spec: Spec) -> Loss:
    return partial(LOSSES.get(spec.name), **spec.args)


def _activated(activate: Callable[[Tensor], Tensor], loss: Loss) -> Loss:
    """A loss of activated predictions, in full precision before the activation."""

    def of_raw(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        return loss(activate(full_precision(raw)), target, valid)

    return of_raw


def is_of_classes(section: SpecLike | Spec) -> bool:
    """Whether a loss is a cross-entropy rather than a distance; a section as :attr:`Task.loss` has it."""
    return bool(getattr(LOSSES.get(Spec.of(LOSSES.what, section).name), "of_classes", False))


def task_losses(predictions: Predictions, batch: Batch, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """Unweighted loss of every task; for more than one batch keep a :class:`Criterion`."""
    return Criterion(tasks)(predictions, batch).by_task
