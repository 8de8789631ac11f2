"""Budget of a deployed model: a share of a reference, multiply-adds, or milliseconds; and how it is kept."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, TypeVar, cast, get_args

from frugalmtl.core.checks import UserError, known, positive

Choice = TypeVar("Choice")
Runtime = Literal["eager", "onnxruntime"]
Decision = Callable[[], None]
"""Puts a model into a state in which it could be deployed."""
HERE: dict[Runtime, str] = {"eager": "this machine in eager PyTorch", "onnxruntime": "this machine in onnxruntime"}
"""Whose time a budget without a file counts."""

ROUNDS = 10
CLOSE_ENOUGH = 0.01
"""Relative distance from the wanted time at which no further model is measured."""
UNRESOLVED = 0.1
"""Relative difference up to which two measurements of one time are not told apart: they lie minutes apart, and the
machine does other things in between. A budget so little below the least time is that of the cheapest model."""


TimeOf = Callable[..., list[float]]
"""Tells the time of a model as it would be deployed, as a :class:`Clock` does when it is called; slow."""


class Clock(Protocol):
    """Tells the time of a model as it would be deployed, and whose time it is.

    Attributes:
        between: how many models between the cheapest and the dearest it is asked for before a training.
    """

    between: int

    @property
    def place(self) -> str:
        """Machine and runtime, for messages (``"this machine in eager PyTorch"``)."""
        ...

    def __call__(self, decisions: Sequence[Decision] = ()) -> list[float]:
        """Milliseconds per image with each decision, measured against each other; with none, of the model as it is.

        Args:
            decisions: each puts the model into the state whose time is told. It is left in the last one.
        """
        ...


_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Budget:
    """What the whole deployed model may cost per image.

    Attributes:
        kind: a share of the single-task networks' multiply-adds, multiply-adds, or milliseconds.
        value: the number.
        runtime: who runs the model in those milliseconds: PyTorch operation by operation, or its file in onnxruntime.
    """

    kind: Literal["share", "macs", "ms"]
    value: float
    runtime: Runtime = "eager"

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``"0.6x"`` (of the single-task networks), ``"1.2G"`` (multiply-adds), ``"35ms"`` (eager PyTorch) or
        ``"35ms@onnxruntime"``.

        Raises:
            UserError: none of these.
        """
        match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(x|ms|[kMGT]?)\s*(?:(?<=ms)@(\w+)\s*)?", str(text))
        try:
            number = float(match.group(1)) if match else 0.0
        except ValueError:
            match = None
        if match is None:
            raise UserError(
                f"budget must be a share of the single-task networks such as '0.6x', multiply-adds such as '1.2G', or "
                f"milliseconds such as '35ms' or '35ms@onnxruntime', but got {text!r}"
            )
        positive("budget", number)
        if match.group(2) == "x":
            return cls("share", number)
        if match.group(2) == "ms":
            return cls("ms", number, cast(Runtime, known("runtime", match.group(3) or "eager", get_args(Runtime))))
        return cls("macs", number * _UNITS[match.group(2)])


@dataclass(frozen=True)
class CostPoint:
    """A model that a method can deploy: the cheapest, the most expensive, or one between.

    Attributes:
        words: names it in messages (``"single-task networks"``).
        macs: its multiply-adds per image.
        milliseconds: per image; NaN where it was not measured.
    """

    words: str
    macs: float
    milliseconds: float = float("nan")


def goal_in_macs(budget: Budget, reference: float, least: CostPoint, most: CostPoint, slack: float = 0.001) -> float:
    """Multiply-adds to aim at, for a budget that is a share or a number of multiply-adds.

    A budget that every model meets is that of the most expensive one, and a warning says so.

    Args:
        budget: of the whole deployed model.
        reference: multiply-adds of the single-task networks, to which shares refer.
        least: the cheapest model.
        most: the most expensive one.
        slack: relative distance beyond either end that is still taken as it is.

    Raises:
        UserError: every model costs more.
    """
    goal = budget.value * (reference if budget.kind == "share" else 1.0)
    asked = f"a budget of {goal / 1e9:.4g} G multiply-adds ({goal / reference:.2f}x of the single-task networks)"
    low = f"{least.words} costs {least.macs / 1e9:.4g} G ({least.macs / reference:.2f}x)"
    high = f"{most.macs / 1e9:.4g} G ({most.macs / reference:.2f}x)"
    if goal < (1.0 - slack) * least.macs:
        raise UserError(f"{asked} cannot be kept: {low}, {most.words} {high}; ask for something between")
    if goal > (1.0 + slack) * most.macs:
        warnings.warn(f"{asked} is met by {most.words} at {high}: that is trained", stacklevel=2)
        return most.macs
    return goal


def goal_of_time(wanted: float, points: Sequence[CostPoint], place: str) -> float:
    """Multiply-adds at which a time is to be expected, on the lines between measured models.

    A time that every model keeps is that of the most expensive one, and one that lies below the cheapest model's by no
    more than :data:`UNRESOLVED` is that of the cheapest one; a warning says so.

    Args:
        wanted: milliseconds per image.
        points: measured models, from the cheapest to the most expensive.
        place: where they were measured, see :class:`Clock`.

    Raises:
        UserError: every model takes longer.
    """
    least, most = points[0], points[-1]
    fast, slow = least.milliseconds, most.milliseconds
    if wanted < (1.0 - UNRESOLVED) * fast:
        raise UserError(
            f"a budget of {wanted:.4g} ms cannot be kept: on {place} {least.words} takes {fast:.4g} ms, "
            f"{most.words} {slow:.4g} ms; ask for something between"
        )
    if wanted < fast:
        words = (
            f"a budget of {wanted:.4g} ms is what {least.words} takes, within {UNRESOLVED:.0%}: {fast:.4g} ms on "
            f"{place}; that is trained"
        )
        warnings.warn(words, stacklevel=2)
        return least.macs
    if wanted > slow:
        words = f"a budget of {wanted:.4g} ms is met by {most.words} in {slow:.4g} ms on {place}: that is trained"
        warnings.warn(words, stacklevel=2)
        return most.macs
    crossed = [pair for pair in pairwise(points) if pair[0].milliseconds <= wanted <= pair[1].milliseconds]
    below, above = crossed[-1] if crossed else (least, most)  # of several the dearest: it keeps the time as well
    return _between((below.macs, below.milliseconds), (above.macs, above.milliseconds), wanted)


def nearest_in_time(
    wanted: float, goal: float, least: CostPoint, most: CostPoint, trial: Callable[[float], tuple[Choice, float]]
) -> Choice:
    """The choice whose measured time is nearest to the wanted one, of at most :data:`ROUNDS` that are tried.

    Each trial is made at the multiply-adds where the wanted time is to be expected between the nearest faster and
    slower trials, so that the time is closed in on from both sides. Where every model keeps the time only the most
    expensive one is tried, and where none does only the cheapest.

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
    for _ in range(ROUNDS if least.milliseconds <= wanted <= most.milliseconds else 1):
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
