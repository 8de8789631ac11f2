"""Gathering of channels by their places, with gradients that are gathered or copied back, never added up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gather(tensor: Tensor, dim: int, index: Tensor) -> Tensor:
    """Places of a tensor along an axis, in a new order and in the layout of the tensor.

    As ``index_select``, for places that differ. Torch takes apart a matrix some times faster than a tensor of more
    axes, returns another layout for an image whose channels lie side by side, and in the backward pass adds up into
    zeros what is only a permutation. Exported programs have no layouts and use the plain operation.

    Args:
        tensor: of any layout.
        dim: the axis.
        index: places on it, all different, ``[K]``.
    """
    if torch.compiler.is_exporting():
        return tensor.index_select(dim, index)
    if torch.is_grad_enabled() and tensor.requires_grad:
        gathered: Tensor = _Gather.apply(tensor, dim % tensor.ndim, index)
        return gathered
    return _gather(tensor, dim % tensor.ndim, index)


class _Gather(torch.autograd.Function):
    """:func:`gather`."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, dim: int, index: Tensor) -> Tensor:
        ctx.dim, ctx.shape = dim, tensor.shape
        ctx.save_for_backward(index)
        return _gather(tensor, dim, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (index,) = ctx.saved_tensors
        if len(index) == ctx.shape[ctx.dim]:
            inverse = torch.empty_like(index).scatter_(0, index, torch.arange(len(index), device=index.device))
            return gather(gradient, ctx.dim, inverse), None, None
        return _spread(gradient, ctx.dim, index, ctx.shape[ctx.dim]), None, None


def _spread(gradient: Tensor, dim: int, index: Tensor, size: int) -> Tensor:
    """The gradient at its places along an axis of so many, and zeros elsewhere."""
    order = _order(gradient)
    stored, place = gradient.permute(order), order.index(dim)
    shape = list(stored.shape)
    shape[place] = size
    last = place == gradient.ndim - 1
    flat = stored.flatten(0, -2) if last and gradient.ndim > 2 else stored
    # New zeros of the gradient, since gradients of several losses may come side by side (vmap).
    zeros = flat.new_zeros([*flat.shape[:-1], size] if last else shape)
    # Along the last axis torch adds faster than it copies.
    whole = zeros.index_add_(-1, index, flat) if last else zeros.index_copy_(place, index, flat)
    return whole.view(shape).permute(_inverse(order))


def _order(tensor: Tensor) -> list[int]:
    """The axes as they lie in memory, the one whose neighbours are farthest apart first."""
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda axis: (-strides[axis], axis))


def _inverse(order: list[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]


def _gather(tensor: Tensor, dim: int, index: Tensor) -> Tensor:
    order = _order(tensor)
    stored, place = tensor.permute(order), order.index(dim)
    if not stored.is_contiguous():
        return tensor.index_select(dim, index)
    shape = list(stored.shape)
    shape[place] = len(index)
    if place == tensor.ndim - 1:
        taken = stored.flatten(0, -2).index_select(1, index) if tensor.ndim > 1 else stored.index_select(0, index)
    elif place == 0:
        taken = stored.flatten(1).index_select(0, index)
    else:
        taken = stored.index_select(place, index)
    return taken.view(shape).permute(_inverse(order))
