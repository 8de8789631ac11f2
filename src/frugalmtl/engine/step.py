"""The training step: forward passes, losses, penalties, gradients by the balancer, and the optimiser's update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from frugalmtl.balancing import Balancer, BalancerReport, ForwardPass, RepresentationCut, StepContext
from frugalmtl.core.checks import UserError
from frugalmtl.core.distributed import average_gradients, process_count
from frugalmtl.core.recipe import Stage
from frugalmtl.core.types import Batch, Predictions
from frugalmtl.engine.parameter_groups import build_optimizer
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stage import still_statistics
from frugalmtl.losses import Criterion
from frugalmtl.model import MultiTaskModel


@dataclass
class StepReport:
    """Results of one step for the log; scalars on the device, means over the step's batches.

    Attributes:
        parts: the unweighted losses, those of auxiliary predictions apart.
        penalties: the model's penalties, unweighted.
        balance: weights and, where gradients were compared, their norms and cosines.
        statistics: mean of each of the model's statistics (of the last batch).
        gradient_norm: of all parameters before clipping; None under loss scaling without clipping, or without update.
    """

    parts: dict[str, Tensor] = field(default_factory=dict)
    penalties: dict[str, Tensor] = field(default_factory=dict)
    balance: BalancerReport = field(default_factory=BalancerReport)
    statistics: dict[str, Tensor] = field(default_factory=dict)
    gradient_norm: Tensor | None = None


class StepSetup:
    """The objects that all steps of one stage share.

    Balancers that make one loss run under the strategy's wrapper (DistributedDataParallel overlaps the reduction with
    the backward pass). Balancers that take gradients themselves cannot, nor can trainings in which gradients are
    measured, since the wrapper counts which parameters each step uses: there the finished gradients are averaged over
    the processes.

    Args:
        fabric: device, precision, strategy.
        model: on its device, frozen as the stage wants it.
        balancer: on the same device.
        stage: its penalties count.
        settings: clipping, layout of the images, and whether gradients will be measured.
        optimizer: of the stage; made from the settings if not given.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: MultiTaskModel,
        balancer: Balancer,
        stage: Stage,
        settings: TrainSettings,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.fabric, self.model, self.balancer, self.stage, self.settings = fabric, model, balancer, stage, settings
        self.criterion = Criterion(model.tasks)
        self.optimizer = optimizer or build_optimizer(model, balancer, stage, settings)
        self.scaler: torch.amp.GradScaler | None = getattr(fabric.strategy.precision, "scaler", None)
        # Takes the step through the strategy and the loss scaler; one optimiser in, one out.
        self.scaled_optimizer = cast(torch.optim.Optimizer, fabric.setup_optimizers(self.optimizer))
        wrap = process_count() > 1 and not balancer.explicit_reduction and not settings.interference_every
        self.wrapped = fabric.setup_module(model) if wrap else None

    def on_device(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches on the device of the model, images in the layout of the settings."""
        moved = [batch.to(self.fabric.device, non_blocking=True) for batch in batches]
        for batch in moved:
            batch.image = batch.image.contiguous(memory_format=self.settings.memory_format)
        return moved

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Unweighted losses ``{task: scalar}`` of one more forward pass, which leaves running statistics alone."""
        with self.fabric.autocast(), still_statistics(self.model):
            predictions = self.model(batch.image)
            return self.criterion(predictions, batch).by_task


def take_step(
    setup: StepSetup,
    batches: Sequence[Batch],
    *,
    step: int = 0,
    validation: Sequence[Batch] = (),
    measure: bool = False,
    update: bool = True,
    mark: Callable[[str], None] = lambda _: None,
) -> StepReport:
    """Take one optimiser step: forward and backward over all batches, then one update.

    Training, dry run, step timing and the benchmarks all call this function.

    Args:
        setup: model, balancer, optimiser and whatever else the steps of a stage share.
        batches: the batches that are accumulated, on any device.
        step: optimiser steps before this one, for messages.
        validation: as many batches of the second stream, for balancers that look at one.
        measure: compare the tasks' gradients, whatever the balancer.
        update: clip and check the gradients and move the parameters; else the finished gradients are left in ``.grad``.
        mark: called with ``"forward"``, ``"backward"`` and ``"update"`` after each of these parts, the first two once
            per batch.

    Raises:
        UserError: a loss or gradient is not finite; the weights are as before.
    """
    batches = setup.on_device(batches)
    context = StepContext(setup.model, batches, setup.on_device(validation), setup.losses, setup.optimizer)
    setup.optimizer.zero_grad(set_to_none=True)
    setup.balancer.before_step(context)
    chosen = setup.balancer.choose()
    report = StepReport()
    for number, batch in enumerate(batches, start=1):
        last = number == len(batches)
        _accumulate(setup, batch, len(batches), report, chosen, last=last, measure=measure, mark=mark)
    _reduce(setup)
    if update:
        _clip(setup, report)
        _check_finite(setup, report, step, [name for batch in batches for name in batch.names])
        setup.scaled_optimizer.step()
        mark("update")
    setup.balancer.after_step(context)
    return report


def _accumulate(
    setup: StepSetup,
    batch: Batch,
    count: int,
    report: StepReport,
    chosen: tuple[str, ...] | None,
    *,
    last: bool,
    measure: bool,
    mark: Callable[[str], None],
) -> None:
    """Add the gradients of one of ``count`` batches."""
    fabric, model, balancer = setup.fabric, setup.model, setup.balancer
    cut = balancer.cut() or (RepresentationCut() if measure else None)
    share = 1.0 / count
    loss_scale = 1.0
    if setup.scaler is not None:
        loss_scale = float(setup.scaler.scale(torch.ones((), device=fabric.device)))
    with fabric.no_backward_sync(setup.wrapped, enabled=not last) if setup.wrapped is not None else nullcontext():
        predictions: Predictions
        if setup.wrapped is not None:
            predictions = setup.wrapped(batch.image, None, chosen)
        else:
            with fabric.autocast():
                predictions = model(batch.image, cut, chosen)
        losses = setup.criterion(predictions, batch, chosen)
        penalty = _weighted_penalty(setup.stage, predictions)
        mark("forward")
        report.balance = balancer.backward(
            ForwardPass(
                model,
                losses.by_task,
                penalty,
                cut,
                backward=lambda loss: fabric.backward(loss * share),
                scale=loss_scale * share,
                loss_scale=loss_scale,
                last=last,
                measure=measure,
            )
        )
        mark("backward")
    _add(report.parts, losses.parts, share)
    _add(report.penalties, predictions.penalties, share)
    report.statistics = {name: value.detach().float().mean() for name, value in predictions.statistics.items()}


def _weighted_penalty(stage: Stage, predictions: Predictions) -> Tensor | None:
    missing = sorted(stage.penalties.keys() - predictions.penalties.keys())
    if missing:
        raise KeyError(f"stage {stage.name!r} weighs penalties that the model does not give: {missing}")
    terms = [predictions.penalties[name] * weight for name, weight in stage.penalties.items()]
    return torch.stack([term.float() for term in terms]).sum() if terms else None


def _reduce(setup: StepSetup) -> None:
    """Average over the processes what the strategy's wrapper does not."""
    if setup.wrapped is None:
        average_gradients([p for p in setup.model.parameters() if p.requires_grad])
    average_gradients([p for p in setup.balancer.parameters() if p.requires_grad])


def _clip(setup: StepSetup, report: StepReport) -> None:
    """Clip the gradients if the settings ask for it, and note their norm."""
    if setup.settings.clip_norm is not None:
        report.gradient_norm = setup.fabric.clip_gradients(
            setup.model, setup.optimizer, max_norm=setup.settings.clip_norm, error_if_nonfinite=False
        )
    elif setup.scaler is None:
        parameters = (p for group in setup.optimizer.param_groups for p in group["params"])
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        report.gradient_norm = torch.nn.utils.get_total_norm(gradients)


def _check_finite(setup: StepSetup, report: StepReport, step: int, samples: Sequence[str]) -> None:
    values = {f"the loss {name!r}": value for name, value in report.parts.items()}
    values |= {f"the penalty {name!r}": value for name, value in report.penalties.items()}
    # With loss scaling, gradients may overflow: the scaler then skips the update and lowers its scale.
    if report.gradient_norm is not None and setup.scaler is None:
        values["the norm of the gradient"] = report.gradient_norm
    require_finite(values, step, samples)


def require_finite(values: Mapping[str, Tensor], step: int, samples: Sequence[str]) -> None:
    """Check scalars of one optimiser step; one synchronisation with the device.

    Args:
        values: ``{name in messages: scalar}``, e.g. the loss of each task and the norm of the gradient.
        step: optimiser steps before this one, of the whole run.
        samples: names of the samples in the step.

    Raises:
        UserError: one of them is infinite or not a number; names it, the step and the samples.
    """
    if not values:
        return
    numbers = torch.stack([value.detach().float() for value in values.values()])
    if bool(numbers.isfinite().all()):
        return
    pairs = zip(values, numbers.tolist(), strict=True)
    bad = [f"{name} is {number}" for name, number in pairs if not math.isfinite(number)]
    shown = ", ".join(samples[:8]) + (f" and {len(samples) - 8} more" if len(samples) > 8 else "")
    raise UserError(
        f"training stopped at step {step}: {'; '.join(bad)} (samples: {shown or 'unnamed'}). The weights and the last "
        "checkpoint are untouched: check these samples, lower lr, or set clip_norm"
    )


def _add(sums: dict[str, Tensor], values: dict[str, Tensor], share: float) -> None:
    for name, value in values.items():
        term = value.detach() * share
        sums[name] = sums[name] + term if name in sums else term
