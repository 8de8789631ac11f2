"""Backward passes that end at given tensors, and sums of gradients of which some are absent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from frugalmtl.balancing._graph import share_nodes

Rows = list[list[Tensor | None]]
"""A gradient per task, tensor by tensor."""


def take_rows(losses: Sequence[Tensor], scale: float, leaves: Sequence[Tensor], *, keep: bool) -> Rows:
    """A gradient per loss at the leaves; parameters behind them get theirs in ``.grad``.

    What was computed behind the leaves is given free as soon as no other loss needs it.

    Args:
        losses: scalars.
        scale: factor on every gradient.
        leaves: where gradients are taken.
        keep: whether the graph is needed afterwards.
    """
    keep_all = keep or share_nodes(losses)
    last = len(losses) - 1
    return [take(loss, scale, leaves, keep=keep or (keep_all and index < last)) for index, loss in enumerate(losses)]


def take(scalar: Tensor | None, scale: float, tensors: Sequence[Tensor], *, keep: bool) -> list[Tensor | None]:
    """Gradients of a scalar at leaves of its graph, None where it does not reach one; other leaves keep theirs.

    Through ``.grad`` rather than :func:`torch.autograd.grad`: autograd then hands over tensors that nobody else holds.
    """
    if scalar is not None and scalar.requires_grad:
        torch.autograd.backward(scalar * scale, retain_graph=keep)
    return clear(tensors)


def go_back(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], *, keep: bool) -> None:
    """Go on with gradients at the tensors; those without one are left out."""
    ends = [tensor for tensor, gradient in zip(tensors, gradients, strict=True) if gradient is not None]
    if ends:
        torch.autograd.backward(ends, [item for item in gradients if item is not None], retain_graph=keep)


def clear(tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Take the gradients out of ``.grad``."""
    gradients = []
    for tensor in tensors:
        gradients.append(tensor.grad)
        tensor.grad = None
    return gradients


def sums(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Sums tensor by tensor; see :func:`plus`."""
    return [plus(*pair) for pair in zip(one, other, strict=True)]


def plus(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The sum, over the first where both are there."""
    if one is None or other is None:
        return other if one is None else one
    return one.add_(other)


def or_zeros(tensor: Tensor | None, like: Tensor) -> Tensor:
    """The tensor, or zeros of the shape of another where there is none."""
    return torch.zeros_like(like) if tensor is None else tensor
