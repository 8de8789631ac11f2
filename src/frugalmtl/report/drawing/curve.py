"""Curves: lines over a number, with a legend."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from frugalmtl.core.types import Curve
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.axes import axis_words
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.small_multiples import legend_words
from frugalmtl.report.formatting import NOT_MEASURED, decimals_for, number
from frugalmtl.report.palette import series_style

_FEW = 24
"""Up to so many points on a line each has a marker."""


def curve_words(picture: Curve) -> str:
    """Where every line begins and ends, its lowest and its highest value."""
    facts = []
    digits = max(0, decimals_for(y for line in picture.lines.values() for _, y in line) - 1)
    for name, line in picture.lines.items():
        known = _known(line)
        values = [y for _, y in known]
        span = (
            f"from {number(values[0], digits)} at {known[0][0]:g} to {number(values[-1], digits)} at {known[-1][0]:g}, "
            f"between {number(min(values), digits)} and {number(max(values), digits)}"
            if known
            else NOT_MEASURED
        )
        facts.append(f"{name} {span}")
    return f"{picture.title}; {picture.y_label} over {picture.x_label}: {'; '.join(facts)}."


def curve(label: str, picture: Curve, look: Look | None = None) -> bytes:
    """Lines told apart by colour, dash and marker, over a legend.

    Args:
        label: the model that the picture belongs to.
        picture: its lines.
        look: how it is drawn.
    """
    look = look or Look()
    theme, count = look.theme, len(picture.lines)
    letters = 40 if look.narrow or count == 1 else 30
    names = [textwrap.shorten(legend_words(name), letters, placeholder=" …") for name in picture.lines]
    columns = 1 if look.narrow or max(map(len, names)) > letters // 2 + 12 else 2
    legend = 0.22 * math.ceil(count / columns) + 0.1
    with canvas.style(look):
        title = f"{label}: {picture.title}"
        width, height = (3.5, 2.6) if look.narrow else (5.1, 2.9)
        figure = canvas.new_figure((width, height + legend + canvas.title_room(title, width, look)))
        axes: Any = figure.subplots()
        for place, (name, line) in enumerate(zip(names, picture.lines.values(), strict=True)):
            style = series_style(place)
            marker: dict[str, Any] = {"marker": style.marker, "markersize": 4} if len(line) <= _FEW else {}
            known = _known(line)
            axes.plot(
                [x for x, _ in known], [y for _, y in known],
                color=style.colour(theme), linestyle=style.dash, linewidth=1.6, label=name, **marker,
            )  # fmt: skip
        if all(float(x).is_integer() for line in picture.lines.values() for x, _ in line if math.isfinite(x)):
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(axis_words(picture.x_label, 32 if look.narrow else 52))
        axes.set_ylabel(axis_words(picture.y_label, 32))
        figure.legend(
            loc="outside lower left", ncols=columns, frameon=False, handlelength=3, fontsize=8, labelcolor=theme.ink
        )
        canvas.file_title(figure, title, look)
        return canvas.picture(figure, look)


def _known(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in line if math.isfinite(x) and math.isfinite(y)]
