"""Gradients at the parameters that several tasks share."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from frugalmtl.balancing._gramian import gramian
from frugalmtl.balancing._graph import reached
from frugalmtl.balancing.base import ForwardPass
from frugalmtl.balancing.gradients._autograd import Rows, clear, go_back, or_zeros, plus, sums, take, take_rows
from frugalmtl.balancing.gradients.base import Place, RepresentationCut, TaskGradients, used_cut
from frugalmtl.core.distributed import any_process, average_in_place


class AtParameters(TaskGradients):
    """Gradients at the parameters of the encoder that more than one task reaches; see the package.

    Args:
        batched: traverse the trunk once, with all tasks side by side.
        shared: ids of the parameters that more than one task reaches where all are wanted; used for steps in which some
            are not.
    """

    def __init__(self, *, batched: bool = False, shared: Collection[int] = ()) -> None:
        self.batched, self.shared = batched, frozenset(shared)
        self._complete = True
        self._device = torch.device("cpu")
        self._parameters: list[Tensor] = []
        self._rows: Rows = []
        self._apart: list[Tensor | None] = []
        self._shared: list[int] = []
        self._reduced = False

    def add(self, step: ForwardPass, losses: Sequence[Tensor]) -> None:
        """Go back from every loss to the parameters; what lies outside the encoder gets its gradient at once."""
        cut, self.loss_scale = used_cut(step), step.loss_scale
        self._complete, self._device = self._complete and step.wanted is None, losses[0].device
        if not self._rows:
            encoder = step.model.get_submodule("encoder")
            self._parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
            self._rows = [[None] * len(self._parameters) for _ in losses]
            self._apart = [None] * len(self._parameters)
        self._apart = sums(self._apart, clear(self._parameters))
        # What lies behind the cut is given free before the trunk is traversed.
        both = take_rows(losses, step.scale, [*cut.leaves, *self._parameters], keep=step.penalty is not None)
        read = len(cut.leaves)
        keep = step.penalty is not None
        through = (self._side_by_side if self.batched else self._one_by_one)(cut, [row[:read] for row in both], keep)
        self._rows = [
            sums(sums(total, row[read:]), trunk) for total, row, trunk in zip(self._rows, both, through, strict=True)
        ]
        at_cut = take(step.penalty, step.scale, [*cut.leaves, *self._parameters], keep=True)
        self._apart = sums(self._apart, at_cut[read:])
        self._apart = sums(self._apart, self._trunk(cut, at_cut[:read], keep=False))

    def _trunk(self, cut: RepresentationCut, row: Sequence[Tensor | None], *, keep: bool) -> list[Tensor | None]:
        """Gradients at the parameters of a gradient at the cut."""
        go_back(cut.shared, row, keep=keep)
        return clear(self._parameters)

    def _one_by_one(self, cut: RepresentationCut, rows: Rows, keep: bool) -> Rows:
        last = max((index for index, row in enumerate(rows) if _any(row)), default=0)
        return [self._trunk(cut, row, keep=keep or index < last) for index, row in enumerate(rows)]

    def _side_by_side(self, cut: RepresentationCut, rows: Rows, keep: bool) -> Rows:
        read = [index for index in range(len(cut.leaves)) if any(row[index] is not None for row in rows)]
        if not read:
            return [[None] * len(self._parameters) for _ in rows]
        present = [row for row in rows if _any(row)]
        sides = [torch.stack([or_zeros(row[index], cut.leaves[index]) for row in present]) for index in read]
        shared = [cut.shared[index] for index in read]
        gradients = torch.autograd.grad(
            shared, self._parameters, sides, is_grads_batched=True, allow_unused=True, retain_graph=keep
        )
        result: Rows = []
        side = iter(range(len(present)))
        for row in rows:
            place = next(side) if _any(row) else 0
            # Side by side, a task that does not reach a parameter has zeros there; it must not count as sharing it.
            behind = reached(cut.shared[index] for index in read if row[index] is not None)
            result.append(
                [
                    item[place].clone() if item is not None and id(parameter) in behind else None
                    for parameter, item in zip(self._parameters, gradients, strict=True)
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
        reaching = any_process([[item is not None for item in row] for row in self._rows], device)
        for row, flags in zip(self._rows, reaching, strict=True):
            for index, flag in enumerate(flags):
                if flag and row[index] is None:
                    row[index] = torch.zeros_like(self._parameters[index])
            average_in_place([item for item in row if item is not None])
        counts = [sum(flags) for flags in zip(*reaching, strict=True)]
        self._shared = [index for index, count in enumerate(counts) if count > (0 if self._is_shared(index) else 1)]
        self._reduced = True

    def _is_shared(self, index: int) -> bool:
        """Whether tasks that are not wanted in this step would reach the parameter too."""
        return not self._complete and id(self._parameters[index]) in self.shared

    def gramian(self) -> Tensor:
        """Inner products at the shared parameters."""
        return gramian(self.places()[0].rows, self._device) / self.loss_scale**2

    def apply_directions(self, directions: Sequence[Sequence[Tensor | None]]) -> None:
        """Write the direction, and what is not shared, to ``.grad``."""
        places = dict(zip(self._shared, directions[0], strict=True))
        for index, parameter in enumerate(self._parameters):
            alone = [row[index] for row in self._rows] if index not in places else [places[index]]
            total = self._apart[index]
            for item in alone:
                total = plus(total, item)
            parameter.grad = total


def _any(row: Sequence[Tensor | None]) -> bool:
    return any(item is not None for item in row)
