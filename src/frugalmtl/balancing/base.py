"""Balancers: the base class, what a step hands to them, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from frugalmtl.balancing._transfers import Pending
from frugalmtl.core.checks import UserError, known, not_negative
from frugalmtl.core.recipe import ParameterGroup
from frugalmtl.core.types import Batch, Scores
from frugalmtl.model import Cut
from frugalmtl.tasks import Task

Weights = dict[str, float] | Literal["uniform"] | None
"""Fixed weights per task; ``"uniform"`` is 1 for all; ``None`` (and a task that is not named) takes
:attr:`Task.weight`."""

Scale = Literal["sum", "mean", "free"]
"""What the weights of T tasks add up to: T (learning rates as for a plain sum of losses), 1, or nothing fixed."""

Normalise = Literal["sum", "mean"] | None
"""Rescale the weights of every step so that they (their absolute values, where a method has negative ones) add up to T
(``"sum"``) or 1 (``"mean"``); ``None`` leaves them."""


@dataclass
class ForwardPass:
    """One forward pass, ready to go back.

    Attributes:
        model: the model itself (not a wrapper), whose trainable parameters get gradients.
        losses: unweighted losses ``{task: scalar}``; 0 without a graph for a task that is not wanted.
        penalty: weighted sum of the model's penalties, or None.
        cut: what :meth:`Balancer.cut` gave for this pass.
        backward: like ``loss.backward()``, with the loss scale of mixed precision and whatever else the engine adds; it
            multiplies by ``scale`` itself.
        scale: factor on every gradient: the loss scale of mixed precision divided by the accumulated batches.
        loss_scale: the first of these two factors.
        last: whether this is the last batch of the optimiser step.
        measure: whether gradient norms and cosines are wanted, also from a balancer that does not need them.
        wanted: names of the tasks whose losses were computed; None for all.
        everything: ``{task: predictions}`` of all tasks for the same images, by another forward pass with the cut that
            it is given, which leaves running statistics and random generators alone: what the tasks share is a fact of
            the encoder, and not of the tasks that a batch happens to be for. None where it is not available.
    """

    model: nn.Module
    losses: dict[str, Tensor]
    penalty: Tensor | None
    cut: Cut | None
    backward: Callable[[Tensor], None]
    scale: float = 1.0
    loss_scale: float = 1.0
    last: bool = True
    measure: bool = False
    wanted: tuple[str, ...] | None = None
    everything: Callable[[Cut], dict[str, list[Tensor]]] | None = None

    @property
    def absent(self) -> frozenset[str]:
        """Names of the tasks that are not wanted."""
        return frozenset() if self.wanted is None else frozenset(self.losses) - frozenset(self.wanted)


@dataclass
class BalancerReport:
    """What a balancer did in a step, for the log. Empty after a batch that only adds to the step.

    Attributes:
        weights: ``{task: weight}`` of the unweighted losses (or of their gradients at what the tasks share).
        norms: ``{task: norm of the gradient of its unweighted loss}`` where gradients were compared.
        cosines: ``{"a~b": cosine of the gradients of two tasks}``; a pair is in conflict where it is negative.
    """

    weights: Mapping[str, Tensor | float] = field(default_factory=dict)
    norms: Mapping[str, Tensor | float] = field(default_factory=dict)
    cosines: Mapping[str, Tensor | float] = field(default_factory=dict)

    def restricted(self, tasks: Collection[str]) -> BalancerReport:
        """The same of some tasks alone."""
        weights = {name: weight for name, weight in self.weights.items() if name in tasks}
        return BalancerReport(weights, _among(self.norms, tasks), _among(self.cosines, tasks))


def _among(values: Mapping[str, Tensor | float], tasks: Collection[str]) -> Pending:
    """Values of tasks or pairs of tasks, chosen when they are read."""
    return Pending(lambda: {key: float(value) for key, value in values.items() if {*key.split("~")} <= {*tasks}})


@dataclass
class StepContext:
    """What balancers that look beyond one backward pass may use before and after an optimiser step.

    Attributes:
        model: the model.
        batches: the step's training batches, on the model's device.
        validation: as many batches of the second stream; empty unless :attr:`Balancer.needs_validation_stream`.
        losses: unweighted losses ``{task: scalar}`` of a batch by another forward pass in training mode, which leaves
            running statistics alone; 0 without a graph for a task that the batch is not for.
        optimizer: of the stage; its groups hold the current learning rates, it or its ``members`` the momenta.
    """

    model: nn.Module
    batches: Sequence[Batch]
    validation: Sequence[Batch]
    losses: Callable[[Batch], dict[str, Tensor]]
    optimizer: torch.optim.Optimizer


class Balancer(nn.Module, ABC):
    """Combines what the tasks want from the parameters they share.

    Constructors take ``(tasks)`` positionally and their config as keyword-only arguments, of which those that all
    balancers have stand here. Trainable parameters of a balancer are given to the optimiser beside the model's, without
    weight decay. Whatever it must remember is a parameter or a buffer, so that a resumed run goes on exactly.

    Any batch may be for some tasks only, and the next one for others. To a method, a task that a batch is not for is
    one without labels in it; besides, it has no gradient, is in conflict with nobody, and what the method remembers of
    it stays as it is.

    Args:
        tasks: the tasks.
        weights: fixed weights of the losses, which go before the method: a number per task; ``None`` and unnamed tasks
            take the protocol's (:attr:`Task.weight`), ``"uniform"`` is 1 for all.
        normalise: rescale the weights of every step so that they (their absolute values, where a method has negative
            ones) add up to T (``"sum"``) or 1 (``"mean"``); ``None`` leaves them.

    Attributes:
        task_names: the tasks, in order.
        weights: the fixed weight of every task.
        scale: what the method's weights add up to, as published; see :data:`Scale`.
        explicit_reduction: True if the balancer takes gradients itself, so that a run on several processes cannot use
            DistributedDataParallel: then the balancer compares the gradients of the joint batch, and the engine
            averages what it wrote to ``.grad``.
        needs_validation_stream: True if it looks at a second stream of batches (:attr:`StepContext.validation`).
        held_out: share of the training split that its second stream reads and nothing else does; with 0 that stream is
            the whole split in another order.
        needs_scores: True if it reads the scores of the evaluation after each epoch.
        host_waits: how often the host must wait for the device in a step, once the first step has been: 1 if the
            method's numbers are sought on the host, else 0.

    Raises:
        UserError: a weight for an unknown task, or below 0, or an unknown way to normalise.
    """

    scale: ClassVar[Scale] = "sum"
    explicit_reduction: ClassVar[bool] = False
    needs_validation_stream: ClassVar[bool] = False
    held_out: float = 0.0
    needs_scores: bool = False
    host_waits: int = 0

    def __init__(self, tasks: Sequence[Task], *, weights: Weights = "uniform", normalise: Normalise = None) -> None:
        super().__init__()
        self.task_names = tuple(task.name for task in tasks)
        check_choice(f"normalise of {self.method}", normalise, (None, "sum", "mean"))
        self.normalise: Normalise = normalise
        self.weights = fixed_weights(tasks, weights)
        self._on_host: list[str] = []

    def register_host_buffer(self, name: str, values: Tensor) -> None:
        """A buffer that stays on the CPU, as it is, wherever the module goes: what the host decides by."""
        self.register_buffer(name, values)
        self._on_host.append(name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        kept = {name: self._buffers[name] for name in self._on_host}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._buffers.update(kept)
        return self

    @property
    def method(self) -> str:
        """The name that configs have, for messages: ``alpha of grad_norm must be ...``."""
        return type(self).__module__.rpartition(".")[2]

    def attach(self, model: nn.Module) -> None:
        """Called once, with the model that will be trained: layers of the method's own learn their sizes here.

        Raises:
            UserError: the method cannot balance this model.
        """

    def groups(self) -> tuple[ParameterGroup, ...]:
        """Trainable parameters of the balancer, by their names in it, that are optimised differently."""
        return ()

    def choose(self) -> tuple[str, ...] | None:
        """The tasks that the next optimiser step is for; None for all. Called once before each step."""
        return None

    def cut(self) -> Cut | None:
        """A fresh hook for :meth:`MultiTaskModel.forward`, or None if the balancer needs none."""
        return None

    @property
    def follows_steps(self) -> bool:
        """Whether the method acts before or after each step, so that the host must know how the last one ended."""
        kind = type(self)
        return kind.before_step is not Balancer.before_step or kind.after_step is not Balancer.after_step

    @abstractmethod
    def backward(self, step: ForwardPass) -> BalancerReport:
        """Add to ``.grad`` of every trainable parameter, at the latest with the last batch of the step."""

    def before_step(self, context: StepContext) -> None:
        """Called before the forward pass of an optimiser step, with ``.grad`` of the parameters empty."""

    def after_step(self, context: StepContext) -> None:
        """Called after the parameters have moved."""

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch (0-based, of the whole run), also when a run is resumed inside it."""

    def enter_turn(self) -> None:
        """Called before the first step of each turn: what trains, and so what the tasks share, may have changed."""

    def end_epoch(self, losses: Mapping[str, float], scores: Scores | None) -> None:
        """Called after each epoch.

        Args:
            losses: mean unweighted loss of every task that had one, over the batches and processes in which it was
                computed.
            scores: of the evaluation after this epoch; None where there was none.
        """


def fixed_weights(tasks: Sequence[Task], weights: Weights) -> dict[str, float]:
    """Resolve :data:`Weights` to one number per task.

    Raises:
        UserError: a name that is no task, a weight below 0 or not finite, or no weight above 0.
    """
    if weights == "uniform":
        return {task.name: 1.0 for task in tasks}
    named = weights or {}
    for name in named:
        known("task in the balancer's weights:", name, [task.name for task in tasks])
    resolved = {task.name: float(named.get(task.name, task.weight)) for task in tasks}
    for name, weight in resolved.items():
        not_negative(f"the weight of task {name!r}", weight)
    if not any(resolved.values()):
        raise UserError("the balancer's weights are all 0: give at least one task a weight above 0")
    return resolved


def rescaled(weights: Tensor, normalise: Normalise) -> Tensor:
    """Weights ``[T]`` as :data:`Normalise` says; weights that are all 0 stay so.

    >>> rescaled(torch.tensor([0.5, 1.5]), "mean")
    tensor([0.2500, 0.7500])
    """
    if normalise is None:
        return weights
    total = weights.abs().sum()
    target = float(len(weights)) if normalise == "sum" else 1.0
    return weights / total.clamp(min=torch.finfo(weights.dtype).tiny) * target


def check_choice(what: str, value: object, choices: Sequence[object]) -> None:
    """Check an option given to a constructor directly (configs are checked by the registry).

    Raises:
        UserError: it is none of the choices.
    """
    if value not in choices:
        raise UserError(f"{what} must be one of {', '.join(map(repr, choices))}, but got {value!r}")
