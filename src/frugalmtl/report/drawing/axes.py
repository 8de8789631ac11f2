"""Lines and scales of a figure's axes."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.ticker import LogLocator, NullFormatter

from frugalmtl.report.palette import DASHED, Theme


def level_line(axes: Any, value: float, theme: Theme) -> None:
    """A dashed horizontal line: the level that values are held against."""
    axes.axhline(value, color=theme.quiet, linewidth=0.9, linestyle=DASHED, zorder=1)


def logarithmic(axis: Any, subs: tuple[float, ...] = (1.0, 2.0, 5.0)) -> None:
    """Plain numbers at 1, 2 and 5 (or ``subs``) times the powers of ten of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def axis_words(text: str, letters: int) -> str:
    """The name of an axis in at most two lines."""
    return textwrap.fill(text, letters, max_lines=2, placeholder=" …")
