"""One optimiser step: batches in, weights moved."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from frugalmtl.balancing import Balancer, BalancerReport, ForwardPass, RepresentationCut, StepContext
from frugalmtl.core.distributed import average_gradients, process_count
from frugalmtl.core.recipe import Stage
from frugalmtl.core.types import Batch, Predictions
from frugalmtl.engine.guards import require_finite
from frugalmtl.engine.lookahead import affinities
from frugalmtl.engine.regime import still_statistics
from frugalmtl.losses import Criterion
from frugalmtl.model import MultiTaskModel


@dataclass
class StepReport:
    """What one step tells the log; scalars on the device, means over the step's batches.

    Attributes:
        parts: the unweighted losses, those of auxiliary predictions apart.
        penalties: the model's penalties, unweighted.
        balance: what the balancer did.
        statistics: mean of each of the model's statistics (of the last batch).
        gradient_norm: of all parameters before clipping; None under loss scaling without clipping.
    """

    parts: dict[str, Tensor] = field(default_factory=dict)
    penalties: dict[str, Tensor] = field(default_factory=dict)
    balance: BalancerReport = field(default_factory=BalancerReport)
    statistics: dict[str, Tensor] = field(default_factory=dict)
    gradient_norm: Tensor | None = None


class Stepper:
    """Takes the steps of one stage.

    Balancers that make one loss run under the strategy's wrapper (DistributedDataParallel overlaps the reduction with
    the backward pass). Balancers that take gradients themselves cannot, nor can trainings in which gradients are
    measured: there the finished gradients are averaged over the processes.

    Args:
        fabric: device, precision, strategy.
        model: on its device, frozen as the stage wants it.
        balancer: on the same device.
        criterion: losses of the tasks.
        optimizer: of the stage.
        stage: its penalties count.
        clip_norm: largest norm of the gradient, or None.
        memory_format: layout of the images.
        measures: whether gradients will be measured in some steps: the wrapper counts which parameters each step uses,
            and a step past it would confuse that count.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: MultiTaskModel,
        balancer: Balancer,
        criterion: Criterion,
        optimizer: torch.optim.Optimizer,
        stage: Stage,
        clip_norm: float | None,
        memory_format: torch.memory_format = torch.contiguous_format,
        *,
        measures: bool = False,
    ) -> None:
        self.fabric, self.model, self.balancer, self.criterion = fabric, model, balancer, criterion
        self.stage, self.clip_norm, self.memory_format = stage, clip_norm, memory_format
        self.scaler: torch.amp.GradScaler | None = getattr(fabric.strategy.precision, "scaler", None)
        # Takes the step through the strategy and the loss scaler; one optimiser in, one out.
        self.optimizer = cast(torch.optim.Optimizer, fabric.setup_optimizers(optimizer))
        self.raw_optimizer = optimizer
        wrap = process_count() > 1 and not balancer.explicit_reduction and not measures
        self.wrapped = fabric.setup_module(model) if wrap else None

    def __call__(
        self, batches: Sequence[Batch], step: int, *, validation: Sequence[Batch] = (), measure: bool = False
    ) -> StepReport:
        """Forward and backward over all batches, then one update.

        Args:
            batches: the batches that are accumulated, on any device.
            step: optimiser steps before this one, for messages.
            validation: as many batches of the second stream, for balancers that look at one.
            measure: compare the tasks' gradients, whatever the balancer.

        Raises:
            UserError: a loss or gradient is not finite; the weights are as before.
        """
        batches = [self._placed(batch) for batch in batches]
        context = StepContext(
            self.model, batches, [self._placed(batch) for batch in validation], self._losses, self.raw_optimizer
        )
        self.raw_optimizer.zero_grad(set_to_none=True)
        self.balancer.before_step(context)
        chosen = self.balancer.choose()
        report = StepReport()
        for index, batch in enumerate(batches):
            self._one_batch(batch, len(batches), report, chosen, last=index == len(batches) - 1, measure=measure)
        self._reduce()
        self._clip(report)
        self._guard(report, step, [name for batch in batches for name in batch.names])
        self.optimizer.step()
        self.balancer.after_step(context)
        return report

    def lookahead(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Inter-task affinity now, on these batches; nothing moves."""
        return affinities(self.model, self._losses, [self._placed(batch) for batch in batches])

    def _placed(self, batch: Batch) -> Batch:
        batch = batch.to(self.fabric.device, non_blocking=True)
        batch.image = batch.image.contiguous(memory_format=self.memory_format)
        return batch

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of one more forward pass."""
        with self.fabric.autocast():
            return more_losses(self.model, self.criterion, batch)

    def _one_batch(
        self,
        batch: Batch,
        count: int,
        report: StepReport,
        chosen: tuple[str, ...] | None,
        *,
        last: bool,
        measure: bool,
    ) -> None:
        cut = self.balancer.cut() or (RepresentationCut() if measure else None)
        share = 1.0 / count
        loss_scale = 1.0
        if self.scaler is not None:
            loss_scale = float(self.scaler.scale(torch.ones((), device=self.fabric.device)))
        waiting = self.fabric.no_backward_sync(self.wrapped, enabled=not last) if self.wrapped else nullcontext()
        with waiting:
            predictions: Predictions
            if self.wrapped is not None:
                predictions = self.wrapped(batch.image, None, chosen)
            else:
                with self.fabric.autocast():
                    predictions = self.model(batch.image, cut, chosen)
            losses = self.criterion(predictions, batch, chosen)
            penalty = self._penalty(predictions)
            report.balance = self.balancer.backward(
                ForwardPass(
                    self.model,
                    losses.by_task,
                    penalty,
                    cut,
                    backward=lambda loss: self.fabric.backward(loss * share),
                    scale=loss_scale * share,
                    loss_scale=loss_scale,
                    last=last,
                    measure=measure,
                )
            )
        _add(report.parts, losses.parts, share)
        _add(report.penalties, predictions.penalties, share)
        report.statistics = {name: value.detach().float().mean() for name, value in predictions.statistics.items()}

    def _penalty(self, predictions: Predictions) -> Tensor | None:
        missing = sorted(self.stage.penalties.keys() - predictions.penalties.keys())
        if missing:
            raise KeyError(f"stage {self.stage.name!r} weighs penalties that the model does not give: {missing}")
        terms = [predictions.penalties[name] * weight for name, weight in self.stage.penalties.items()]
        return torch.stack([term.float() for term in terms]).sum() if terms else None

    def _reduce(self) -> None:
        if self.wrapped is None:
            average_gradients([p for p in self.model.parameters() if p.requires_grad])
        average_gradients([p for p in self.balancer.parameters() if p.requires_grad])

    def _clip(self, report: StepReport) -> None:
        if self.clip_norm is not None:
            report.gradient_norm = self.fabric.clip_gradients(
                self.model, self.raw_optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
            )
        elif self.scaler is None:
            parameters = (p for group in self.raw_optimizer.param_groups for p in group["params"])
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            report.gradient_norm = torch.nn.utils.get_total_norm(gradients)

    def _guard(self, report: StepReport, step: int, samples: Sequence[str]) -> None:
        values = {f"the loss {name!r}": value for name, value in report.parts.items()}
        values |= {f"the penalty {name!r}": value for name, value in report.penalties.items()}
        # With loss scaling, gradients may overflow: the scaler then skips the update and lowers its scale.
        if report.gradient_norm is not None and self.scaler is None:
            values["the norm of the gradient"] = report.gradient_norm
        require_finite(values, step, samples)


def more_losses(model: MultiTaskModel, criterion: Criterion, batch: Batch) -> dict[str, Tensor]:
    """Unweighted losses ``{task: scalar}`` of one more forward pass, which leaves running statistics alone."""
    with still_statistics(model):
        predictions = model(batch.image)
    return criterion(predictions, batch).by_task


def _add(sums: dict[str, Tensor], values: dict[str, Tensor], share: float) -> None:
    for name, value in values.items():
        term = value.detach() * share
        sums[name] = sums[name] + term if name in sums else term
