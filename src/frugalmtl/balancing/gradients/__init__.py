"""Gradients per task: at the representation, at one layer, or at the shared parameters.

Three ways. At the **representation**, the graph is cut where the tasks part: each task's loss goes back to the cut and
to the parameters behind it, and what was made of the gradients at the cut goes back through the trunk once, whatever
the number of tasks (MGDA-UB, Sener and Koltun 2018, sec. 3.3). At the **parameters**, every task's loss goes back
through everything. **Batched** likewise, but the trunk is traversed once with the gradients of all tasks side by side
(``torch.vmap`` over the backward pass). At one **layer**, gradients go on from the cut to a single weight of the trunk.
All use one forward pass, so batch statistics move once per step.

Parameters that are not shared (representation: all behind the cut; parameters: all outside the encoder, and those of
the encoder that fewer than two tasks reach) get the plain sum of the gradients of the losses as given. A penalty is not
aggregated: its gradient is added.

A batch may be for some tasks only. The others have no gradient there (None, not zeros). What several tasks share stays
so in a step that is for one of them.

Gradients are those of the joint batch of an optimiser step. At the parameters, those of accumulated batches and of
several processes are added up before they are compared. At the representation the joint batch is the concatenation of
the batches, so that inner products add up, and only these travel between processes; of accumulated batches the trunk's
graph is kept until the last one (their heads' is not), since only then it is known what goes back through it.
"""

from __future__ import annotations

from collections.abc import Collection

from frugalmtl.balancing.gradients._autograd import Rows, or_zeros
from frugalmtl.balancing.gradients.base import Level, Place, RepresentationCut, TaskGradients, used_cut
from frugalmtl.balancing.gradients.parameters import AtParameters
from frugalmtl.balancing.gradients.representation import AtLayer, AtRepresentation, joint_products

__all__ = [
    "AtLayer",
    "AtParameters",
    "AtRepresentation",
    "Level",
    "Place",
    "RepresentationCut",
    "Rows",
    "TaskGradients",
    "joint_products",
    "or_zeros",
    "take_gradients",
    "used_cut",
]


def take_gradients(level: Level, shared: Collection[int] = ()) -> TaskGradients:
    """An empty collection of gradients at a level.

    Args:
        level: where they are taken.
        shared: ids of the parameters that tasks share, see :class:`AtParameters`.
    """
    if level == "representation":
        return AtRepresentation()
    return AtParameters(batched=level == "parameters_batched", shared=shared)
