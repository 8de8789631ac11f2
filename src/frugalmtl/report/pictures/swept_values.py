"""Delta_MTL against cost, points coloured by the value of a swept key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_hex
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.axes import axis_words, level_line
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.labels import label_points
from frugalmtl.report.drawing.scatter import (
    COSTS,
    CostKey,
    Value,
    cost_axis,
    cost_title,
    draw_front,
    draw_spot,
    front_handle,
    spots,
    swept_values,
)
from frugalmtl.report.drawing.small_multiples import legend_words
from frugalmtl.report.palette import row_styles, series_style
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results

_MOST_KEYS = 7
"""Up to so many values have an entry in the legend each, and a marker; more numbers have a colour bar."""
_SCALE = "viridis"
_ENDS = (0.22, 0.84)
"""The part of the scale that stands out from both themes' backgrounds."""


class SweptValues(Picture):
    """A figure per cost, where a comparison says by which key points are coloured."""

    section = "tradeoff"
    order = 15

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where two points or more have a value of the key."""
        key = results.colour_by
        for cost, words in COSTS:
            values = swept_values(results, cost)
            if len(values) > 1:
                ranges = ", ".join(
                    f"{value}: {_span(results, values, value)}" for value in ordered(values)[:_MOST_KEYS]
                )
                text = f"Delta_MTL against {words} by {key}; number of models and their range: {ranges}."
                caption = f"The colour of a model is the value of {key}; models without one are named."
                draw = partial(swept_scatter, results, cost)
                title = f"Δ_MTL against {words} by {key}"
                yield Drawing(f"delta_swept_{cost}", title, text, draw, wide=False, caption=caption)


def ordered(values: dict[str, Value]) -> list[Value]:
    """The different values: numbers by size, others as they first come."""
    distinct = list(dict.fromkeys(values.values()))
    return sorted(distinct, key=float) if _numbers(values) else distinct


def swept_scatter(results: Results, cost: CostKey, look: Look | None = None) -> bytes:
    """Points with error bars in the colour and marker of their value; rows without a value are named."""
    look = look or Look()
    points, values, styles = spots(results, cost, None), swept_values(results, cost), row_styles(results)
    looks = _looks(ordered(values), look, numbers=_numbers(values))
    scale = _numbers(values) and len(looks) > _MOST_KEYS
    named = [name for name in points if name not in values]
    looks_of_rows = {name: (styles[name].marker, styles[name].colour(look.theme)) for name in named}
    looks_of_rows |= {name: looks[value] for name, value in values.items()}
    keys = 1 if scale else 2 + len(looks)
    with canvas.style(look):
        figure = canvas.new_figure((3.5, 3.4 + 0.2 * keys) if look.narrow else (5.1, 3.7 + 0.1 * keys))
        axes = figure.add_subplot()
        front = draw_front(axes, points, look.theme, up=True)
        for name, spot in points.items():
            draw_spot(axes, spot, *looks_of_rows[name], look.theme, outlined=name in front)
        level_line(axes, 0.0, look.theme)
        axes.set_ylabel(r"$\Delta_\mathrm{MTL}$ in % (higher is better)", parse_math=True)
        axes.set_xlabel(axis_words(cost_title(results, cost), 40 if look.narrow else 60))
        cost_axis(axes, points, sideways=0.2)
        if scale:
            numbers = Normalize(float(min(looks)), float(max(looks)))
            figure.colorbar(ScalarMappable(numbers, _part_of_scale()), ax=axes, label=results.colour_by)
        handles = [] if scale else [_handle(value, *each) for value, each in looks.items()]
        figure.legend(
            handles=[*handles, *([front_handle(look.theme)] if front else [])],
            title=None if scale else legend_words(results.colour_by),
            loc="outside lower left",
            alignment="left",
            ncols=1 if look.narrow else 2,
            frameon=False,
            labelcolor=look.theme.ink,
        )
        texts = [_name(axes, results.row(name).label, looks_of_rows[name][1], look) for name in named]
        figure.canvas.draw()  # everything has its place and size from here on
        lines = [((axes.get_xlim()[0], 0.0), (axes.get_xlim()[1], 0.0))]
        lines += [line for spot in points.values() for line in [*spot.bars, (spot.point, spot.point)]]
        if texts:
            label_points(axes, [points[name].point for name in named], texts, lines)
        return canvas.picture(figure, look)


def _handle(value: Value, marker: str, colour: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=legend_words(str(value)))


def _name(axes: Any, words: str, colour: str, look: Look) -> Any:
    """The name of a row without a value, not yet in place."""
    text = axes.text(0, 0, textwrap.fill(words, 20), fontsize=8.5, color=colour, zorder=4, linespacing=1.05)
    text.set_path_effects([withStroke(linewidth=2.5, foreground=look.theme.panel)])
    text.set_in_layout(False)  # words must not push the axes about
    return text


def _looks(distinct: list[Value], look: Look, *, numbers: bool) -> dict[Value, tuple[str, str]]:
    """Marker and colour of every value: along a scale for numbers, else those of series."""
    if not numbers:
        styles = [series_style(place) for place in range(len(distinct))]
        return {value: (style.marker, style.colour(look.theme)) for value, style in zip(distinct, styles, strict=True)}
    low, high = float(distinct[0]), float(distinct[-1])
    colours = _part_of_scale()
    few = len(distinct) <= _MOST_KEYS
    return {
        value: (
            series_style(place).marker if few else "o",
            # Few values stand evenly apart, whatever lies between them; many are read off a bar.
            to_hex(colours(place / max(1, len(distinct) - 1) if few else (float(value) - low) / (high - low))),
        )
        for place, value in enumerate(distinct)
    }


def _part_of_scale() -> ListedColormap:
    return ListedColormap(colormaps[_SCALE](np.linspace(*_ENDS, 256)))


def _numbers(values: dict[str, Value]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())


def _span(results: Results, values: dict[str, Value], value: Value) -> str:
    gains = [results.row(name).delta_mtl_mean for name, each in values.items() if each == value]
    return f"{len(gains)}, {min(gains):+.2f} to {max(gains):+.2f} %"
