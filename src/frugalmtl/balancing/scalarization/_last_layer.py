"""The last layer that all tasks share, and the tasks' gradients at its weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from frugalmtl.balancing._graph import leaves_by_distance, reached
from frugalmtl.balancing._sharing import sharing
from frugalmtl.balancing.base import ForwardPass
from frugalmtl.balancing.gradients import Rows, used_cut
from frugalmtl.core.checks import UserError


def find_last_layer(step: ForwardPass, losses: Sequence[Tensor]) -> int | None:
    """Index, among the encoder's parameters, of the last shared weight; None where the tasks share nothing.

    It is the weight (two axes or more) with the fewest operations up to the last tensor of the cut (the deepest level
    of a pyramid), or the next one that all tasks reach through the cut.

    Raises:
        UserError: tasks share parameters, but do not meet in the cut, or reach no weight in common.
    """
    found = sharing(step, losses)
    if found == "none":
        return None
    cut = used_cut(step)
    places = {id(parameter): index for index, parameter in enumerate(step.model.get_submodule("encoder").parameters())}
    if found == "meeting":
        behind = [reached([loss]) for loss in losses]
        ends = list(zip(cut.shared, cut.leaves, strict=True))
        common = set.intersection(*(reached(old for old, leaf in ends if id(leaf) in mine) for mine in behind))
        for tensor in reversed(cut.shared):
            for leaf in leaves_by_distance(tensor):
                if leaf.ndim > 1 and id(leaf) in common and id(leaf) in places:
                    return places[id(leaf)]
    raise UserError("the tasks of this encoder have no last layer in common: set norms_at to 'parameters'")


def rows_at(weight: Tensor, shared: Sequence[Tensor], rows: Rows) -> list[Tensor]:
    """Gradients at the cut, a row per task -> gradients at a weight in front of it; the graph is kept."""
    found = []
    for row in rows:
        pairs = [(tensor, item) for tensor, item in zip(shared, row, strict=True) if item is not None]
        gradient = None
        if pairs:
            ends, items = zip(*pairs, strict=True)
            (gradient,) = torch.autograd.grad(ends, [weight], items, retain_graph=True, allow_unused=True)
        found.append(torch.zeros_like(weight) if gradient is None else gradient)
    return found
