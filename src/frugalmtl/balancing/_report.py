"""Weights, norms and cosines of a step, for the log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from torch import Tensor

from frugalmtl.balancing._transfers import HostCopy, Pending, constant
from frugalmtl.balancing.base import BalancerReport

Compared = tuple[dict[str, float], dict[str, float]]


def compared(
    names: Sequence[str],
    gramian: Tensor,
    weights: Sequence[Tensor | float],
    factors: Tensor | Sequence[float],
) -> BalancerReport:
    """The record of a step. What is on a device is copied to the host without waiting, and read when the log is.

    Args:
        names: the tasks.
        gramian: inner products ``[T, T]`` of the gradients of weighted losses.
        weights: of the unweighted losses, as the method chose them.
        factors: what the losses were multiplied with before the gradients were taken; the norm of a gradient that was
            multiplied with 0 is unknown and left out.
    """
    copied = HostCopy([gramian, factors if isinstance(factors, Tensor) else constant(factors, gramian)])

    @cache
    def read() -> Compared:
        products, divisors = copied.get()
        return _compare(names, products, divisors.tolist())

    by_task: dict[str, Tensor | float] = dict(zip(names, weights, strict=True))
    return BalancerReport(by_task, Pending(lambda: read()[0]), Pending(lambda: read()[1]))


def _compare(names: Sequence[str], gramian: Tensor, factors: Sequence[float]) -> Compared:
    """Norms and cosines; none after an overflow that the loss scaler takes care of, or with nothing to compare."""
    if not bool(gramian.isfinite().all()) or not bool(gramian.any()):
        return {}, {}
    squares = gramian.tolist()
    lengths = [math.sqrt(max(squares[index][index], 0.0)) for index in range(len(names))]
    norms = {name: length / factor for name, length, factor in zip(names, lengths, factors, strict=True) if factor}
    cosines = {
        f"{names[one]}~{names[other]}": squares[one][other] / (lengths[one] * lengths[other])
        for one in range(len(names))
        for other in range(one + 1, len(names))
        if lengths[one] and lengths[other]
    }
    return norms, cosines
