"""Does what the tasks share go through the cut?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from frugalmtl.balancing._graph import reached
from frugalmtl.balancing.base import Pass
from frugalmtl.balancing.gradients import used_cut
from frugalmtl.core.checks import UserError


def refuse_hidden_sharing(step: Pass, losses: Sequence[Tensor]) -> None:
    """Check that gradients at the cut say how the tasks get on.

    Raises:
        UserError: see :func:`hides_sharing`.
    """
    if hides_sharing(step, losses):
        raise UserError(
            "the tasks of this encoder share parameters but no representation to compare gradients at: "
            "set gradients_at to 'parameters' for this balancer"
        )


def hides_sharing(step: Pass, losses: Sequence[Tensor]) -> bool:
    """Whether tasks share parameters of the encoder, but meet in no tensor of the cut.

    Then (cross-stitch: every task has its own features, made with everybody's parameters) the rows of gradients at the
    cut are disjoint, no two of them ever conflict, and a balancer would do nothing without a word.
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
    return any(count > 1 for count in users.values()) and not any(count > 1 for count in meetings.values())
