"""Rounding of gates to widths that processors like, at the cost of a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from frugalmtl.channels import Mask
from frugalmtl.encoders.interrogate.budget.prices import prices_of, scores_at

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class GateGroup:
    """Gates that are rounded together: those of one site, or of sites that share theirs.

    Attributes:
        start: first gate.
        width: number of gates.
        multiple: kept gates come in multiples of this (or all, or none).
        least: the multiple where no cost near enough to the budget has kept gates in such multiples; None for the same.
    """

    start: int
    width: int
    multiple: int
    least: int | None = None

    def allowed(self, count: int) -> bool:
        """Whether that many kept channels are a good width."""
        return count == self.width or count % self.multiple == 0

    def nearest(self, count: int) -> int:
        """The good width nearest to ``count``."""
        down = count // self.multiple * self.multiple
        return min((down, min(down + self.multiple, self.width)), key=lambda width: abs(width - count))


def rounded(scores: Scores, groups: Sequence[GateGroup]) -> Mask:
    """Open gates, the nearest ones flipped so that in each group the private widths and the shared width are good.

    Where a group's whole width is no multiple itself, private widths are good, but the shared one may be odd.

    Args:
        scores: ``[T, U]``; positive is open, and the absolute value is how sure that is.
        groups: see :class:`GateGroup`.
    """
    result = scores > 0
    for group in groups:
        if group.multiple > 1:
            part = slice(group.start, group.start + group.width)
            result[:, part] = _round_group(scores[:, part], group)
    return result


def _round_group(scores: Scores, group: GateGroup) -> Mask:
    private = np.zeros(scores.shape, dtype=bool)
    for row, line in zip(private, scores, strict=True):
        count = group.nearest(int((line > 0).sum()))
        row[np.argsort(-line, kind="stable")[:count]] = True
    return _round_shared(private, scores, group)


def _round_shared(private: Mask, scores: Scores, group: GateGroup) -> Mask:
    """Swap open and closed gates within tasks until the channels that somebody shares make a good width, too."""
    extra = (group.width - int(private.all(0).sum())) % group.multiple
    if group.allowed(group.width - int(private.all(0).sum())):
        return private
    options: list[tuple[float, Mask]] = []
    for swap, steps in ((_share_less, extra), (_share_more, min(group.multiple - extra, int(private.all(0).sum())))):
        changed, price = private.copy(), 0.0
        for _ in range(steps):
            price += swap(changed, scores)
        if group.allowed(group.width - int(changed.all(0).sum())):
            options.append((price, changed))
    return min(options, key=lambda option: option[0])[1] if options else private


def _share_less(private: Mask, scores: Scores) -> float:
    """Open the last closed gate of a channel, and close another one of that task that was alone; in place."""
    lacking = ~private & (private.sum(0) == len(private) - 1)
    return _swap(private, scores, lacking, private & ~private.all(0))


def _share_more(private: Mask, scores: Scores) -> float:
    """Close a gate of a channel that all tasks keep, and open another one of that task that stays shared; in place."""
    still_shared = ~private & (private.sum(0) < len(private) - 1)
    return _swap(private, scores, still_shared, private & private.all(0))


def _swap(private: Mask, scores: Scores, may_open: Mask, may_close: Mask) -> float:
    """Open one gate and close one of the same task where that costs least; in place. Returns the price."""
    best: tuple[float, int, int, int] | None = None
    for task in range(len(private)):
        closed, opened = np.flatnonzero(may_open[task]), np.flatnonzero(may_close[task])
        if len(closed) and len(opened):
            gain, loss = closed[np.argmax(scores[task, closed])], opened[np.argmin(scores[task, opened])]
            price = float(scores[task, loss] - scores[task, gain])
            if best is None or price < best[0]:
                best = (price, task, int(gain), int(loss))
    if best is None:
        return float("inf")
    price, task, gain, loss = best
    private[task, gain], private[task, loss] = True, False
    return price


def rounded_to_cost(
    alpha: Scores,
    cost: Scores,
    groups: Sequence[GateGroup],
    exact: Callable[[Mask], float],
    target: float,
    *,
    tolerance: float = 0.003,
) -> Mask:
    """Open gates of good widths whose exact cost is as near to the target as possible.

    The price per cost is bisected until the rounded gates meet the target; what rounding leaves over is corrected by
    opening or closing one step of width at a time where that fits best.

    Args:
        alpha: ``[T, U]``.
        cost: ``[U]`` of a gate, relative to the mean.
        groups: of all gates.
        exact: gates ``[T, U]`` -> cost in the unit of the target.
        target: wanted cost.
        tolerance: relative difference that is good enough.
    """
    values, costs = torch.from_numpy(alpha), torch.from_numpy(cost)
    prices = sorted(set(prices_of(values, costs).tolist()))

    def scores_of(price: float) -> Scores:
        return np.asarray(scores_at(values, price * costs))

    low, high = -1, len(prices)
    best, best_error = np.zeros(alpha.shape, dtype=bool), np.inf
    price = 0.0
    while high - low > 1:
        middle = (low + high) // 2
        candidate = rounded(scores_of(prices[middle]), groups)
        error = exact(candidate) - target
        if abs(error) < best_error:
            best, best_error, price = candidate, abs(error), prices[middle]
        low, high = (middle, high) if error > 0 else (low, middle)
    if prices:
        least = prices[0] - 1e-3 * max(abs(prices[0]), 1e-6)
        candidate = rounded(scores_of(least), groups)
        if abs(exact(candidate) - target) < best_error:
            best, best_error, price = candidate, abs(exact(candidate) - target), least
    scores = scores_of(price)
    fine = [group if group.least is None else replace(group, multiple=group.least) for group in groups]
    for steps in (groups, fine) if fine != list(groups) else (groups,):
        for _ in range(40):
            if best_error <= tolerance * target:
                break
            better = _one_step(best, scores, steps, exact, target, best_error, tolerance * target)
            if better is None:
                break
            best, best_error = better
    return best


def _one_step(
    private: Mask,
    scores: Scores,
    groups: Sequence[GateGroup],
    exact: Callable[[Mask], float],
    target: float,
    error: float,
    enough: float,
) -> tuple[Mask, float] | None:
    """The first change by one width in a group that leaves a quarter of the error, else the best, if any helps."""
    opening = exact(private) < target
    nearest: tuple[Mask, float] | None = None
    for group in groups:
        for changed in _steps(private, scores, group, opening=opening):
            remaining = abs(exact(changed) - target)
            if remaining < error and (nearest is None or remaining < nearest[1]):
                nearest = (changed, remaining)
            if remaining <= max(enough, error / 4):
                return changed, remaining
    return nearest


def _steps(private: Mask, scores: Scores, group: GateGroup, *, opening: bool) -> Iterator[Mask]:
    """The group one width wider or narrower: for one task each, and for all tasks together.

    Together, since a channel that one task more or less shares may cost nothing: what its own branch saves, the
    shared one pays.
    """
    part = slice(group.start, group.start + group.width)
    sign = -1.0 if opening else 1.0
    for task in range(len(private)):
        line = private[task, part]
        rest = int(line.sum()) % group.multiple
        step = group.multiple - rest if opening else rest or group.multiple
        free = np.flatnonzero(~line if opening else line)
        chosen = free[np.argsort(sign * scores[task, part][free], kind="stable")[:step]]
        if len(chosen):
            changed = private.copy()
            changed[task, group.start + chosen] = opening
            if group.multiple > 1:
                changed[:, part] = _round_shared(changed[:, part], scores[:, part], group)
            yield changed
    alike = np.flatnonzero(~private[:, part].any(0) if opening else private[:, part].all(0))
    chosen = alike[np.argsort(sign * scores[:, part].sum(0)[alike], kind="stable")[: group.multiple]]
    if len(chosen) == group.multiple and len(private) > 1:
        changed = private.copy()
        changed[:, group.start + chosen] = opening
        yield changed
