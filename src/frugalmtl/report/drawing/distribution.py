"""Distributions: a dot per image on one axis, group by group, and the images at both ends."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from statistics import median
from typing import Any

from frugalmtl.core.types import Distribution
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.axes import axis_words
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.photographs import ExamplePhotos, grid_height, lightened, show
from frugalmtl.report.formatting import decimals_for, finite, number
from frugalmtl.report.palette import series_style

_WIDE, _NARROW = 8, 4
"""Photographs side by side."""
_LETTERS = 26
"""Letters of a line of a group's name."""


def distribution_words(picture: Distribution) -> str:
    """Mean and range of every group."""
    facts = [f"{name} {_summary(values, _decimals(picture))}" for name, values in picture.groups.items()]
    return f"{picture.title}, {picture.label}: {'; '.join(facts)}."


def distribution(label: str, picture: Distribution, photographs: ExamplePhotos, look: Look | None = None) -> bytes:
    """A strip of dots per group with its median, and beneath the photographs from the lowest to the highest value.

    Args:
        label: the model that the picture belongs to.
        picture: values per image.
        photographs: the images by number.
        look: how it is drawn.
    """
    look = look or Look()
    photos = [photographs[index] for index in picture.extremes]
    across = min(len(photos), _NARROW if look.narrow else _WIDE)
    down = math.ceil(len(photos) / across) if photos else 0
    width = 3.5 if look.narrow else 10.4 if len(photos) > 3 else 5.1
    strips = 0.75 + 0.55 * len(picture.groups)
    beneath = down * (grid_height(photos, (width - 0.1 * across) / across) + 0.36) if photos else 0.0
    title = f"{label}: {picture.title}"
    with canvas.style(look):
        figure = canvas.new_figure((width, strips + beneath + canvas.title_room(title, width, look)))
        parts: Any = figure.subfigures(2, 1, height_ratios=[strips, beneath]) if photos else [figure]
        _draw_strips(parts[0].subplots(), picture, look)
        if photos:
            values = [number(value, _decimals(picture)) for value in picture.extreme_values]
            values[0] += "\nlowest"
            values[-1] += "\nhighest" if len(values) > 1 else ""
            grid = list(parts[1].subplots(down, across, squeeze=False).flat)
            for axes in grid[len(photos) :]:
                axes.set_axis_off()
            for axes, photo, value in zip(grid, photos, values, strict=False):
                show(axes, photo)
                axes.set_title(value, loc="left", fontsize=8, pad=3)
        canvas.file_title(figure, title, look)
        content = canvas.picture(figure, look)
        return lightened(content) if look.form == "svg" else content


def _draw_strips(axes: Any, picture: Distribution, look: Look) -> None:
    """A strip of dots per group, the first on top."""
    theme, groups = look.theme, list(picture.groups.values())
    known = finite(value for values in groups for value in values)
    low, high = min(known, default=0.0), max(known, default=1.0)
    bin_width = (high - low) / (36 if look.narrow or not picture.extremes else 90) or 1.0
    for place, values in enumerate(groups):
        shown = finite(values)
        style = series_style(place)
        counts = Counter(round((value - low) / bin_width) for value in shown)
        pitch = min(0.13, 0.8 / max(counts.values(), default=1))
        seen: Counter[int] = Counter()
        heights = []
        for value in sorted(shown):
            stack = round((value - low) / bin_width)
            heights.append(place + pitch * math.ceil(seen[stack] / 2) * (-1) ** seen[stack])  # outwards, by turns
            seen[stack] += 1
        settings = {"color": style.colour(theme), "edgecolors": theme.panel, "linewidths": 0.4}
        axes.scatter(sorted(shown), heights, s=22, marker=style.marker, zorder=3, **settings)
        if shown:
            line = {"color": theme.ink, "linewidth": 1.2, "zorder": 2 if len(shown) < 12 else 4}
            axes.vlines(median(shown), place - 0.44, place + 0.44, **line)
    digits = _decimals(picture)
    names = [
        f"{textwrap.fill(name, _LETTERS, max_lines=2, placeholder=' …')}\n{_summary(values, digits)}"
        for name, values in picture.groups.items()
    ]
    axes.set_yticks(range(len(groups)), names, fontsize=7 if look.narrow else 8, color=theme.ink)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.margins(x=0.04)
    if low == high:
        axes.set_xlim(low - (abs(low) or 1.0) / 10, high + (abs(high) or 1.0) / 10)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(axis_words(f"{picture.label}; line: median", 34 if look.narrow else 60))


def _summary(values: list[float], digits: int) -> str:
    known = finite(values)
    if not known:
        return "–"
    mean = number(math.fsum(known) / len(known), digits)
    return f"{mean} ({number(min(known), digits)} to {number(max(known), digits)})"


def _decimals(picture: Distribution) -> int:
    """One fewer than in tables: dots are not read to four digits."""
    return max(0, decimals_for(value for values in picture.groups.values() for value in values) - 1)
