"""Gradients of one optimiser step, and the cut of the graph that they are taken at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from frugalmtl.balancing._gramian import combined
from frugalmtl.balancing.base import ForwardPass
from frugalmtl.balancing.gradients._autograd import Rows

Level = Literal["representation", "parameters", "parameters_batched"]
"""Where gradients are taken."""


class RepresentationCut:
    """The hook that cuts the graph at the shared representation and remembers both ends."""

    def __init__(self) -> None:
        self.shared: list[Tensor] = []
        self.leaves: list[Tensor] = []

    def __call__(self, shared: list[Tensor]) -> list[Tensor]:
        """Replace every tensor that has a history by a leaf with the same values."""
        cut = [tensor.detach().requires_grad_() if tensor.requires_grad else tensor for tensor in shared]
        pairs = [pair for pair in zip(shared, cut, strict=True) if pair[0].requires_grad]
        self.shared, self.leaves = [old for old, _ in pairs], [new for _, new in pairs]
        return cut


def used_cut(step: ForwardPass) -> RepresentationCut:
    """The pass's cut, if it is one."""
    if not isinstance(step.cut, RepresentationCut):
        raise TypeError("the model was not called with this balancer's cut")
    return step.cut


@dataclass
class Place:
    """Tensors at which the gradients of one batch were taken.

    Attributes:
        tensors: the shared parameters, or the leaves of the cut.
        rows: a gradient per task, scaled as ``.grad`` is to be.
    """

    tensors: list[Tensor]
    rows: Rows


class TaskGradients(ABC):
    """The tasks' gradients over one optimiser step.

    :meth:`add` every batch, compare, then :meth:`apply_weights` or :meth:`apply_directions`.

    Attributes:
        loss_scale: factor of mixed precision that the rows carry.
    """

    loss_scale: float = 1.0

    @abstractmethod
    def add(self, step: ForwardPass, losses: Sequence[Tensor]) -> None:
        """Take the gradients of one batch; parameters that are not shared get theirs at once."""

    @abstractmethod
    def places(self) -> list[Place]:
        """What :meth:`gramian` compares: gradients of the joint batch of this process, batch by batch."""

    @abstractmethod
    def gramian(self) -> Tensor:
        """Inner products of the tasks' gradients of the joint batch of all processes, without the loss scale.

        ``[T, T]``, float64, on the gradients' device. Not finite where a gradient is not.
        """

    @abstractmethod
    def apply_directions(self, directions: Sequence[Sequence[Tensor | None]]) -> None:
        """Let directions (of every place, tensor by tensor, scaled as the rows are) reach the shared parameters."""

    def apply_weights(self, weights: Sequence[float]) -> None:
        """Let ``sum_t w_t g_t`` reach the shared parameters; uses the gradients up."""
        directions = []
        for place in self.places():
            directions.append(combined(place.rows, weights))
            place.rows.clear()  # the other tasks' gradients need not outlive what is still to come
        self.apply_directions(directions)
