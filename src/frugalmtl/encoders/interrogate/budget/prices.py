"""Prices at which gates keep a cost."""

from __future__ import annotations

import torch
from torch import Tensor


def smooth_cost(open_gates: Tensor, macs: Tensor) -> Tensor:
    """Multiply-adds of the layers before the sites: own channels, and each shared one that some task picks.

    Args:
        open_gates: ``[T, U]`` of zeros and ones.
        macs: ``[U]`` of one channel (or unit of channels).
    """
    return (macs * (open_gates.sum(0) + 1.0 - open_gates.prod(0))).sum()


def price_for(alpha: Tensor, macs: Tensor, cost: Tensor, target: float) -> float:
    """The price at which the gates ``alpha > price * cost`` cost just ``target`` or less.

    The cost falls as the price rises, so it is found by halving among the prices at which some gate flips. A negative
    price opens gates that would be closed.

    Args:
        alpha: ``[T, U]``.
        macs: ``[U]`` of a gate's channels.
        cost: ``[U]``, the same relative to its mean.
        target: multiply-adds of the layers before the sites.
    """
    worth = (alpha / cost)[:, cost > 0].flatten().sort().values
    worth = worth + 4 * torch.finfo(worth.dtype).eps * worth.abs()  # so that a gate is closed at its own price
    low, high = -1, len(worth) - 1  # at the price worth[high] all gates with a cost are closed; below worth[0] none is
    while high - low > 1:
        middle = (low + high) // 2
        spent = smooth_cost((alpha > worth[middle] * cost).to(macs.dtype), macs)
        low, high = (middle, high) if spent > target else (low, middle)
    if low >= 0:
        return float(worth[high])
    below = worth[0] - worth[0].abs().clamp(min=1e-6) * 1e-3
    return float(below if smooth_cost((alpha > below * cost).to(macs.dtype), macs) <= target else worth[0])
