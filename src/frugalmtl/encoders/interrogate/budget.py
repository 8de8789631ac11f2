"""A budget of operations or time, and the price per operation at which the gates keep it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError, positive

_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Budget:
    """What the whole deployed model may cost per image.

    Attributes:
        kind: a share of the single-task networks' multiply-adds, multiply-adds, or milliseconds.
        value: the number.
    """

    kind: Literal["share", "macs", "ms"]
    value: float

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``"0.6x"`` (of the single-task networks), ``"1.2G"`` (multiply-adds) or ``"35ms"``.

        Raises:
            UserError: none of these.
        """
        match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(x|ms|[kMGT]?)\s*", str(text))
        try:
            number = float(match.group(1)) if match else 0.0
        except ValueError:
            match = None
        if match is None:
            raise UserError(
                f"budget must be a share of the single-task networks such as '0.6x', multiply-adds such as '1.2G', or "
                f"milliseconds such as '35ms', but got {text!r}"
            )
        positive("budget", number)
        if match.group(2) == "x":
            return cls("share", number)
        if match.group(2) == "ms":
            return cls("ms", number)
        return cls("macs", number * _UNITS[match.group(2)])


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
