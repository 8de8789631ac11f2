"""Weights, norms and cosines of a step, for the log."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from frugalmtl.balancing.base import BalancerReport


def compared(
    names: Sequence[str], gramian: Tensor, weights: Sequence[float], factors: Sequence[float]
) -> BalancerReport:
    """The record of a step.

    Args:
        names: the tasks.
        gramian: inner products ``[T, T]`` of the gradients of weighted losses.
        weights: of the unweighted losses, as the method chose them.
        factors: what the losses were multiplied with before the gradients were taken; the norm of a gradient that was
            multiplied with 0 is unknown and left out.
    """
    by_task: dict[str, Tensor | float] = dict(zip(names, weights, strict=True))
    if not bool(gramian.isfinite().all()) or not bool(gramian.any()):
        return BalancerReport(by_task)  # an overflow that the loss scaler takes care of, or nothing to compare
    squares = gramian.tolist()
    lengths = [math.sqrt(max(squares[index][index], 0.0)) for index in range(len(names))]
    norms = {name: length / factor for name, length, factor in zip(names, lengths, factors, strict=True) if factor}
    cosines = {
        f"{names[one]}~{names[other]}": squares[one][other] / (lengths[one] * lengths[other])
        for one in range(len(names))
        for other in range(one + 1, len(names))
        if lengths[one] and lengths[other]
    }
    return BalancerReport(by_task, dict(norms), dict(cosines))
