"""What a step for one task does to the losses of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from frugalmtl.core.distributed import average, average_in_place
from frugalmtl.core.draws import Draws
from frugalmtl.core.types import Batch


def affinities(
    model: nn.Module,
    losses_of: Callable[[Batch], dict[str, Tensor]],
    batches: Sequence[Batch],
    optimizer: torch.optim.Optimizer,
) -> dict[str, float]:
    """Inter-task affinity of every ordered pair of tasks (Fifty et al. 2021, eq. 1).

    ``Z[a>b] = 1 - L_b(theta_s - lr g_a) / L_b(theta_s)`` with ``g_a`` the gradient of a's loss at the parameters of the
    encoder that more than one task reaches, and the loss on the same batches: positive where a's step helps b. The
    learning rate is the present one of each parameter's group, and the step a plain one whatever the optimiser (ours;
    the paper trains with momentum). All forward passes draw the same dropout; weights, running statistics, gradients
    and the state of the random generators are afterwards as before. A loss that is not positive has no affinity.

    Args:
        model: with an ``encoder``.
        losses_of: unweighted losses of a batch.
        batches: of one step.
        optimizer: its groups hold the learning rates.

    Returns:
        ``{"a>b": Z}``; means over the processes. Empty if the tasks share no parameter.
    """
    rates = {id(item): float(group["lr"]) for group in optimizer.param_groups for item in group["params"]}
    parameters = [item for item in model.get_submodule("encoder").parameters() if id(item) in rates]
    draws, gradients = Draws(batches[0].image.device), _Gradients(parameters, 1.0 / len(batches))
    with draws.again():
        now, rows = _joint(losses_of, batches, gradients), gradients.rows
    shared = [index for index in range(len(parameters)) if sum(row[index] is not None for row in rows.values()) > 1]
    if not shared:
        return {}
    kept = [parameters[index].detach().clone() for index in shared]
    result: dict[str, float] = {}
    for stepping, row in rows.items():
        moves = [row[index] for index in shared]
        average_in_place([move for move in moves if move is not None])
        for index, move in zip(shared, moves, strict=True):
            if move is not None:
                parameters[index].data.sub_(move, alpha=rates[id(parameters[index])])
        with torch.no_grad(), draws.again():
            after = _joint(losses_of, batches)
        for index, before in zip(shared, kept, strict=True):
            parameters[index].data.copy_(before)
        for name, loss in now.items():
            if loss > 0:
                result[f"{stepping}>{name}"] = 1.0 - after[name] / loss
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
            found = torch.autograd.grad(loss * self.share, self.parameters, retain_graph=True, allow_unused=True)
            old = self.rows.get(name, [None] * len(found))
            self.rows[name] = [
                new if before is None else before if new is None else before + new
                for before, new in zip(old, found, strict=True)
            ]
