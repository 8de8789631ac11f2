"""Accuracy against cost on one pair of axes: points, operating curves and the Pareto front."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from frugalmtl.core.documents.dotted import leaf
from frugalmtl.report.columns import cost_spread, cost_value, counted_images, pareto_front, score
from frugalmtl.report.drawing.axes import logarithmic
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.formatting import finite, scale_for
from frugalmtl.report.palette import Theme, row_styles
from frugalmtl.report.results import Results, TaskInfo

CostKey = Literal["macs", "latency_ms"]
COSTS: tuple[tuple[CostKey, str], ...] = (("macs", "multiply-adds"), ("latency_ms", "eager latency"))
"""The costs that accuracy is drawn against, and their names in titles."""

Point = tuple[float, float]
Value = str | int | float | bool
"""A setting of a row."""

_SIZES = {"*": 120, "P": 84, "X": 78}
"""Markers with thin arms, made as conspicuous as the others."""


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
    points = {}
    for row in results.rows:
        mean, deviation = score(row, task) if task else (row.delta_mtl_mean, row.delta_mtl_std)
        if task is None and row.name == results.reference and math.isnan(mean):
            mean = 0.0  # by definition
        price = cost_value(row.cost.deployed, cost) / scale
        if math.isfinite(mean) and math.isfinite(price):
            points[row.name] = Spot(price, mean, cost_spread(row, cost) / scale, deviation)
    return points


def swept_values(results: Results, cost: CostKey) -> dict[str, Value]:
    """``{row: value of the key that points are coloured by}`` of the rows that have one, and a place in the figure."""
    if not results.colour_by:
        return {}
    places = spots(results, cost, None)
    values = {row.name: leaf(row.config, results.colour_by) for row in results.rows if row.name in places}
    return {name: value for name, value in values.items() if value is not None}


def operating_curves(results: Results, points: dict[str, Spot]) -> dict[str, list[str]]:
    """``{curve: its rows by cost}`` of the curves with more than one point."""
    curves: dict[str, list[str]] = {}
    for row in results.rows:
        if row.curve and row.name in points:
            curves.setdefault(row.curve, []).append(row.name)
    return {
        curve: sorted(names, key=lambda name: points[name].point) for curve, names in curves.items() if len(names) > 1
    }


def scatter(results: Results, axes: Any, points: dict[str, Spot], look: Look, *, up: bool) -> list[str]:
    """Points with error bars, curves by cost, and the front through the best; returns the names on the front."""
    styles, theme = row_styles(results), look.theme
    front = draw_front(axes, points, theme, up=up)
    curves = operating_curves(results, points)
    for rows in curves.values():
        along = zip(*(points[name].point for name in rows), strict=True)
        axes.plot(*along, color=curve_colour(results, rows, theme), linewidth=1.5, zorder=1.8)
    joined = {name for rows in curves.values() for name in rows}
    for name, spot in points.items():
        style = styles[name]
        draw_spot(axes, spot, style.marker, style.colour(theme), theme, outlined=name in front, small=name in joined)
    return front


def draw_front(axes: Any, points: dict[str, Spot], theme: Theme, *, up: bool) -> list[str]:
    """The band through the points that no other beats in both; returns their names."""
    front = pareto_front({name: (spot.x, spot.y if up else -spot.y) for name, spot in points.items()})
    if len(front) > 1:
        axes.plot(*zip(*(points[name].point for name in front), strict=True), **_band(theme), zorder=1.2)
    return front


def draw_spot(
    axes: Any, spot: Spot, marker: str, colour: Any, theme: Theme, *, outlined: bool, small: bool = False
) -> None:
    """A point with its error bars.

    Args:
        axes: that it is drawn into.
        spot: where it is.
        marker: as matplotlib names it.
        colour: of marker and bars.
        theme: of the figure.
        outlined: on the Pareto front.
        small: a point of many.
    """
    for key, deviation in (("xerr", spot.across), ("yerr", spot.up)):
        if math.isfinite(deviation):
            bar = {key: deviation}
            axes.errorbar(*spot.point, **bar, color=colour, elinewidth=1.1, capsize=2.5, zorder=2)
    size = _SIZES.get(marker, 58) * (0.8 if small else 1.0)
    edge, width = (theme.ink, 1.3) if outlined else (theme.panel, 0.7)
    axes.scatter(*spot.point, s=size, marker=marker, color=colour, edgecolors=edge, linewidths=width, zorder=3)


def front_handle(theme: Theme) -> Line2D:
    """The Pareto front in a legend."""
    marker = {"marker": "o", "markersize": 6.5, "markerfacecolor": theme.panel, "markeredgecolor": theme.ink}
    settings: dict[str, Any] = _band(theme) | marker
    return Line2D([], [], **settings, markeredgewidth=1.2, label="Pareto front: outlined, on the grey band")


def curve_colour(results: Results, rows: list[str], theme: Theme) -> str:
    """The colour that the curve's rows share; the reference keeps its own."""
    others = [name for name in rows if name != results.reference]
    return row_styles(results)[others[0]].colour(theme)


def cost_title(results: Results, cost: CostKey) -> str:
    """The cost of a deployed model with its unit."""
    if cost == "latency_ms":
        return f"{'' if counted_images(results) else 'median '}eager latency of the deployed model in ms"
    prefix = _scale(results, cost)[1]
    return f"multiply-adds of the deployed model in {prefix}" if prefix else "multiply-adds of the deployed model"


def cost_axis(axes: Any, points: dict[str, Spot], *, sideways: float) -> None:
    """Costs over more than a decade stand on a logarithmic axis, others start at zero; room for labels on the sides."""
    costs = finite(spot.x for spot in points.values() if spot.x > 0)
    axes.margins(y=0.16)
    if costs and max(costs) > 12 * min(costs):
        axes.set_xscale("log")
        logarithmic(axes.xaxis)
        axes.margins(x=sideways)
    else:
        axes.set_xlim(0, max(costs, default=1.0) * (1 + sideways))


def _band(theme: Theme) -> dict[str, Any]:
    return {"color": to_rgba(theme.quiet, 0.28), "linewidth": 6, "solid_capstyle": "round"}


def _scale(results: Results, cost: CostKey) -> tuple[float, str]:
    return (1.0, "ms") if cost == "latency_ms" else scale_for(row.cost.deployed.macs for row in results.rows)
