"""Delta_MTL against cost: every model labelled, operating points joined to curves, the Pareto front."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.axes import axis_words, level_line
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.labels import Point, label_points
from frugalmtl.report.drawing.scatter import (
    COSTS,
    CostKey,
    cost_axis,
    cost_title,
    curve_colour,
    front_handle,
    operating_curves,
    scatter,
    spots,
    swept_values,
)
from frugalmtl.report.palette import DASHED, row_styles
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results, Row

_MOST_COLOURED = 12
"""Of more points that are coloured by a value there is the figure with their colours alone."""
_SEPARATORS = " ,;:·/-–—()[]"


class DeltaTradeoff(Picture):
    """A figure per cost."""

    section = "tradeoff"
    order = 10

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where at least two models have both numbers; not where so many are coloured that names find no room."""
        for key, words in COSTS:
            if len(spots(results, key, None)) > 1 and len(swept_values(results, key)) <= _MOST_COLOURED:
                text = (
                    f"Delta_MTL of each model against the {words} of its deployed form; the results table has the "
                    f"numbers."
                )
                draw = partial(delta_tradeoff, results, key)
                yield Drawing(f"delta_{key}", f"Δ_MTL against {words}", text, draw, wide=False)


def delta_tradeoff(results: Results, cost: CostKey, look: Look | None = None) -> bytes:
    """Delta_MTL over the deployed cost: error bars over seeds, curves, the Pareto front, every point labelled."""
    look = look or Look()
    points = spots(results, cost, None)
    curves = operating_curves(results, points)
    crowd = max(0, len(points) + len(curves) - 7)
    with canvas.style(look):
        figure = canvas.new_figure((3.5, 4.4 + 0.12 * crowd) if look.narrow else (5.1, 4.3 + 0.08 * crowd))
        axes = figure.add_subplot()
        front = scatter(results, axes, points, look, up=True)
        level_line(axes, 0.0, look.theme)
        axes.set_ylabel(r"$\Delta_\mathrm{MTL}$ in % (higher is better)", parse_math=True)
        axes.set_xlabel(axis_words(cost_title(results, cost), 40 if look.narrow else 60))
        cost_axis(axes, points, sideways=0.25)
        level = Line2D(
            [], [], color=look.theme.quiet, linewidth=0.9, linestyle=DASHED, label="as good as the reference"
        )
        figure.legend(
            handles=[level, *([front_handle(look.theme)] if front else [])],
            loc="outside lower right",
            frameon=False,
            labelcolor=look.theme.quiet,
        )
        texts = _texts(results, axes, list(points), curves, look)
        figure.canvas.draw()  # everything has its place and size from here on
        lines = [((axes.get_xlim()[0], 0.0), (axes.get_xlim()[1], 0.0))]
        lines += [bar for spot in points.values() for bar in spot.bars]
        for rows in (front, *curves.values()):
            lines += pairwise(points[name].point for name in rows)
        places = [spot.point for spot in points.values()]
        places += [_middle(axes, [points[name].point for name in rows]) for rows in curves.values()]
        label_points(axes, places, texts, lines)
        return canvas.picture(figure, look)


def _texts(results: Results, axes: Any, names: list[str], curves: dict[str, list[str]], look: Look) -> list[Any]:
    """A text per row and one, in bold, per curve; not yet in place."""
    styles = row_styles(results)
    words = [(_words(results.row(name), curves, look), styles[name].colour(look.theme), "normal") for name in names]
    for curve, rows in curves.items():
        title = textwrap.fill(curve, 18 if look.narrow else 26, max_lines=2, placeholder=" …")
        words.append((title, curve_colour(results, rows, look.theme), "bold"))
    texts = [
        axes.text(0, 0, text, fontsize=8.5, color=colour, fontweight=weight, zorder=4, linespacing=1.05)
        for text, colour, weight in words
    ]
    halo = withStroke(linewidth=2.5, foreground=look.theme.panel)  # lines end at the words
    for text in texts:
        text.set_path_effects([halo])
        text.set_in_layout(False)  # words must not push the axes about
    return texts


def _words(row: Row, curves: dict[str, list[str]], look: Look) -> str:
    """The label of a point; on a curve, which is named once, the part that tells its points apart."""
    words = row.label
    if row.name in curves.get(row.curve, []):
        rest = words[len(row.curve) :].strip(_SEPARATORS) if words.lower().startswith(row.curve.lower()) else ""
        words = rest or row.budget or words
    return textwrap.fill(words, 20 if look.narrow else 28, max_lines=3, placeholder=" …")


def _middle(axes: Any, points: list[Point]) -> Point:
    """The middle of the longest piece of a line, as drawn: where its name has room."""
    pieces = pairwise(axes.transData.transform(points).tolist())
    start, end = max(pieces, key=lambda piece: math.dist(*piece))
    x, y = axes.transData.inverted().transform(((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
    return float(x), float(y)
