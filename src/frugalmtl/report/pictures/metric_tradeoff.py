"""Every task's primary metric against cost, in small multiples."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from matplotlib.lines import Line2D

from frugalmtl.report.drawing.axes import level_line
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.scatter import (
    COSTS,
    CostKey,
    cost_axis,
    cost_title,
    front_handle,
    operating_curves,
    scatter,
    spots,
)
from frugalmtl.report.drawing.small_multiples import legend_words, multiples
from frugalmtl.report.palette import Theme, row_styles
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results, TaskInfo


class MetricTradeoff(Picture):
    """A figure per cost, a panel per task."""

    section = "tradeoff"
    order = 20

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where any model has both numbers."""
        for key, words in COSTS:
            if any(spots(results, key, task) for task in results.tasks):
                text = (
                    f"Primary metric of each task against the {words} of the deployed model; better is up in every "
                    f"panel."
                )
                draw = partial(metric_tradeoff, results, key)
                yield Drawing(f"metrics_{key}", f"Each task against {words}", text, draw)


def metric_tradeoff(results: Results, cost: CostKey, look: Look | None = None) -> bytes:
    """Every task's primary metric over the deployed cost, better up: small multiples with one legend."""
    look = look or Look()

    def draw(axes: Any, task: TaskInfo) -> None:
        points = spots(results, cost, task)
        scatter(results, axes, points, look, up=task.higher_is_better)
        if results.reference in points:
            level_line(axes, points[results.reference].y, look.theme)
        axes.set_xlabel(
            "MACs" + cost_title(results, cost).rpartition("model")[2] if cost == "macs" else "eager latency in ms"
        )
        cost_axis(axes, points, sideways=0.08)
        if not task.higher_is_better:
            axes.invert_yaxis()

    return multiples(results, look, draw, _handles(results, cost, look.theme))


def _handles(results: Results, cost: CostKey, theme: Theme) -> list[Line2D]:
    """A marker per single model, a line with its marker per curve, the front."""
    points = {name: spot for task in results.tasks for name, spot in spots(results, cost, task).items()}
    curves = operating_curves(results, points)
    joined = {name: curve for curve, rows in curves.items() for name in rows if name != results.reference}
    handles: dict[str, Line2D] = {}
    for name, style in row_styles(results).items():
        curve = joined.get(name)
        words = legend_words(curve or results.row(name).label)
        line: Literal["-", ""] = "-" if curve else ""
        handles.setdefault(
            f"curve {curve}" if curve else f"row {name}",
            Line2D([], [], color=style.colour(theme), marker=style.marker, linestyle=line, markersize=7, label=words),
        )
    return [*handles.values(), front_handle(theme)]
