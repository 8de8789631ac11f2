"""User errors, and checks of names and numbers that raise them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice

from frugalmtl.core.terminal import visible

LONGEST_LINE = 1000
"""Characters of a message; what a user gave is shortened before (:func:`shown`), so that few are cut."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that says what was given, what was expected and what to do.

    The command line prints the message alone (no traceback) and exits with code 2; library users catch a
    ``ValueError``. Internal defects are never raised as ``UserError``.
    """

    def __init__(self, message: str) -> None:
        line = visible(" ".join(message.split()))
        if len(line) > LONGEST_LINE:
            line = f"{line[: LONGEST_LINE * 2 // 3]} ... {line[-LONGEST_LINE // 3 :]}"
        super().__init__(line)


def shown(value: object, room: int = 60) -> str:
    """What a user gave as a message quotes it: in YAML's words, cut to ``room`` characters.

    >>> shown("x" * 1000, room=12)
    "'xxxxxxx...'"
    >>> shown({"epochs": None, "workers": [True, 2]})
    '{epochs: null, workers: [true, 2]}'
    """
    if isinstance(value, str | bytes):
        value = value[: room + 1]
    text = _in_yaml(value, depth=4)
    if len(text) <= room:
        return text
    end = "..." + text[-1] * isinstance(value, str | bytes | Mapping | list | tuple)
    return text[: room - len(end)] + end


def _in_yaml(value: object, depth: int) -> str:
    """A value as YAML writes it on a line; what lies deep inside is left out."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int) and value.bit_length() > 512:
        return "a number of more than 150 digits"  # Python refuses to write numbers beyond some thousand digits
    if not isinstance(value, Mapping | list | tuple):
        return repr(value)
    if depth == 0:
        return "..."
    items = list(islice(value, 20))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_in_yaml(value[key], depth - 1)}' for key in items)}}}"
    return f"[{', '.join(_in_yaml(item, depth - 1) for item in items)}]"


def known(what: str, name: str, names: Iterable[str]) -> str:
    """Return ``name`` if it is among ``names``; else raise with the known names and the closest one.

    Raises:
        UserError: ``name`` is not one of ``names``.
    """
    known_names = sorted(names)
    if name in known_names:
        return name
    close = get_close_matches(str(name)[:LONGEST_LINE], known_names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(f"unknown {what} {shown(name)}: expected one of {', '.join(known_names) or '(none)'}.{hint}")


def positive(what: str, value: float) -> float:
    """Return ``value`` if it is above zero and finite.

    Raises:
        UserError: ``value`` is zero, negative, infinite or not a number.
    """
    if not value > 0:
        raise UserError(f"{what} must be above 0, but got {shown(value)}")
    return finite(what, value)


def not_negative(what: str, value: float) -> float:
    """Return ``value`` if it is zero or above, and finite.

    Raises:
        UserError: ``value`` is negative, infinite or not a number.
    """
    if not value >= 0:
        raise UserError(f"{what} must be 0 or more, but got {shown(value)}")
    return finite(what, value)


def finite(what: str, value: float) -> float:
    """Return ``value`` if it is a finite number.

    Raises:
        UserError: ``value`` is infinite or not a number.
    """
    if not math.isfinite(value):
        raise UserError(f"{what} must be finite, but got {shown(value)}")
    return value


def fraction(what: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1].

    Raises:
        UserError: ``value`` lies outside [0, 1].
    """
    if not 0.0 <= value <= 1.0:
        raise UserError(f"{what} must lie in [0, 1], but got {shown(value)}")
    return value
