"""Operating points that an experiment's encoder is calibrated for: budgets under the key ``points`` of its section."""

from __future__ import annotations

from collections.abc import Sequence

from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.registry import SpecLike
from frugalmtl.encoders import ENCODERS

KEY = "points"
"""Key of an encoder's section, and of a row of a comparison."""
LONGEST = 20
"""Characters of an operating point."""


def points_of(encoder: SpecLike) -> tuple[str, ...]:
    """The operating points that an encoder's section lists; none if the cost of such an encoder cannot be chosen.

    Raises:
        UserError: the section does not fit, or see :func:`check_points`.
    """
    spec = ENCODERS.check(encoder)
    schema = ENCODERS.schema(spec.name)
    if KEY not in schema:
        return ()
    listed = spec.args.get(KEY, schema[KEY].default)
    return check_points(f"{KEY!r} of encoder {spec.name!r}", listed or ())


def point_of(encoder: SpecLike, text: str) -> str:
    """The operating point of an encoder's section that is a budget, as the section writes it.

    >>> point_of({"name": "hard_sharing"}, "0.2x")
    Traceback (most recent call last):
    ...
    frugalmtl.core.checks.UserError: no budget '0.2x' can be chosen: the cost of encoder 'hard_sharing' is fixed

    Raises:
        UserError: no budget, or none that the section lists.
    """
    name, points = ENCODERS.check(encoder).name, points_of(encoder)
    if KEY not in ENCODERS.schema(name):
        raise UserError(f"no budget {shown(text)} can be chosen: the cost of encoder {name!r} is fixed")
    if not points:
        raise UserError(
            f"no budget {shown(text)} can be chosen: encoder {name!r} was not trained for any; train it with a list "
            f"such as encoder: {{{KEY}: [0.2x, 0.3x]}}"
        )
    wanted = str(text).strip()
    try:
        cost = Budget.parse(wanted)
    except UserError:
        cost = None
    for point in points:
        if Budget.parse(point) == cost:
            return point
    # Of numbers, the one that is written alike is seldom the one that is near: nothing is suggested.
    raise UserError(f"unknown budget {shown(wanted)}: expected one of {', '.join(points)}")


def check_points(what: str, listed: object) -> tuple[str, ...]:
    """Operating points without blanks around them.

    Args:
        what: what lists them, in messages.
        listed: the budgets.

    Raises:
        UserError: no list of texts, one that is no budget in multiply-adds, or two that are the same.
    """
    if isinstance(listed, str) or not isinstance(listed, Sequence) or not all(isinstance(one, str) for one in listed):
        raise UserError(f"{what} must be a list of budgets such as [0.2x, 1.2G], but got {shown(listed)}")
    budgets: dict[Budget, str] = {}
    for text in listed:
        try:
            budget = Budget.parse(text)
        except UserError:
            raise UserError(
                f"{what} must be shares of the single-task networks such as 0.2x or multiply-adds such as 1.2G, but "
                f"got {shown(text)}"
            ) from None
        if budget.kind == "ms":
            raise UserError(
                f"{what} must be shares of the single-task networks or multiply-adds, not the milliseconds {text!r}: "
                "time differs from machine to machine"
            )
        if budget in budgets:
            raise UserError(f"{what} holds {budgets[budget]!r} and {text!r}, which are the same: leave one out")
        if len(text.strip()) > LONGEST:
            raise UserError(f"{what}: {shown(text)} becomes part of file names: write it in {LONGEST} characters")
        budgets[budget] = text.strip()
    return tuple(budgets.values())
