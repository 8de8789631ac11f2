"""Accuracy against cost: operating points joined to curves, single models, and the front that nobody beats."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from frugalmtl.report import _canvas
from frugalmtl.report._canvas import Look
from frugalmtl.report._labels import Paper, Point, label_points, note_on_line
from frugalmtl.report._multiples import legend_words, multiples
from frugalmtl.report.columns import cost_spread, cost_value, pareto_front, score
from frugalmtl.report.formatting import finite, scale_for
from frugalmtl.report.palette import Theme, row_styles
from frugalmtl.report.results import Results, Row, TaskInfo

CostKey = Literal["macs", "latency_ms"]

_DASHED = (0, (5, 4))
_SEPARATORS = " ,;:·/-–—()[]"
_SIZES = {"*": 120, "P": 84, "X": 78}
"""Markers with thin arms, made as conspicuous as the others."""
_FRONT = "Pareto front: outlined, on the grey band"


@dataclass(frozen=True)
class Spot:
    """A model in a figure: cost and value with their deviations over seeds (NaN where there are none)."""

    x: float
    y: float
    across: float = math.nan
    up: float = math.nan

    @property
    def point(self) -> Point:
        """Cost and value."""
        return self.x, self.y

    @property
    def bars(self) -> list[tuple[Point, Point]]:
        """The error bars."""
        bars = []
        if math.isfinite(self.up):
            bars.append(((self.x, self.y - self.up), (self.x, self.y + self.up)))
        if math.isfinite(self.across):
            bars.append(((self.x - self.across, self.y), (self.x + self.across, self.y)))
        return bars


def spots(results: Results, cost: CostKey, task: TaskInfo | None) -> dict[str, Spot]:
    """The rows that have both cost and value; Delta_MTL without a task."""
    scale = _scale(results, cost)[0]
    found = {}
    for row in results.rows:
        mean, deviation = score(row, task) if task else (row.delta_mtl_mean, row.delta_mtl_std)
        if task is None and row.name == results.reference and math.isnan(mean):
            mean = 0.0  # by definition
        price = cost_value(row.cost.deployed, cost) / scale
        if math.isfinite(mean) and math.isfinite(price):
            found[row.name] = Spot(price, mean, cost_spread(row, cost) / scale, deviation)
    return found


def operating_curves(results: Results, found: dict[str, Spot]) -> dict[str, list[str]]:
    """``{curve: its rows by cost}`` of the curves with more than one point."""
    curves: dict[str, list[str]] = {}
    for row in results.rows:
        if row.curve and row.name in found:
            curves.setdefault(row.curve, []).append(row.name)
    return {
        curve: sorted(names, key=lambda name: found[name].point) for curve, names in curves.items() if len(names) > 1
    }


def delta_tradeoff(results: Results, cost: CostKey, look: Look | None = None) -> bytes:
    """Delta_MTL over the deployed cost: error bars over seeds, curves, the Pareto front, every point labelled."""
    look = look or Look()
    found = spots(results, cost, None)
    curves = operating_curves(results, found)
    crowd = max(0, len(found) + len(curves) - 7)
    with _canvas.style(look):
        figure = _canvas.new_figure((3.5, 4.2 + 0.12 * crowd) if look.narrow else (5.1, 4.1 + 0.08 * crowd))
        axes = figure.add_subplot()
        front = _scatter(results, axes, found, look, up=True)
        axes.axhline(0.0, color=look.theme.quiet, linewidth=0.9, linestyle=_DASHED, zorder=1)
        axes.set_ylabel(r"$\Delta_\mathrm{MTL}$ in % (higher is better)", parse_math=True)
        axes.set_xlabel(_cost_title(results, cost))
        _margins(axes, found, sideways=0.25)
        if front:
            handle = _front_handle(look.theme)
            figure.legend(handles=[handle], loc="outside lower right", frameon=False, labelcolor=look.theme.quiet)
        names = [_words(results.row(name), curves, look) for name in found]
        colours = [row_styles(results)[name].colour(look.theme) for name in found]
        for curve, rows in curves.items():
            names.append(textwrap.fill(curve, 18 if look.narrow else 26, max_lines=2, placeholder=" …"))
            colours.append(_curve_colour(results, rows, look.theme))
        texts = [
            axes.text(0, 0, words, fontsize=8.5, color=colour, zorder=4, linespacing=1.05)
            for words, colour in zip(names, colours, strict=True)
        ]
        for text in texts[len(found) :]:
            text.set_fontweight("bold")
        note = axes.text(
            0, 0, "reference" if look.narrow else "as good as the reference", fontsize=8, color=look.theme.quiet
        )
        for text in (*texts, note):
            text.set_in_layout(False)  # words must not push the axes about
        figure.canvas.draw()
        paper = Paper(axes)
        places = [spot.point for spot in found.values()]
        lines = [bar for spot in found.values() for bar in spot.bars]
        for rows in (front, *curves.values()):
            lines += pairwise(found[name].point for name in rows)
        note_on_line(paper, note, 0.0, places, lines)
        places += [_middle(paper, [found[name].point for name in rows]) for rows in curves.values()]
        level = ((axes.get_xlim()[0], 0.0), (axes.get_xlim()[1], 0.0))
        label_points(paper, places, texts, [note], [level, *lines])
        return _canvas.picture(figure, look)


def metric_tradeoff(results: Results, cost: CostKey, look: Look | None = None) -> bytes:
    """Every task's primary metric over the deployed cost, better up: small multiples with one legend."""
    look = look or Look()

    def draw(axes: Any, task: TaskInfo) -> None:
        found = spots(results, cost, task)
        _scatter(results, axes, found, look, up=task.higher_is_better)
        if results.reference in found:
            axes.axhline(found[results.reference].y, color=look.theme.quiet, linewidth=0.9, linestyle=_DASHED, zorder=1)
        axes.set_xlabel(
            "MACs" + _cost_title(results, cost).rpartition("model")[2] if cost == "macs" else "latency in ms"
        )
        _margins(axes, found, sideways=0.08)
        if not task.higher_is_better:
            axes.invert_yaxis()

    return multiples(results, look, draw, _handles(results, cost, look.theme))


def _scatter(results: Results, axes: Any, found: dict[str, Spot], look: Look, *, up: bool) -> list[str]:
    """Points with error bars, curves by cost, and the front through the best; returns the names on the front."""
    styles, theme = row_styles(results), look.theme
    front = pareto_front({name: (spot.x, spot.y if up else -spot.y) for name, spot in found.items()})
    if len(front) > 1:
        axes.plot(*zip(*(found[name].point for name in front), strict=True), **_band(theme), zorder=1.2)
    curves = operating_curves(results, found)
    for rows in curves.values():
        along = zip(*(found[name].point for name in rows), strict=True)
        axes.plot(*along, color=_curve_colour(results, rows, theme), linewidth=1.5, zorder=1.8)
    joined = {name for rows in curves.values() for name in rows}
    for name, spot in found.items():
        style = styles[name]
        colour = style.colour(theme)
        for key, deviation in (("xerr", spot.across), ("yerr", spot.up)):
            if math.isfinite(deviation):
                bar = {key: deviation}
                axes.errorbar(*spot.point, **bar, color=colour, elinewidth=1.1, capsize=2.5, zorder=2)
        size = _SIZES.get(style.marker, 58) * (0.8 if name in joined else 1.0)
        edge, width = (theme.ink, 1.3) if name in front else (theme.panel, 0.7)
        axes.scatter(
            *spot.point, s=size, marker=style.marker, color=colour, edgecolors=edge, linewidths=width, zorder=3
        )
    return front


def _band(theme: Theme) -> dict[str, Any]:
    """How the front is drawn."""
    return {"color": to_rgba(theme.quiet, 0.28), "linewidth": 6, "solid_capstyle": "round"}


def _front_handle(theme: Theme) -> Line2D:
    marker = {"marker": "o", "markersize": 6.5, "markerfacecolor": theme.panel, "markeredgecolor": theme.ink}
    settings: dict[str, Any] = _band(theme) | marker
    return Line2D([], [], **settings, markeredgewidth=1.2, label=_FRONT)


def _handles(results: Results, cost: CostKey, theme: Theme) -> list[Line2D]:
    """A marker per single model, a line with its marker per curve, the front."""
    styles = row_styles(results)
    found = {name: spot for task in results.tasks for name, spot in spots(results, cost, task).items()}
    curves = operating_curves(results, found)
    joined = {name: curve for curve, rows in curves.items() for name in rows if name != results.reference}
    handles: dict[str, Line2D] = {}
    for name, style in styles.items():
        curve = joined.get(name)
        words = legend_words(curve or results.row(name).label)
        line: Literal["-", ""] = "-" if curve else ""
        handles.setdefault(
            f"curve {curve}" if curve else f"row {name}",
            Line2D([], [], color=style.colour(theme), marker=style.marker, linestyle=line, markersize=7, label=words),
        )
    return [*handles.values(), _front_handle(theme)]


def _curve_colour(results: Results, rows: list[str], theme: Theme) -> str:
    """The colour that the curve's rows share; the reference keeps its own."""
    others = [name for name in rows if name != results.reference]
    return row_styles(results)[others[0]].colour(theme)


def _words(row: Row, curves: dict[str, list[str]], look: Look) -> str:
    """What stands beside a point; on a curve, which is named once, what tells its points apart."""
    words = row.label
    if row.name in curves.get(row.curve, []):
        rest = words[len(row.curve) :].strip(_SEPARATORS) if words.lower().startswith(row.curve.lower()) else ""
        words = rest or row.budget or words
    return textwrap.fill(words, 20 if look.narrow else 28, max_lines=3, placeholder=" …")


def _middle(paper: Paper, points: list[Point]) -> Point:
    """The middle of the longest piece of a line, as drawn: where its name has room."""
    pieces = list(pairwise(paper.spot(point) for point in points))
    start, end = max(pieces, key=lambda piece: math.dist(*piece))
    return paper.data((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)


def _scale(results: Results, cost: CostKey) -> tuple[float, str]:
    return (1.0, "ms") if cost == "latency_ms" else scale_for(row.cost.deployed.macs for row in results.rows)


def _cost_title(results: Results, cost: CostKey) -> str:
    if cost == "latency_ms":
        return "median latency of the deployed model in ms"
    prefix = _scale(results, cost)[1]
    return f"multiply-adds of the deployed model in {prefix}" if prefix else "multiply-adds of the deployed model"


def _margins(axes: Any, found: dict[str, Spot], *, sideways: float) -> None:
    """Costs over more than a decade stand on a logarithmic axis, others start at zero; room for labels on the sides."""
    costs = finite(spot.x for spot in found.values() if spot.x > 0)
    if costs and max(costs) > 12 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=sideways, y=0.16)
        return
    axes.margins(y=0.16)
    axes.set_xlim(0, max(costs, default=1.0) * (1 + sideways))
