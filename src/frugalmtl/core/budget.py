"""Budget of a deployed model: a share of a reference, multiply-adds, or milliseconds; and how it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from frugalmtl.core.checks import UserError, positive

Choice = TypeVar("Choice")

ROUNDS = 10
CLOSE_ENOUGH = 0.01
"""Relative distance from the wanted time at which no further model is measured."""

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


@dataclass(frozen=True)
class CostEnd:
    """The cheapest or the most expensive model that a method can deploy.

    Attributes:
        words: names it in messages (``"single-task networks"``).
        macs: its multiply-adds per image.
        milliseconds: per image on this machine; NaN where it was not measured.
    """

    words: str
    macs: float
    milliseconds: float = float("nan")


def goal_in_macs(budget: Budget, reference: float, least: CostEnd, most: CostEnd, slack: float = 0.001) -> float:
    """Multiply-adds to aim at, for a budget that is a share or a number of multiply-adds.

    Args:
        budget: of the whole deployed model.
        reference: multiply-adds of the single-task networks, to which shares refer.
        least: the cheapest model.
        most: the most expensive one.
        slack: relative distance beyond either end that is still taken.

    Raises:
        UserError: no model costs that.
    """
    goal = budget.value * (reference if budget.kind == "share" else 1.0)
    if not (1.0 - slack) * least.macs <= goal <= (1.0 + slack) * most.macs:
        raise UserError(
            f"a budget of {goal / 1e9:.4g} G multiply-adds ({goal / reference:.2f}x of the single-task networks) "
            f"cannot be kept: {least.words} costs {least.macs / 1e9:.4g} G ({least.macs / reference:.2f}x), "
            f"{most.words} {most.macs / 1e9:.4g} G ({most.macs / reference:.2f}x); ask for something between"
        )
    return goal


def goal_of_time(wanted: float, least: CostEnd, most: CostEnd) -> float:
    """Multiply-adds at which a time is to be expected, on the line between the measured ends.

    Args:
        wanted: milliseconds per image.
        least: the cheapest model, measured.
        most: the most expensive one, measured.

    Raises:
        UserError: no model takes that long, or that short.
    """
    fast, slow = least.milliseconds, most.milliseconds
    if not fast <= wanted <= slow:
        raise UserError(
            f"a budget of {wanted:.4g} ms cannot be kept: on this machine {least.words} takes {fast:.4g} ms, "
            f"{most.words} {slow:.4g} ms; ask for something between"
        )
    return _between((least.macs, fast), (most.macs, slow), wanted)


def nearest_in_time(
    wanted: float, goal: float, least: CostEnd, most: CostEnd, trial: Callable[[float], tuple[Choice, float]]
) -> Choice:
    """The choice whose measured time is nearest to the wanted one, of at most :data:`ROUNDS` that are tried.

    Each trial is made at the multiply-adds where the wanted time is to be expected between the nearest faster and
    slower trials, so that the time is closed in on from both sides.

    Args:
        wanted: milliseconds per image.
        goal: multiply-adds of the first trial, see :func:`goal_of_time`.
        least: the cheapest model, measured.
        most: the most expensive one, measured.
        trial: multiply-adds -> what a method chooses at them, and the milliseconds that it takes.
    """
    below, above = (least.macs, least.milliseconds), (most.macs, most.milliseconds)
    trials: list[tuple[float, Choice]] = []
    target = goal
    for _ in range(ROUNDS):
        choice, measured = trial(target)
        trials.append((abs(measured - wanted), choice))
        if abs(measured - wanted) <= CLOSE_ENOUGH * wanted:
            break
        below, above = ((target, measured), above) if measured < wanted else (below, (target, measured))
        target = _between(below, above, wanted)
    return min(trials, key=lambda pair: pair[0])[1]


def _between(below: tuple[float, float], above: tuple[float, float], wanted: float) -> float:
    """Multiply-adds at which the wanted time is to be expected, on the line between a faster and a slower model.

    Never nearer than a tenth of the way to either, so that a bent line is closed in on from both sides.

    Args:
        below: multiply-adds and milliseconds of the faster one.
        above: those of the slower one.
        wanted: milliseconds.
    """
    (least, fast), (most, slow) = below, above
    share = (wanted - fast) / (slow - fast) if slow > fast else 0.5
    return least + (most - least) * min(0.9, max(0.1, share))
