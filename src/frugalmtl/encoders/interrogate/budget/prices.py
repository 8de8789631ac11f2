"""Decisions of gates at a price: for every channel the tasks that keep it, chosen together."""

from __future__ import annotations

import torch
from torch import Tensor


def scores_at(worth: Tensor, charge: Tensor) -> Tensor:
    r"""What a gate being open adds to the best choice of its channel; positive for gates that are open.

    A channel costs what all tasks together compute of it: ``k`` copies if all ``k = T`` tasks keep their own, and one
    more, the shared one, if somebody does not. Gates of one channel are therefore decided together: those tasks keep it
    that maximise

        sum_{t keeps} worth_t - charge (k + [k < T]),

    so that ``T - 1`` tasks never keep a channel and leave the last one a shared copy that saves nothing. At no charge
    the score is the worth itself.

    Args:
        worth: ``[T, U]``, of every task's own channel against the shared one.
        charge: ``[U]``, the price of one copy.
    """
    tasks = len(worth)
    if tasks == 1:
        return worth
    copies = torch.arange(1, tasks + 1, device=worth.device, dtype=worth.dtype)  # own ones of the others, and one
    with_it = copies + (copies < tasks)
    best: list[Tensor] = []
    for task in range(tasks):
        others = torch.cat([worth[:task], worth[task + 1 :]])
        sums = others.sort(0, descending=True).values.cumsum(0)
        sums = torch.cat([torch.zeros_like(sums[:1]), sums])
        kept = (sums - charge * with_it[:, None]).amax(0)
        left = (sums - charge * copies[:, None]).amax(0)
        best.append(worth[task] + (kept - left))
    return torch.stack(best)


def prices_of(worth: Tensor, cost: Tensor) -> Tensor:
    """Prices at which the tasks that keep a channel change, in rising order: ``[N]``.

    Args:
        worth: ``[T, U]``.
        cost: ``[U]``, of one copy of a channel.
    """
    tasks, paid = len(worth), cost > 0
    zero = torch.zeros_like(worth[:1, paid])
    sums = torch.cat([zero, worth[:, paid].sort(0, descending=True).values.cumsum(0)])
    copies = [count + (count < tasks) for count in range(tasks + 1)]
    prices = [
        (sums[more] - sums[fewer]) / ((copies[more] - copies[fewer]) * cost[paid])
        for fewer in range(tasks)
        for more in range(fewer + 1, tasks + 1)
        if copies[more] > copies[fewer]
    ]
    return torch.cat(prices).sort().values if prices else sums.new_zeros(0)


def smooth_cost(open_gates: Tensor, macs: Tensor) -> Tensor:
    """Multiply-adds of the layers before the sites: own channels, and each shared one that some task picks.

    Args:
        open_gates: ``[T, U]`` of zeros and ones.
        macs: ``[U]`` of one channel (or unit of channels).
    """
    return (macs * (open_gates.sum(0) + 1.0 - open_gates.prod(0))).sum()


def price_for(worth: Tensor, macs: Tensor, cost: Tensor, target: float) -> float:
    """The lowest price at which the gates that :func:`scores_at` opens cost just ``target`` or less.

    The cost falls as the price rises, so it is found by halving among the prices at which some gate flips. A negative
    price opens gates that would be closed.

    Args:
        worth: ``[T, U]``.
        macs: ``[U]`` of a gate's channels.
        cost: ``[U]``, the same relative to its mean.
        target: multiply-adds of the layers before the sites.
    """
    prices = prices_of(worth, cost)
    if not len(prices):
        return 0.0
    prices = prices + 8 * torch.finfo(prices.dtype).eps * prices.abs()  # so that a gate is closed at its own price

    def spent(price: Tensor) -> Tensor:
        return smooth_cost((scores_at(worth, price * cost) > 0).to(macs.dtype), macs)

    low, high = -1, len(prices) - 1  # at prices[high] nobody keeps what costs
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if spent(prices[middle]) > target else (low, middle)
    if low >= 0:
        return float(prices[high])
    below = prices[0] - prices[0].abs().clamp(min=1e-6) * 1e-3
    return float(below if spent(below) <= target else prices[0])
