"""Does what the tasks share go through the cut?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from torch import Tensor

from frugalmtl.balancing.base import Pass
from frugalmtl.balancing.gradients import used_cut
from frugalmtl.core.checks import UserError


def refuse_hidden_sharing(step: Pass, losses: Sequence[Tensor]) -> None:
    """Check that tasks which share parameters of the encoder also meet in a tensor of the cut.

    Otherwise (cross-stitch: every task has its own features, made with everybody's parameters) the rows of gradients at
    the cut are disjoint, no two of them ever conflict, and the balancer would do nothing without a word.

    Raises:
        UserError: tasks share parameters of the encoder, but no tensor of the cut.
    """
    cut = used_cut(step)
    encoder = {id(parameter) for parameter in step.model.get_submodule("encoder").parameters()}
    meetings: Counter[int] = Counter()
    users: Counter[int] = Counter()
    for loss in losses:
        behind = reached([loss])
        mine = [index for index, leaf in enumerate(cut.leaves) if id(leaf) in behind]
        meetings.update(mine)
        users.update((behind | reached(cut.shared[index] for index in mine)) & encoder)
    if any(count > 1 for count in users.values()) and not any(count > 1 for count in meetings.values()):
        raise UserError(
            "the tasks of this encoder share parameters but no representation to compare gradients at: "
            "set gradients_at to 'parameters' for this balancer"
        )


def reached(tensors: Iterable[Tensor]) -> set[int]:
    """Ids of the leaves that a backward pass from ``tensors`` would reach, found by walking the graph."""
    stack = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen = set(stack)
    found: set[int] = set()
    while stack:
        node = stack.pop()
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.add(id(variable))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return found
