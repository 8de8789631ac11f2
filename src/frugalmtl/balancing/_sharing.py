"""Does what the tasks share go through the cut?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from frugalmtl.balancing._graph import reached
from frugalmtl.balancing.base import ForwardPass
from frugalmtl.balancing.gradients import used_cut
from frugalmtl.core.checks import UserError

Sharing = Literal["meeting", "hidden", "none"]
"""How tasks share what is trained of the encoder: in a tensor of the cut; parameters, but no such tensor; or not."""


def sharing(step: ForwardPass, losses: Sequence[Tensor]) -> Sharing:
    """Find out by walking the graph of one pass.

    Hidden sharing (an encoder that mixes features in front of the cut only: every task reads tensors of its own, made
    with everybody's parameters) makes the rows of gradients at the cut disjoint: no two of them ever conflict.
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
    if any(count > 1 for count in meetings.values()):
        return "meeting"
    return "hidden" if any(count > 1 for count in users.values()) else "none"


def refuse_hidden(found: Sharing) -> None:
    """Check that gradients at the cut say how the tasks get on; else a balancer would do nothing without a word.

    Raises:
        UserError: sharing is hidden.
    """
    if found == "hidden":
        raise UserError(
            "the tasks of this encoder share parameters but no representation to compare gradients at: "
            "set gradients_at to 'parameters' for this balancer"
        )
