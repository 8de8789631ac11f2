"""The one place where gradients per task are taken.

Two levels. At the **representation**, the graph is cut where the tasks part: each task's loss goes back to the cut and
to the parameters behind it, the gradients at the cut are aggregated, and the result goes back through the trunk once,
whatever the number of tasks (MGDA-UB, Sener and Koltun 2018, sec. 3.3). At the **parameters**, every task's loss goes
back through everything. Both use one forward pass, so batch statistics move once per step.

Parameters that are not shared (representation: all behind the cut; parameters: all outside the encoder, and those of
the encoder that fewer than two tasks reach) get the plain sum of the gradients of the losses as given. A penalty is not
aggregated: its gradient is added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from frugalmtl.balancing.base import Pass

Aggregate = Callable[[Tensor], Tensor]
"""Gradients ``[T, N]`` of T tasks -> one direction ``[N]``, in float32."""


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


def used_cut(step: Pass) -> RepresentationCut:
    """The pass's cut, if it is one."""
    if not isinstance(step.cut, RepresentationCut):
        raise TypeError("the model was not called with this balancer's cut")
    return step.cut


def backward_at_representation(step: Pass, losses: Sequence[Tensor], aggregate: Aggregate) -> None:
    """Aggregate at the cut; add to ``.grad`` of every trainable parameter.

    Args:
        step: the forward pass; its cut must be a :class:`RepresentationCut` that was used.
        losses: one scalar per task, weighted if wished.
        aggregate: what the balancer does with the gradients at the cut, flattened.
    """
    cut = used_cut(step)
    parameters = _trainable(step.model)
    leaves = cut.leaves
    rows: list[list[Tensor | None]] = []
    for loss in losses:
        gradients = _gradients(loss * step.scale, [*leaves, *parameters])
        rows.append(gradients[: len(leaves)])
        _accumulate(parameters, gradients[len(leaves) :])
    if not leaves:
        if step.penalty is not None:
            _accumulate(parameters, _gradients(step.penalty * step.scale, parameters))
        return
    directions = _aggregate(rows, leaves, aggregate, step.scale)
    if step.penalty is not None:
        gradients = _gradients(step.penalty * step.scale, [*leaves, *parameters])
        for direction, gradient in zip(directions, gradients, strict=False):
            if gradient is not None:
                direction += gradient
        _accumulate(parameters, gradients[len(leaves) :])
    torch.autograd.backward(cut.shared, directions)


def backward_at_parameters(step: Pass, losses: Sequence[Tensor], aggregate: Aggregate) -> None:
    """Aggregate over the parameters of the encoder that more than one task reaches; add to ``.grad``.

    Args:
        step: the forward pass.
        losses: one scalar per task, weighted if wished.
        aggregate: what the balancer does with the gradients, flattened.
    """
    parameters = _trainable(step.model)
    rows = [_gradients(loss * step.scale, parameters) for loss in losses]
    inside = {id(parameter) for parameter in step.model.get_submodule("encoder").parameters()}
    reached = [sum(row[index] is not None for row in rows) for index in range(len(parameters))]
    shared = [index for index, item in enumerate(parameters) if id(item) in inside and reached[index] > 1]
    if shared:
        chosen = [parameters[index] for index in shared]
        directions = _aggregate([[row[index] for index in shared] for row in rows], chosen, aggregate, step.scale)
        _accumulate(chosen, directions)
        for row in rows:
            for index in shared:
                row[index] = None
    for row in rows:
        _accumulate(parameters, row)
    if step.penalty is not None:
        _accumulate(parameters, _gradients(step.penalty * step.scale, parameters))


def _trainable(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _gradients(scalar: Tensor, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients of a scalar, None where it does not depend on the input. The graph stays for the next task."""
    if not scalar.requires_grad:
        return [None] * len(inputs)
    return list(torch.autograd.grad(scalar, inputs, retain_graph=True, allow_unused=True))


def _accumulate(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            continue
        if parameter.grad is None:
            parameter.grad = gradient.detach().clone()
        else:
            parameter.grad += gradient


def _aggregate(
    rows: Sequence[Sequence[Tensor | None]], like: Sequence[Tensor], aggregate: Aggregate, scale: float
) -> list[Tensor]:
    """Rows of gradients -> one direction, in the shapes and types of ``like``.

    The aggregator sees unscaled float32 gradients: most are not linear, and some compare with constants. Where a
    gradient is not finite there is no direction; the plain sum carries it on to the loss scaler or the engine's guard.
    """
    matrix = torch.stack([_flatten(row, like) for row in rows])
    direction = aggregate(matrix / scale) * scale if bool(matrix.isfinite().all()) else matrix.sum(dim=0)
    pieces = torch.split(direction, [tensor.numel() for tensor in like])
    return [piece.view_as(tensor).to(tensor.dtype) for piece, tensor in zip(pieces, like, strict=True)]


def _flatten(row: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    flat = [torch.zeros_like(t) if gradient is None else gradient for gradient, t in zip(row, like, strict=True)]
    kind = torch.float64 if all(tensor.dtype == torch.float64 for tensor in flat) else torch.float32
    return torch.cat([tensor.reshape(-1).to(kind) for tensor in flat])
