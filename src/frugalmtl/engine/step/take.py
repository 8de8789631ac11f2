"""The training step: forward passes, losses, penalties, gradients by the balancer, and the optimiser's update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from frugalmtl.balancing import ForwardPass, RepresentationCut, StepContext
from frugalmtl.core.distributed import average_gradients, process_count
from frugalmtl.core.types import Batch, Predictions
from frugalmtl.engine.step.setup import StepReport, StepSetup


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

    Every batch is for the tasks that it names, that the turn names and that the balancer has chosen; a loss counts as
    the mean over all batches, 0 where it is not wanted. A batch that nothing is wanted from is not run, unless there
    are penalties; a step without any other leaves everything as it is.

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
        DivergenceError: a loss or gradient is not finite, in this step or, where the host runs ahead, in the one
            before; the weights are as they were before it.
    """
    if setup.compiled is not None:
        setup.compiled.begin_step()
    batches = setup.on_device(batches)
    setup.optimizer.zero_grad(set_to_none=True)
    chosen = setup.balancer.choose()
    wanted = [(batch, setup.wanted(batch, chosen)) for batch in batches]
    used = [(batch, tasks) for batch, tasks in wanted if tasks != () or setup.penalties]
    if not used:
        return StepReport()
    context = StepContext(
        setup.model, [batch for batch, _ in used], setup.on_device(validation), setup.losses, setup.optimizer
    )
    setup.balancer.before_step(context)
    report, share = StepReport(), 1.0 / len(batches)
    for index, (batch, tasks) in enumerate(used):
        last = index == len(used) - 1
        _accumulate(setup, batch, tasks, share, report, last=last, measure=measure, mark=mark)
    _finish_means(setup, report, [tasks for _, tasks in used], len(batches))
    _reduce(setup)
    if update:
        _clip(setup, report)
        samples = [name for batch in batches for name in batch.names]
        with setup.check.guarded(_values_to_check(setup, report), step, samples):
            setup.scaled_optimizer.step()
        mark("update")
    setup.balancer.after_step(context)
    return report


def _accumulate(
    setup: StepSetup,
    batch: Batch,
    tasks: tuple[str, ...] | None,
    share: float,
    report: StepReport,
    *,
    last: bool,
    measure: bool,
    mark: Callable[[str], None],
) -> None:
    """Add the gradients of one batch, times its share in the step."""
    fabric, model, balancer = setup.fabric, setup.model, setup.balancer
    cut = balancer.cut() or (RepresentationCut() if measure else None)
    loss_scale = 1.0
    if setup.scaler is not None:
        loss_scale = float(setup.scaler.scale(torch.ones((), device=fabric.device)))
    with fabric.no_backward_sync(setup.wrapped, enabled=not last) if setup.wrapped is not None else nullcontext():
        predictions: Predictions
        if setup.wrapped is not None:
            predictions = setup.wrapped(batch.image, None, tasks)
        else:
            with fabric.autocast(), setup.compiled.active() if setup.compiled is not None else nullcontext():
                predictions = model(batch.image, cut, tasks)
        losses = setup.criterion(predictions, batch, tasks)
        setup.check.settle()  # of the step before: the device has this forward pass to do meanwhile
        penalty = _weighted_penalty(setup, predictions)
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
                wanted=tasks,
                everything=lambda probe: setup.everything(batch, probe),
            )
        )
        mark("backward")
    _add(report.parts, losses.parts, share)
    _add(report.penalties, predictions.penalties, share)
    report.statistics = {name: value.detach().float().mean() for name, value in predictions.statistics.items()}


def _finish_means(setup: StepSetup, report: StepReport, wanted: Sequence[tuple[str, ...] | None], batches: int) -> None:
    """Let the report speak of the tasks with a loss alone, and of the batches in which it was computed."""
    counts = {name: sum(tasks is None or name in tasks for tasks in wanted) for name in setup.criterion.losses}
    if min(counts.values()) == batches:
        return
    for name, value in report.parts.items():
        report.parts[name] = value * (batches / counts[name.split("@")[0]])
    for name in report.penalties:
        report.penalties[name] = report.penalties[name] * (batches / len(wanted))
    report.balance = report.balance.restricted([name for name, count in counts.items() if count])


def _weighted_penalty(setup: StepSetup, predictions: Predictions) -> Tensor | None:
    missing = sorted(setup.penalties.keys() - predictions.penalties.keys())
    if missing:
        raise KeyError(f"stage {setup.stage.name!r} weighs penalties that the model does not give: {missing}")
    terms = [predictions.penalties[name] * weight for name, weight in setup.penalties.items()]
    return torch.stack([term.float() for term in terms]).sum() if terms else None


def _reduce(setup: StepSetup) -> None:
    """Average over the processes what the strategy's wrapper does not."""
    if process_count() == 1:
        return
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


def _values_to_check(setup: StepSetup, report: StepReport) -> dict[str, Tensor]:
    values = {f"the loss {name!r}": value for name, value in report.parts.items()}
    values |= {f"the penalty {name!r}": value for name, value in report.penalties.items()}
    # With loss scaling, gradients may overflow: the scaler then skips the update and lowers its scale.
    if report.gradient_norm is not None and setup.scaler is None:
        values["the norm of the gradient"] = report.gradient_norm
    return values


def _add(sums: dict[str, Tensor], values: dict[str, Tensor], share: float) -> None:
    for name, value in values.items():
        term = value.detach() * share
        sums[name] = sums[name] + term if name in sums else term
