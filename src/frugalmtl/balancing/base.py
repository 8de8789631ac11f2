"""What every balancer gives: the gradients of one training step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.registry import Registry
from frugalmtl.model import Cut
from frugalmtl.tasks import Task

Weights = dict[str, float] | Literal["uniform"] | None
"""Fixed weights per task; ``"uniform"`` is 1 for all; ``None`` (and a task that is not named) takes
:attr:`Task.weight`."""


@dataclass
class Pass:
    """One forward pass, ready to go back.

    Attributes:
        model: the model itself (not a wrapper), whose trainable parameters get gradients.
        losses: unweighted losses ``{task: scalar}``.
        penalty: weighted sum of the model's penalties, or None.
        cut: what :meth:`Balancer.cut` gave for this pass.
        backward: like ``loss.backward()``, with the loss scale of mixed precision and whatever else the engine adds; it
            multiplies by ``scale`` itself.
        scale: factor on every gradient: the loss scale of mixed precision divided by the accumulated batches.
    """

    model: nn.Module
    losses: dict[str, Tensor]
    penalty: Tensor | None
    cut: Cut | None
    backward: Callable[[Tensor], None]
    scale: float = 1.0


class Balancer(nn.Module, ABC):
    """Combines what the tasks want from the parameters they share.

    Constructors take ``(tasks)`` positionally and their config as keyword-only arguments. Trainable parameters of a
    balancer are given to the optimiser beside the model's, without weight decay. Whatever it must remember is a
    parameter or a buffer, so that a resumed run goes on exactly.

    Attributes:
        task_names: the tasks, in order.
        scale: ``"sum"`` if the weights of T tasks add up to about T (learning rates as for a plain sum of losses),
            ``"mean"`` if they add up to 1.
        explicit_reduction: True if the balancer takes gradients itself, so that a run on several processes cannot use
            DistributedDataParallel: then each process balances the gradients of *its own* batch and the engine averages
            the results. That is not the same as balancing the gradients of the joint batch.
    """

    scale: ClassVar[Literal["sum", "mean"]] = "sum"
    explicit_reduction: ClassVar[bool] = False

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.task_names = tuple(task.name for task in tasks)

    def cut(self) -> Cut | None:
        """A fresh hook for :meth:`MultiTaskModel.forward`, or None if the balancer needs none."""
        return None

    @abstractmethod
    def backward(self, step: Pass) -> dict[str, Tensor | float]:
        """Add to ``.grad`` of every trainable parameter; return the weights per task for the log."""

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch (0-based, of the whole run), also when a run is resumed inside it."""

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Called after each epoch with the mean loss of every task."""


def fixed_weights(tasks: Sequence[Task], weights: Weights) -> dict[str, float]:
    """Resolve :data:`Weights` to one number per task.

    Raises:
        UserError: a name that is no task, or a weight below 0.
    """
    if weights == "uniform":
        return {task.name: 1.0 for task in tasks}
    given = weights or {}
    for name, weight in given.items():
        known("task in the balancer's weights:", name, [task.name for task in tasks])
        if not weight >= 0:
            raise UserError(f"the weight of task {name!r} must be 0 or more, but got {weight!r}")
    return {task.name: float(given.get(task.name, task.weight)) for task in tasks}


class BalancerRegistry(Registry):
    """The members of several rooms under one roof.

    Args:
        package: the room's package; each of ``rooms`` is a package inside it.
        what: the word for one member.
        rooms: names of the inner packages.
    """

    def __init__(self, package: str, what: str, rooms: Sequence[str]) -> None:
        super().__init__(package, what)
        self.rooms = [Registry(f"{package}.{room}", what) for room in rooms]

    def names(self) -> list[str]:
        """Names of the members of all rooms, sorted."""
        return sorted(name for room in self.rooms for name in room.names())

    def get(self, name: str) -> Callable[..., Any]:
        """The member called ``name``, whichever room holds it.

        Raises:
            UserError: no such member; the message lists the known ones.
        """
        known(self.what, name, self.names())
        return next(room for room in self.rooms if name in room.names()).get(name)
