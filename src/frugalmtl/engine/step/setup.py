"""Objects that the training steps of a stage share, and what a step reports."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from frugalmtl.balancing import Balancer, BalancerReport
from frugalmtl.core.distributed import process_count
from frugalmtl.core.recipe import Stage
from frugalmtl.core.rng import RngState
from frugalmtl.core.types import Batch, Predictions
from frugalmtl.engine.parameter_groups import build_optimizer
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stages.modes import still_statistics
from frugalmtl.engine.stages.timetable import turns_of
from frugalmtl.engine.step.compilation import CompiledParts
from frugalmtl.engine.step.finite import FiniteCheck
from frugalmtl.engine.step.transfer import transferred
from frugalmtl.engine.step.wanted import wanted_tasks
from frugalmtl.losses import Criterion
from frugalmtl.model import Cut, MultiTaskModel


@dataclass
class StepReport:
    """Results of one step for the log; scalars on the device, means over the step's batches.

    Attributes:
        parts: the unweighted losses, those of auxiliary predictions apart; of the batches in which they were computed.
        penalties: the model's penalties, unweighted.
        balance: weights and, where gradients were compared, their norms and cosines; of the tasks with a loss.
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
        stage: its penalties count, unless those of the turn do.
        settings: clipping, layout of the images, and whether gradients will be measured.
        optimizer: of the stage; made from the settings if not given.
        backend: of ``torch.compile``, if the settings ask for it.
        run_ahead: let the host go on before it knows whether the numbers of a step are finite, where the device can
            skip the update by itself; the caller then calls ``check.settle()`` before it uses what a step gave.

    Attributes:
        turn: of the stage, that the next step belongs to; the first at the beginning.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: MultiTaskModel,
        balancer: Balancer,
        stage: Stage,
        settings: TrainSettings,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        backend: str = "inductor",
        run_ahead: bool = False,
    ) -> None:
        self.fabric, self.model, self.balancer, self.stage, self.settings = fabric, model, balancer, stage, settings
        self.turn = turns_of(stage)[0]
        self.criterion = Criterion(model.tasks)
        self.optimizer = optimizer or build_optimizer(model, balancer, stage, settings)
        self.scaler: torch.amp.GradScaler | None = getattr(fabric.strategy.precision, "scaler", None)
        late = run_ahead and fabric.device.type == "cuda" and self.scaler is None and not balancer.follows_steps
        self.check = FiniteCheck(self.optimizer, late=late)
        # Takes the step through the strategy and the loss scaler; one optimiser in, one out.
        self.scaled_optimizer = cast(torch.optim.Optimizer, fabric.setup_optimizers(self.optimizer))
        wrap = process_count() > 1 and not balancer.explicit_reduction and not settings.interference_every
        self.wrapped = fabric.setup_module(model) if wrap else None
        self.compiled: CompiledParts | None = None
        if settings.compile is not False and self.wrapped is None:
            self.compiled = CompiledParts(model, balancer, settings.compile, backend=backend)

    @property
    def penalties(self) -> Mapping[str, float]:
        """``{name: weight}`` of the model's penalties that are added to the loss in this turn."""
        return self.stage.penalties if self.turn.penalties is None else self.turn.penalties

    def on_device(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches on the device of the model, images in the layout of the settings."""
        moved = [batch.to(self.fabric.device, non_blocking=True) for batch in batches]
        for batch in moved:
            batch.image = batch.image.contiguous(memory_format=self.settings.memory_format)
        return moved

    def upcoming(self, groups: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
        """The batches of every step, on a GPU copied to it during the step before."""
        return transferred(groups, self.on_device, self.fabric.device)

    def wanted(self, batch: Batch, chosen: Collection[str] | None = None) -> tuple[str, ...] | None:
        """The tasks to learn from a batch, see :func:`~frugalmtl.engine.step.wanted.wanted_tasks`."""
        return wanted_tasks([*self.criterion.losses], batch.tasks, self.turn.tasks, chosen)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Unweighted losses ``{task: scalar}`` of one more forward pass, which leaves running statistics alone."""
        wanted = self.wanted(batch)
        with self.fabric.autocast(), still_statistics(self.model):
            predictions = self.model(batch.image, None, wanted)
            return self.criterion(predictions, batch, wanted).by_task

    def everything(self, batch: Batch, cut: Cut) -> dict[str, list[Tensor]]:
        """Predictions of all tasks, see :attr:`~frugalmtl.balancing.ForwardPass.everything`."""
        with self.fabric.autocast(), still_statistics(self.model), RngState(batch.image.device).restored():
            predictions: Predictions = self.model(batch.image, cut)
        return {name: predictions.outputs_of(name) for name in self.criterion.losses}
