"""User errors, and checks of names and numbers that raise them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A mistake in what the user gave: one line that says what was given, what was expected and what to do.

    The command line prints the message alone (no traceback) and exits with code 2; library users catch a
    ``ValueError``. Internal defects are never raised as ``UserError``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def known(what: str, name: str, names: Iterable[str]) -> str:
    """Return ``name`` if it is among ``names``; else raise with the known names and the closest one.

    Raises:
        UserError: ``name`` is not one of ``names``.
    """
    known_names = sorted(names)
    if name in known_names:
        return name
    close = get_close_matches(str(name), known_names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(f"unknown {what} {name!r}: expected one of {', '.join(known_names) or '(none)'}.{hint}")


def positive(what: str, value: float) -> float:
    """Return ``value`` if it is above zero and finite.

    Raises:
        UserError: ``value`` is zero, negative, infinite or not a number.
    """
    if not value > 0:
        raise UserError(f"{what} must be above 0, but got {value!r}")
    return finite(what, value)


def not_negative(what: str, value: float) -> float:
    """Return ``value`` if it is zero or above, and finite.

    Raises:
        UserError: ``value`` is negative, infinite or not a number.
    """
    if not value >= 0:
        raise UserError(f"{what} must be 0 or more, but got {value!r}")
    return finite(what, value)


def finite(what: str, value: float) -> float:
    """Return ``value`` if it is a finite number.

    Raises:
        UserError: ``value`` is infinite or not a number.
    """
    if not math.isfinite(value):
        raise UserError(f"{what} must be finite, but got {value!r}")
    return value


def fraction(what: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1].

    Raises:
        UserError: ``value`` lies outside [0, 1].
    """
    if not 0.0 <= value <= 1.0:
        raise UserError(f"{what} must lie in [0, 1], but got {value!r}")
    return value
