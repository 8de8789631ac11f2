"""Final gates: widths that processors like, at a cost that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalmtl.channels import Mask

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """Gates that are rounded together: those of one site, or of sites that share theirs.

    Attributes:
        start: first gate.
        width: number of gates.
        multiple: kept gates come in multiples of this (or all, or none).
    """

    start: int
    width: int
    multiple: int

    def allowed(self, count: int) -> bool:
        """Whether that many kept channels are a good width."""
        return count == self.width or count % self.multiple == 0

    def nearest(self, count: int) -> int:
        """The good width nearest to ``count``."""
        down = count // self.multiple * self.multiple
        return min((down, min(down + self.multiple, self.width)), key=lambda width: abs(width - count))


def rounded(scores: Scores, blocks: Sequence[Block]) -> Mask:
    """Open gates, the nearest ones flipped so that every task's own width and the shared width are good in each block.

    Where a block's whole width is no multiple itself, own widths are good, but the shared one may be odd.

    Args:
        scores: ``[T, U]``; positive is open, and the absolute value is how sure that is.
        blocks: see :class:`Block`.
    """
    result = scores > 0
    for block in blocks:
        if block.multiple > 1:
            part = slice(block.start, block.start + block.width)
            result[:, part] = _round_block(scores[:, part], block)
    return result


def _round_block(scores: Scores, block: Block) -> Mask:
    own = np.zeros(scores.shape, dtype=bool)
    for row, line in zip(own, scores, strict=True):
        count = block.nearest(int((line > 0).sum()))
        row[np.argsort(-line, kind="stable")[:count]] = True
    return _round_shared(own, scores, block)


def _round_shared(own: Mask, scores: Scores, block: Block) -> Mask:
    """Swap open and closed gates within tasks until the channels that somebody shares make a good width, too."""
    extra = (block.width - int(own.all(0).sum())) % block.multiple
    if block.allowed(block.width - int(own.all(0).sum())):
        return own
    options: list[tuple[float, Mask]] = []
    for swap, steps in ((_share_less, extra), (_share_more, min(block.multiple - extra, int(own.all(0).sum())))):
        changed, price = own.copy(), 0.0
        for _ in range(steps):
            price += swap(changed, scores)
        if block.allowed(block.width - int(changed.all(0).sum())):
            options.append((price, changed))
    return min(options, key=lambda option: option[0])[1] if options else own


def _share_less(own: Mask, scores: Scores) -> float:
    """Open the last closed gate of a channel, and close another one of that task that was alone; in place."""
    lacking = ~own & (own.sum(0) == len(own) - 1)
    return _swap(own, scores, lacking, own & ~own.all(0))


def _share_more(own: Mask, scores: Scores) -> float:
    """Close a gate of a channel that all tasks own, and open another one of that task that stays shared; in place."""
    still_shared = ~own & (own.sum(0) < len(own) - 1)
    return _swap(own, scores, still_shared, own & own.all(0))


def _swap(own: Mask, scores: Scores, may_open: Mask, may_close: Mask) -> float:
    """Open one gate and close one of the same task where that costs least; in place. Returns the price."""
    best: tuple[float, int, int, int] | None = None
    for task in range(len(own)):
        closed, opened = np.flatnonzero(may_open[task]), np.flatnonzero(may_close[task])
        if len(closed) and len(opened):
            gain, loss = closed[np.argmax(scores[task, closed])], opened[np.argmin(scores[task, opened])]
            price = float(scores[task, loss] - scores[task, gain])
            if best is None or price < best[0]:
                best = (price, task, int(gain), int(loss))
    if best is None:
        return float("inf")
    price, task, gain, loss = best
    own[task, gain], own[task, loss] = True, False
    return price


def settle(
    alpha: Scores,
    cost: Scores,
    blocks: Sequence[Block],
    exact: Callable[[Mask], float],
    target: float,
    *,
    tolerance: float = 0.003,
) -> Mask:
    """Open gates of good widths whose exact cost is as near to the target as can be had.

    The price per cost is halved until the rounded gates meet the target; what rounding leaves over is made up by
    opening or closing one step of width at a time where that fits best.

    Args:
        alpha: ``[T, U]``.
        cost: ``[U]`` of a gate, relative to the mean.
        blocks: of all gates.
        exact: gates ``[T, U]`` -> cost in the unit of the target.
        target: wanted cost.
        tolerance: relative difference that is good enough.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = np.unique((alpha / cost)[:, cost > 0])
    low, high = -1, len(worth)
    best, best_error = np.zeros(alpha.shape, dtype=bool), np.inf
    price = 0.0
    while high - low > 1:
        middle = (low + high) // 2
        candidate = rounded(alpha - worth[middle] * cost, blocks)
        error = exact(candidate) - target
        if abs(error) < best_error:
            best, best_error, price = candidate, abs(error), float(worth[middle])
        low, high = (middle, high) if error > 0 else (low, middle)
    if len(worth):
        least = worth[0] - 1e-3 * max(abs(float(worth[0])), 1e-6)
        candidate = rounded(alpha - least * cost, blocks)
        if abs(exact(candidate) - target) < best_error:
            best, best_error, price = candidate, abs(exact(candidate) - target), float(least)
    scores = alpha - price * cost
    for _ in range(40):
        if best_error <= tolerance * target:
            break
        better = _one_step(best, scores, blocks, exact, target, best_error, tolerance * target)
        if better is None:
            break
        best, best_error = better
    return best


def _one_step(
    own: Mask,
    scores: Scores,
    blocks: Sequence[Block],
    exact: Callable[[Mask], float],
    target: float,
    error: float,
    enough: float,
) -> tuple[Mask, float] | None:
    """The first change by one width in a block that leaves a quarter of the error, else the best, if any helps."""
    opening = exact(own) < target
    found: tuple[Mask, float] | None = None
    for block in blocks:
        for changed in _steps(own, scores, block, opening=opening):
            left = abs(exact(changed) - target)
            if left < error and (found is None or left < found[1]):
                found = (changed, left)
            if left <= max(enough, error / 4):
                return changed, left
    return found


def _steps(own: Mask, scores: Scores, block: Block, *, opening: bool) -> Iterator[Mask]:
    """The block one width wider or narrower: for one task each, and for all tasks together.

    Together, since a channel that one task more or less shares may cost nothing: what its own branch saves, the shared
    one pays.
    """
    part = slice(block.start, block.start + block.width)
    sign = -1.0 if opening else 1.0
    for task in range(len(own)):
        line = own[task, part]
        rest = int(line.sum()) % block.multiple
        step = block.multiple - rest if opening else rest or block.multiple
        free = np.flatnonzero(~line if opening else line)
        chosen = free[np.argsort(sign * scores[task, part][free], kind="stable")[:step]]
        if len(chosen):
            changed = own.copy()
            changed[task, block.start + chosen] = opening
            if block.multiple > 1:
                changed[:, part] = _round_shared(changed[:, part], scores[:, part], block)
            yield changed
    alike = np.flatnonzero(~own[:, part].any(0) if opening else own[:, part].all(0))
    chosen = alike[np.argsort(sign * scores[:, part].sum(0)[alike], kind="stable")[: block.multiple]]
    if len(chosen) and len(own) > 1:
        changed = own.copy()
        changed[:, block.start + chosen] = opening
        yield changed
