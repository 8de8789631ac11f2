"""Shared parts of the encoder: tensors of the cut, parameters, the last layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from frugalmtl.balancing._graph import leaves_by_distance, reached
from frugalmtl.balancing.base import ForwardPass
from frugalmtl.balancing.gradients import RepresentationCut, used_cut
from frugalmtl.core.checks import UserError

Sharing = Literal["meeting", "hidden", "none"]
"""How tasks share what is trained of the encoder: in a tensor of the cut; parameters, but no such tensor; or not."""


@dataclass(frozen=True)
class SharedParts:
    """What the tasks share of the encoder.

    Attributes:
        kind: how they share.
        parameters: ids of the encoder's parameters that more than one task reaches.
    """

    kind: Sharing
    parameters: frozenset[int]


def shared_parts(step: ForwardPass, losses: Sequence[Tensor]) -> SharedParts:
    """Find out by walking the graph of one pass, for all tasks.

    Hidden sharing (an encoder that mixes features in front of the cut only: every task reads tensors of its own, made
    with everybody's parameters) makes the rows of gradients at the cut disjoint: no two of them ever conflict.
    """
    cut, ends = _graphs(step, losses)
    encoder = {id(parameter) for parameter in step.model.get_submodule("encoder").parameters()}
    meetings: Counter[int] = Counter()
    users: Counter[int] = Counter()
    for tensors in ends:
        behind = reached(tensors)
        indices = [index for index, leaf in enumerate(cut.leaves) if id(leaf) in behind]
        meetings.update(indices)
        users.update((behind | reached(cut.shared[index] for index in indices)) & encoder)
    parameters = frozenset(key for key, count in users.items() if count > 1)
    if any(count > 1 for count in meetings.values()):
        return SharedParts("meeting", parameters)
    return SharedParts("hidden" if parameters else "none", parameters)


def _graphs(step: ForwardPass, losses: Sequence[Tensor]) -> tuple[RepresentationCut, list[list[Tensor]]]:
    """A cut, and the tensors of every task whose graphs lead to it: its loss, or its predictions in another pass where
    not all tasks are wanted."""
    if step.wanted is None or step.everything is None:
        return used_cut(step), [[loss] for loss in losses]
    cut = RepresentationCut()
    by_task = step.everything(cut)
    return cut, [by_task[name] for name in step.losses]


def refuse_hidden(kind: Sharing) -> None:
    """Check that gradients at the cut say how the tasks get on; else a balancer would do nothing without a word.

    Raises:
        UserError: sharing is hidden.
    """
    if kind == "hidden":
        raise UserError(
            "the tasks of this encoder share parameters but no representation to compare gradients at: "
            "set gradients_at to 'parameters' for this balancer"
        )


def last_shared_layer(step: ForwardPass, losses: Sequence[Tensor]) -> int | None:
    """Index, among the encoder's parameters, of the last shared weight; None where the tasks share nothing.

    It is the weight (two axes or more) with the fewest operations up to the last tensor of the cut (the deepest level
    of a pyramid), or the next one that all tasks reach through the cut.

    Raises:
        UserError: tasks share parameters, but do not meet in the cut, or reach no weight in common.
    """
    kind = shared_parts(step, losses).kind
    if kind == "none":
        return None
    cut, roots = _graphs(step, losses)
    places = {id(parameter): index for index, parameter in enumerate(step.model.get_submodule("encoder").parameters())}
    if kind == "meeting":
        behind = [reached(tensors) for tensors in roots]
        ends = list(zip(cut.shared, cut.leaves, strict=True))
        common = set.intersection(*(reached(old for old, leaf in ends if id(leaf) in leaves) for leaves in behind))
        for tensor in reversed(cut.shared):
            for leaf in leaves_by_distance(tensor):
                if leaf.ndim > 1 and id(leaf) in common and id(leaf) in places:
                    return places[id(leaf)]
    raise UserError("the tasks of this encoder have no last layer in common: set norms_at to 'parameters'")
