"""Inter-task affinity: the effect of a step for one task on the losses of the others (Fifty et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from frugalmtl.balancing.gradients import or_zeros
from frugalmtl.core.distributed import any_process, average, average_in_place
from frugalmtl.core.preserved import preserved
from frugalmtl.core.rng import RngState
from frugalmtl.core.types import Batch

STEP = 1e-3
"""Length of a look-ahead step relative to the shared parameters."""


def affinities(
    model: nn.Module, losses_of: Callable[[Batch], dict[str, Tensor]], batches: Sequence[Batch]
) -> dict[str, float]:
    """Inter-task affinity of every ordered pair of tasks (Fifty et al. 2021, eq. 1).

    ``Z[a>b] = 1 - L_b(theta_a) / L_b(theta)``, on the same batches, where ``theta_a`` has gone a step against the
    gradient of a's loss at the parameters of the encoder that more than one task reaches: positive where a's step helps
    b. Ours: all tasks' steps have the same length, a thousandth of those parameters' norm. The paper's have the length
    of learning rate times gradient, which with adaptive optimisers says nothing of the steps that are taken and can be
    too small for float32. All forward passes draw the same dropout; weights, running statistics, gradients and the
    state of the random generators are afterwards as before. A loss that is not positive has no affinity. Losses are not
    scaled for mixed precision, so with float16 gradients may underflow. Tasks that none of the batches is for have no
    affinity.

    Args:
        model: with an ``encoder``.
        losses_of: unweighted losses of a batch.
        batches: of one step.

    Returns:
        ``{"a>b": Z}``; means over the processes. Empty if the tasks share no parameter.
    """
    parameters = [item for item in model.get_submodule("encoder").parameters() if item.requires_grad]
    rng, gradients = RngState(batches[0].image.device), _Gradients(parameters, 1.0 / len(batches))
    with rng.restored():
        now, rows = _joint(losses_of, batches, gradients), gradients.rows
    if len(rows) < 2:
        return {}
    flags = [[item is not None for item in row] for row in rows.values()]
    reached = any_process(flags, batches[0].image.device)
    places = [index for index, column in enumerate(zip(*reached, strict=True)) if sum(column) > 1]
    if not places:
        return {}
    shared = [parameters[index] for index in places]
    reach = STEP * float(torch.nn.utils.get_total_norm([parameter.detach() for parameter in shared]))
    result: dict[str, float] = {}
    for stepping, row in rows.items():
        moves = [or_zeros(row[index], parameters[index]) for index in places]
        average_in_place(moves)
        length = float(torch.nn.utils.get_total_norm(moves))
        with preserved(shared):
            for parameter, move in zip(shared, moves, strict=True):
                parameter.data.sub_(move, alpha=reach / length if length > 0 else 0.0)
            with torch.no_grad(), rng.restored():
                after = _joint(losses_of, batches)
        result |= {f"{stepping}>{name}": 1.0 - after[name] / now[name] for name in rows if now[name] > 0}
    return result


def _joint(
    losses_of: Callable[[Batch], dict[str, Tensor]],
    batches: Sequence[Batch],
    visit: Callable[[dict[str, Tensor]], None] | None = None,
) -> dict[str, float]:
    """Mean losses over all batches and processes; ``visit`` sees those of each batch with their graph."""
    totals: dict[str, Tensor] = {}
    for batch in batches:
        losses = losses_of(batch)
        if visit is not None:
            visit(losses)
        totals = {name: totals.get(name, 0.0) + loss.detach() / len(batches) for name, loss in losses.items()}
    return dict(zip(totals, average(torch.stack([*totals.values()])).tolist(), strict=True))


class _Gradients:
    """A gradient per task, added up over batches; None where the task does not reach the parameter."""

    def __init__(self, parameters: Sequence[Tensor], share: float) -> None:
        self.parameters, self.share = parameters, share
        self.rows: dict[str, list[Tensor | None]] = {}

    def __call__(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            if not loss.requires_grad:
                continue
            new_row = torch.autograd.grad(loss * self.share, self.parameters, retain_graph=True, allow_unused=True)
            old = self.rows.get(name, [None] * len(new_row))
            self.rows[name] = [
                new if before is None else before if new is None else before + new
                for before, new in zip(old, new_row, strict=True)
            ]
