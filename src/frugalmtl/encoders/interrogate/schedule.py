"""Schedule of gates: when they learn, and when they are frozen."""

from __future__ import annotations

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup, Stage, settled_from
from frugalmtl.encoders.interrogate.options import GateTraining

SINGLE_TASK, SHARED, JOINT = "single_task", "shared", "joint"
"""Stages: the task branches train alone, the shared branch does, all train in step."""


class GateSchedule:
    """Whether the branches run in step and gates learn, by stage, epoch and step.

    Args:
        options: how gates are trained.
        trained: gates move by their gradients.
        frozen_share: share of the joint epochs, at their end, with frozen gates.

    Attributes:
        stage: the present stage; before the first one, the joint one.
        frozen: gates move no more.
        learning: gates learn in this step.
        pricing: the price is set before this step.
        learning_share: share of the joint stage in which gates learn.
        step: number of the step that was entered last; None where it must be read from the model.
    """

    def __init__(self, options: GateTraining, *, trained: bool, frozen_share: float) -> None:
        self.options, self.trained, self.frozen_share = options, trained, frozen_share
        self.stage, self.frozen, self.learning = JOINT, False, True
        self.pricing, self.learning_share = True, 1.0
        self.step: int | None = None

    @property
    def joint(self) -> bool:
        """Whether all branches run in step, with gates between them; else some of them train alone."""
        return self.stage == JOINT

    def recipe(self, penalty: float) -> tuple[Stage, ...]:
        """Single-task networks, the shared branch, then all together; gates with SGD of their own.

        Args:
            penalty: weight of the sparsity loss.
        """
        sgd = {"name": "sgd", "lr": self.options.gate_lr, "momentum": 0.0, "weight_decay": 0.0}
        pretrain, shared = self.options.pretrain_share, self.options.shared_share
        joint = Stage(
            JOINT,
            round(1.0 - pretrain - shared, 12),  # 0.7 and 0.3 leave nothing, and not 5e-17
            groups=(ParameterGroup("encoder.gates.*", optimizer=sgd, weight_decay=0.0, scheduled=False),),
            penalties={"sparsity": penalty} if penalty > 0 else {},
            frozen=() if self.trained else ("encoder.gates.alpha",),
            settled=self.frozen_share,
        )
        between = ("encoder.gates.*", "encoder.projections.*")
        stages = (
            Stage(SINGLE_TASK, pretrain, frozen=(*between, "encoder.shared.*")),
            Stage(SHARED, shared, frozen=(*between, "encoder.networks.*", "decoder.*")),
            joint,
        )
        return tuple(stage for stage in stages if stage.share > 0)

    def check_stage(self, stage: str, epochs: int) -> None:
        """Check that gates have an epoch to learn in before they are frozen.

        Raises:
            UserError: they have none.
        """
        share = self.frozen_share
        if stage == JOINT and share > 0 and settled_from(share, epochs) < 1:
            raise UserError(
                f"the stage {JOINT!r} has {epochs} epochs, and frozen_share {share} leaves none for gates to "
                "learn: train longer, or lower pretrain_share or frozen_share"
            )

    def enter_stage(self, stage: str) -> None:
        """At the beginning of the joint stage gates learn."""
        self.stage, self.frozen, self.learning = stage, False, True

    def enter_epoch(self, epoch: int, epochs: int) -> bool:
        """Whether this epoch of the joint stage is the first one with frozen gates."""
        first = settled_from(self.frozen_share, epochs)
        self.frozen, self.learning_share = epoch >= first, first / epochs
        self.learning = not self.frozen
        return epoch == first

    def enter_step(self, steps: Tensor) -> None:
        """Gates learn in every ``gate_every``-th step, and of every ``price_every`` steps the first of these sets the
        price.

        Args:
            steps: number of steps before this one. It is read once; then the host counts on, since it would wait for
                the device to read it.
        """
        step = self.step = int(steps) if self.step is None else self.step + 1
        self.learning = not self.frozen and step % self.options.gate_every == 0
        self.pricing = self.learning and step % self.options.price_every < self.options.gate_every

    def gradient_factor(self, *, training: bool) -> int:
        """By how much the gradient of the gates counts in this step."""
        return self.options.gate_every if training and self.learning else 0

    def progress(self, share: float, ramp: float) -> float:
        """How far the cost is on its way to the budget, in [0, 1].

        Args:
            share: of the stage that is done.
            ramp: share of the learning epochs over which the budget is approached.
        """
        return min(1.0, share / self.learning_share / ramp) if ramp > 0 else 1.0
