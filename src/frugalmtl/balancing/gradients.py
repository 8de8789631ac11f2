"""The one place where gradients per task are taken.

Three ways. At the **representation**, the graph is cut where the tasks part: each task's loss goes back to the cut and
to the parameters behind it, and what was made of the gradients at the cut goes back through the trunk once, whatever
the number of tasks (MGDA-UB, Sener and Koltun 2018, sec. 3.3). At the **parameters**, every task's loss goes back
through everything. **Batched** likewise, but the trunk is traversed once with the gradients of all tasks side by side
(``torch.vmap`` over the backward pass). All use one forward pass, so batch statistics move once per step.

Parameters that are not shared (representation: all behind the cut; parameters: all outside the encoder, and those of
the encoder that fewer than two tasks reach) get the plain sum of the gradients of the losses as given. A penalty is not
aggregated: its gradient is added.

Gradients are those of the joint batch of an optimiser step. At the parameters, those of accumulated batches and of
several processes are added up before they are compared. At the representation the joint batch is the concatenation of
the batches, so that inner products add up, and only these travel between processes; of accumulated batches the trunk's
graph is kept until the last one (their heads' is not), since only then it is known what goes back through it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from frugalmtl.balancing._gramian import combined, gramian
from frugalmtl.balancing._graph import reached, share_nodes
from frugalmtl.balancing.base import ForwardPass
from frugalmtl.core.distributed import any_process, average, average_in_place, process_count

Level = Literal["representation", "parameters", "parameters_batched"]
"""Where gradients are taken."""

Rows = list[list[Tensor | None]]
"""A gradient per task, tensor by tensor."""


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

        ``[T, T]``, float64, on the CPU. Not finite where a gradient is not.
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


def take_gradients(level: Level) -> TaskGradients:
    """An empty collection of gradients at a level."""
    if level == "representation":
        return AtRepresentation()
    return AtParameters(batched=level == "parameters_batched")


class AtRepresentation(TaskGradients):
    """Gradients at the leaves of the cut; see the module."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._shared: list[list[Tensor]] = []
        self._penalties: list[list[Tensor | None]] = []

    def add(self, step: ForwardPass, losses: Sequence[Tensor]) -> None:
        """Go back from every loss, and from the penalty, to the leaves of the cut."""
        cut, self.loss_scale = used_cut(step), step.loss_scale
        rows = take_rows(losses, step.scale, cut.leaves, keep=step.penalty is not None)
        self._places.append(Place(cut.leaves, rows))
        self._shared.append(cut.shared)
        # The penalty may run through the trunk's own graph, which is needed again.
        self._penalties.append(_take(step.penalty, step.scale, cut.leaves, keep=True))

    def places(self) -> list[Place]:
        """A place per batch: the leaves of its cut."""
        return self._places

    def gramian(self) -> Tensor:
        """Sum of the batches' and processes' inner products, since their leaves are parts of one representation."""
        return joint_products(self.products(), self.loss_scale)

    def products(self) -> Tensor:
        """Inner products of this process's batches, with the loss scale."""
        return torch.stack([gramian(place.rows) for place in self._places]).sum(dim=0)

    def apply_directions(self, directions: Sequence[Sequence[Tensor | None]]) -> None:
        """Go back from the cuts through the trunk."""
        for shared, given, penalty in zip(self._shared, directions, self._penalties, strict=True):
            _go_back(shared, _sums(given, penalty), keep=False)


class AtParameters(TaskGradients):
    """Gradients at the parameters of the encoder that more than one task reaches; see the module.

    Args:
        batched: traverse the trunk once, with all tasks side by side.
    """

    def __init__(self, *, batched: bool = False) -> None:
        self.batched = batched
        self._parameters: list[Tensor] = []
        self._rows: Rows = []
        self._apart: list[Tensor | None] = []
        self._shared: list[int] = []
        self._reduced = False

    def add(self, step: ForwardPass, losses: Sequence[Tensor]) -> None:
        """Go back from every loss to the parameters; what lies outside the encoder gets its gradient at once."""
        cut, self.loss_scale = used_cut(step), step.loss_scale
        if not self._rows:
            encoder = step.model.get_submodule("encoder")
            self._parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
            self._rows = [[None] * len(self._parameters) for _ in losses]
            self._apart = [None] * len(self._parameters)
        self._apart = _sums(self._apart, _clear(self._parameters))
        # What lies behind the cut is given free before the trunk is traversed.
        both = take_rows(losses, step.scale, [*cut.leaves, *self._parameters], keep=step.penalty is not None)
        read = len(cut.leaves)
        keep = step.penalty is not None
        through = (self._side_by_side if self.batched else self._one_by_one)(cut, [row[:read] for row in both], keep)
        self._rows = [
            _sums(_sums(total, row[read:]), trunk) for total, row, trunk in zip(self._rows, both, through, strict=True)
        ]
        at_cut = _take(step.penalty, step.scale, [*cut.leaves, *self._parameters], keep=True)
        self._apart = _sums(self._apart, at_cut[read:])
        self._apart = _sums(self._apart, self._trunk(cut, at_cut[:read], keep=False))

    def _trunk(self, cut: RepresentationCut, row: Sequence[Tensor | None], *, keep: bool) -> list[Tensor | None]:
        """Gradients at the parameters of a gradient at the cut."""
        _go_back(cut.shared, row, keep=keep)
        return _clear(self._parameters)

    def _one_by_one(self, cut: RepresentationCut, rows: Rows, keep: bool) -> Rows:
        last = len(rows) - 1
        return [self._trunk(cut, row, keep=keep or index < last) for index, row in enumerate(rows)]

    def _side_by_side(self, cut: RepresentationCut, rows: Rows, keep: bool) -> Rows:
        read = [index for index in range(len(cut.leaves)) if any(row[index] is not None for row in rows)]
        if not read:
            return [[None] * len(self._parameters) for _ in rows]
        sides = [torch.stack([or_zeros(row[index], cut.leaves[index]) for row in rows]) for index in read]
        shared = [cut.shared[index] for index in read]
        found = torch.autograd.grad(
            shared, self._parameters, sides, is_grads_batched=True, allow_unused=True, retain_graph=keep
        )
        result: Rows = []
        for task, row in enumerate(rows):
            # Side by side, a task that does not reach a parameter has zeros there; it must not count as sharing it.
            mine = reached(cut.shared[index] for index in read if row[index] is not None)
            result.append(
                [
                    item[task].clone() if item is not None and id(parameter) in mine else None
                    for parameter, item in zip(self._parameters, found, strict=True)
                ]
            )
        return result

    def places(self) -> list[Place]:
        """One place: the shared parameters, with the gradients of all batches and processes."""
        if not self._reduced:
            self._reduce()
        tensors = [self._parameters[index] for index in self._shared]
        return [Place(tensors, [[row[index] for index in self._shared] for row in self._rows])]

    def _reduce(self) -> None:
        device = self._parameters[0].device if self._parameters else torch.device("cpu")
        there = any_process([[item is not None for item in row] for row in self._rows], device)
        for row, flags in zip(self._rows, there, strict=True):
            for index, flag in enumerate(flags):
                if flag and row[index] is None:
                    row[index] = torch.zeros_like(self._parameters[index])
            average_in_place([item for item in row if item is not None])
        self._shared = [index for index, flags in enumerate(zip(*there, strict=True)) if sum(flags) > 1]
        self._reduced = True

    def gramian(self) -> Tensor:
        """Inner products at the shared parameters."""
        return gramian(self.places()[0].rows) / self.loss_scale**2

    def apply_directions(self, directions: Sequence[Sequence[Tensor | None]]) -> None:
        """Write the direction, and what is not shared, to ``.grad``."""
        places = dict(zip(self._shared, directions[0], strict=True))
        for index, parameter in enumerate(self._parameters):
            alone = [row[index] for row in self._rows] if index not in places else [places[index]]
            total = self._apart[index]
            for item in alone:
                total = _sum(total, item)
            parameter.grad = total


def joint_products(products: Tensor, loss_scale: float) -> Tensor:
    """Inner products at the cut, of the joint batch, from those of each process; see :meth:`TaskGradients.gramian`."""
    return average(products) / (process_count() * loss_scale**2)


def take_rows(losses: Sequence[Tensor], scale: float, leaves: Sequence[Tensor], *, keep: bool) -> Rows:
    """A gradient per loss at the leaves; parameters behind them get theirs in ``.grad``.

    What was computed behind the leaves is given free as soon as no other loss needs it.

    Args:
        losses: scalars.
        scale: factor on every gradient.
        leaves: where gradients are taken.
        keep: whether the graph is needed afterwards.
    """
    keep_all = keep or share_nodes(losses)
    last = len(losses) - 1
    return [_take(loss, scale, leaves, keep=keep or (keep_all and index < last)) for index, loss in enumerate(losses)]


def _take(scalar: Tensor | None, scale: float, tensors: Sequence[Tensor], *, keep: bool) -> list[Tensor | None]:
    """Gradients of a scalar at leaves of its graph, None where it does not reach one; other leaves keep theirs.

    Through ``.grad`` rather than :func:`torch.autograd.grad`: autograd then hands over tensors that nobody else holds.
    """
    if scalar is not None and scalar.requires_grad:
        torch.autograd.backward(scalar * scale, retain_graph=keep)
    return _clear(tensors)


def _go_back(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], *, keep: bool) -> None:
    """Go on with gradients at the tensors; those without one are left out."""
    ends = [tensor for tensor, gradient in zip(tensors, gradients, strict=True) if gradient is not None]
    if ends:
        torch.autograd.backward(ends, [item for item in gradients if item is not None], retain_graph=keep)


def _clear(tensors: Iterable[Tensor]) -> list[Tensor | None]:
    found = []
    for tensor in tensors:
        found.append(tensor.grad)
        tensor.grad = None
    return found


def _sums(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [_sum(*pair) for pair in zip(one, other, strict=True)]


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The sum, over the first where both are there."""
    if one is None or other is None:
        return other if one is None else one
    return one.add_(other)


def or_zeros(tensor: Tensor | None, like: Tensor) -> Tensor:
    """The tensor, or zeros of the shape of another where there is none."""
    return torch.zeros_like(like) if tensor is None else tensor
