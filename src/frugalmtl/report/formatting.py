"""Formatting of numbers: one way of writing them for the page, the figures and the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable

NOT_MEASURED = "–"
_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY_STEPS = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def finite(values: Iterable[float]) -> list[float]:
    """The values that are numbers."""
    return [value for value in values if math.isfinite(value)]


def decimals_for(values: Iterable[float]) -> int:
    """Decimals with which a column of ``values`` shows four digits or so."""
    largest = max((abs(value) for value in finite(values)), default=0.0)
    return 4 if largest < 1 else 3 if largest < 10 else 2 if largest < 1000 else 1


def number(value: float, decimals: int = 2, *, signed: bool = False) -> str:
    """``value`` with fixed decimals and a true minus sign; an en dash if it was not measured.

    >>> number(-1.234), number(0.5, 1, signed=True), number(float("nan"))
    ('−1.23', '+0.5', '–')
    """
    if math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def scale_for(values: Iterable[float], *, binary: bool = False) -> tuple[float, str]:
    """Divisor and prefix (``"G"``) or unit (``"MiB"``) in which the largest of ``values`` reads best.

    >>> scale_for([2.5e9, 1e8]), scale_for([3 * 2.0**20], binary=True)
    ((1000000000.0, 'G'), (1048576.0, 'MiB'))
    """
    largest = max((abs(value) for value in finite(values)), default=0.0)
    for step, name in _BINARY_STEPS if binary else _STEPS:
        if largest >= step:
            return step, name
    return 1.0, "B" if binary else ""


def percent(fraction: float) -> str:
    """A ratio as a whole percentage (one decimal below 10 %)."""
    if math.isnan(fraction):
        return NOT_MEASURED
    value = 100 * fraction
    return f"{number(value, 0 if abs(value) >= 10 else 1)}\u00a0%"


def off_by(fraction: float) -> str:
    """A deviation as a signed percentage with one decimal.

    >>> off_by(0.004), off_by(-0.25)
    ('+0.4\\xa0%', '−25.0\\xa0%')
    """
    return f"{number(100 * fraction, 1, signed=True)}\u00a0%"


def spread(value: float, decimals: int) -> str:
    """``± 0.12``, or nothing if there is no spread (one seed)."""
    return f"±\u00a0{number(value, decimals)}" if math.isfinite(value) else ""


def duration(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``."""
    if not math.isfinite(seconds):
        return NOT_MEASURED
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
