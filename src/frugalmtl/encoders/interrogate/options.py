"""Options of InterroGate: its loss, its budget, and how gates are built and trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError, fraction, known, not_negative, positive

Choice = Literal["learned", "importance", "random", "cost"]
"""Names of what decides which gates close first."""

FROZEN_SHARE = 0.25
"""Of the joint epochs, where gates must be frozen and the config does not say how long."""


@dataclass(frozen=True)
class SparsityOptions:
    """The sparsity loss; the attributes are those of :func:`~frugalmtl.encoders.interrogate.interrogate`.

    Raises:
        UserError: a value out of its range.
    """

    lambda_s: float | None = None
    penalty: Literal["hinge", "l1"] = "hinge"
    weighting: Literal["layers", "macs"] = "layers"
    reduction: Literal["mean", "sum"] = "mean"
    tau: float | dict[str, float] = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.lambda_s is not None:
            not_negative("lambda_s", self.lambda_s)

    def weight(self, *, budget: bool) -> float:
        """Weight of the sparsity loss.

        Args:
            budget: there is a budget, which closes gates without the loss.
        """
        if self.lambda_s is None:
            return 0.0 if budget else 0.05
        return self.lambda_s

    def private_targets(self, tasks: Sequence[str]) -> list[float]:
        """The target tau of every task, from one number for all or one by task.

        Raises:
            UserError: an unknown or missing task, or a number outside [0, 1].
        """
        if not isinstance(self.tau, dict):
            return [fraction("tau", self.tau)] * len(tasks)
        return [fraction(f"tau of {task!r}", value) for task, value in by_task("tau", self.tau, tasks)]


@dataclass(frozen=True)
class SavingOptions:
    """The model's allowed cost; the attributes are those of :func:`~frugalmtl.encoders.interrogate.interrogate`.

    Raises:
        UserError: a value out of its range.
    """

    budget: str | float | None = None
    ramp: float = 0.5
    multiple: int | Literal["auto"] = 1
    price: Literal["macs", "time"] = "macs"
    layer_times: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        fraction("ramp", self.ramp)
        if self.multiple != "auto":
            positive("multiple", self.multiple)
        if self.price == "time" and self.budget is None:
            raise UserError("price: time says which gates a budget closes first: give one, e.g. budget: 0.6x")
        if self.layer_times is not None and not self.on_a_machine:
            raise UserError("layer_times is read for price: time and multiple: auto alone: leave it out, or choose one")
        if self.budget is not None:
            self.target()

    @property
    def on_a_machine(self) -> bool:
        """Whether widths or prices depend on the machine, so that what came of them is kept with the weights."""
        return self.price == "time" or self.multiple == "auto"

    @property
    def settles(self) -> bool:
        """Whether something is met exactly once gates are frozen: a budget, or widths."""
        return self.budget is not None or self.multiple != 1

    def text(self) -> str | None:
        """The budget as text; a bare number is a share."""
        return f"{self.budget:g}x" if isinstance(self.budget, int | float) else self.budget

    def target(self) -> Budget | None:
        """The budget, read."""
        text = self.text()
        return None if text is None else Budget.parse(text)


@dataclass(frozen=True)
class GateOptions:
    """How gates are built; the attributes are those of :func:`~frugalmtl.encoders.interrogate.interrogate`.

    Raises:
        UserError: a value out of its range.
    """

    gates: Choice = "learned"
    attention: Literal["channels", "heads"] = "channels"
    projection: bool = False
    tie: Literal["none", "residual"] = "none"
    initial: float = 0.01
    gate_weights: dict[str, float] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        positive("initial", self.initial)
        if self.gate_weights is not None and self.gates != "importance":
            raise UserError(
                f"gate_weights weigh importances, but gates are {self.gates!r}: take gates: importance, or no weights"
            )

    def importance_weights(self, tasks: Sequence[str]) -> list[float] | None:
        """What the importances of every task count; None where gates follow no importance.

        Raises:
            UserError: an unknown or missing task, or a weight that is not positive.
        """
        if self.gates != "importance":
            return None
        weights = dict.fromkeys(tasks, 1.0) if self.gate_weights is None else self.gate_weights
        return [positive(f"gate_weights of {task!r}", value) for task, value in by_task("gate_weights", weights, tasks)]


@dataclass(frozen=True)
class GateTraining:
    """How gates are trained; the attributes are those of :func:`~frugalmtl.encoders.interrogate.interrogate`.

    Raises:
        UserError: a value out of its range.
    """

    gate_lr: float = 0.1
    gate_every: int = 1
    price_every: int = 10
    pretrain_share: float = 0.5
    shared_share: float = 0.0
    frozen_share: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        positive("gate_lr", self.gate_lr)
        positive("gate_every", self.gate_every)
        positive("price_every", self.price_every)
        if fraction("pretrain_share", self.pretrain_share) == 1.0:
            raise UserError("pretrain_share must be below 1: some epochs must train the gates; or choose single_task")
        if fraction("shared_share", self.shared_share) + self.pretrain_share > 1.0:
            raise UserError(
                f"pretrain_share {self.pretrain_share} and shared_share {self.shared_share} are shares of all epochs: "
                "together they must be 1 or less"
            )
        if fraction("frozen_share", self.frozen_share or 0.0) == 1.0:
            raise UserError("frozen_share must be below 1: some epochs must train the gates")

    def frozen(self, saving: SavingOptions) -> float:
        """``frozen_share``; where it is not stated, what is to be met decides whether any epochs have frozen gates."""
        default = FROZEN_SHARE if saving.settles else 0.0
        return default if self.frozen_share is None else self.frozen_share


def check_together(penalty: SparsityOptions, budget: SavingOptions, gates: GateOptions, training: GateTraining) -> None:
    """Check what they say together.

    Raises:
        UserError: gates that follow no sparsity loss, and no budget, or a weight of that loss; or widths or a cost are
            to be met, and there are no epochs with frozen gates to meet them in.
    """
    if gates.gates != "learned" and budget.budget is None:
        raise UserError(f"with gates: {gates.gates} a budget says how many close: give one, e.g. budget: 0.6x")
    if gates.gates != "learned" and penalty.lambda_s:
        raise UserError(
            f"with gates: {gates.gates} the sparsity loss moves nothing: leave out lambda_s, or learn gates"
        )
    if gates.gates == "random" and budget.price == "time":
        raise UserError("gates: random close whatever they cost: take price: macs, or other gates")
    if budget.settles and training.frozen(budget) == 0.0:
        raise UserError(
            "a budget, or widths that are multiples, needs epochs with frozen gates: leave out frozen_share: 0"
        )


def by_task(what: str, values: Mapping[str, float], tasks: Sequence[str]) -> list[tuple[str, float]]:
    """Values of all tasks, in order.

    Raises:
        UserError: an unknown or missing task.
    """
    for task in values:
        known(f"task in {what}:", task, tasks)
    if missing := [task for task in tasks if task not in values]:
        raise UserError(f"{what} lacks {', '.join(missing)}: give one number per task")
    return [(task, values[task]) for task in tasks]
