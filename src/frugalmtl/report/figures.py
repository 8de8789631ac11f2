"""The report's figures: one function per figure, each returns the bytes of a PNG or SVG.

Drawn with matplotlib's Agg without its global state: nothing needs a display, figures do not influence each other.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from frugalmtl.report._labels import Paper, Point, label_points, note_on_line
from frugalmtl.report.columns import cost_value, pareto_front, score
from frugalmtl.report.formatting import finite, scale_for
from frugalmtl.report.palette import DARK, LIGHT, RowStyle, Theme, row_styles
from frugalmtl.report.results import Epoch, Results, TaskInfo

CostKey = Literal["macs", "latency_ms"]


@dataclass(frozen=True)
class Look:
    """How a figure is drawn: theme, for a narrow screen or not, and the file's format."""

    theme: Theme = LIGHT
    narrow: bool = False
    form: Literal["png", "svg"] = "png"


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: stem of the file's name.
        title: heading on the page.
        text: what the picture shows, for readers who do not see it.
        draw: makes the bytes in a given look.
        wide: takes the full width of the page.
    """

    name: str
    title: str
    text: str
    draw: Callable[[Look], bytes]
    wide: bool = True


def drawings(results: Results) -> list[Drawing]:
    """The figures that ``results`` has numbers for."""
    overall, each = [], []
    costs: tuple[tuple[CostKey, str], ...] = (("macs", "multiply-adds"), ("latency_ms", "latency"))
    for key, words in costs:
        if len(_points(results, key, None)) > 1:
            alt = (
                f"Delta_MTL of each model against the {words} of its deployed form; the results table has the numbers."
            )
            draw = partial(delta_tradeoff, results, key)
            overall.append(Drawing(f"delta_{key}", f"Δ_MTL against {words}", alt, draw, wide=False))
        if any(_points(results, key, task) for task in results.tasks):
            alt = f"Primary metric of each task against the {words} of the deployed model; better is up in every panel."
            draw = partial(metric_tradeoff, results, key)
            each.append(Drawing(f"metrics_{key}", f"Each task against {words}", alt, draw))
    curves = []
    histories = list(results.curves.values())
    if any(finite(epoch.metric.values()) for history in histories for epoch in history):
        alt = "Validation metric per epoch, one panel per task, one line per model."
        draw = partial(metric_curves, results)
        curves.append(Drawing("curves_metric", "Validation metric, better is up", alt, draw))
    if any(finite(epoch.loss.values()) for history in histories for epoch in history):
        alt = "Training loss per epoch, one panel per task, one line per model."
        curves.append(Drawing("curves_loss", "Training loss", alt, partial(loss_curves, results)))
    return [*overall, *each, *curves]


def delta_tradeoff(results: Results, cost: CostKey, look: Look | None = None) -> bytes:
    """Delta_MTL over the deployed cost: error bars over seeds, the Pareto front, every point labelled."""
    look = look or Look()
    points = _points(results, cost, None)
    with _style(look):
        figure = _figure((3.5, 4.0) if look.narrow else (5.1, 3.9))
        axes = figure.add_subplot()
        texts = _scatter(results, axes, points, look, up=True, labels=True)
        axes.axhline(0.0, color=look.theme.quiet, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
        axes.set_ylabel(r"$\Delta_\mathrm{MTL}$ in % (higher is better)", parse_math=True)
        axes.set_xlabel(_cost_title(results, cost))
        _margins(axes, points, sideways=0.25)
        note = axes.text(
            0, 0, "reference" if look.narrow else "as good as the reference", fontsize=8, color=look.theme.quiet
        )
        for text in (*texts, note):
            text.set_in_layout(False)  # words must not push the axes about
        figure.canvas.draw()
        paper, places, lines = Paper(axes), [(x, y) for x, y, _ in points.values()], _lines(points)
        note_on_line(paper, note, 0.0, places, lines)
        label_points(paper, places, texts, [note], [((axes.get_xlim()[0], 0.0), (axes.get_xlim()[1], 0.0)), *lines])
        return _bytes(figure, look)


def metric_tradeoff(results: Results, cost: CostKey, look: Look | None = None) -> bytes:
    """Every task's primary metric over the deployed cost, better up: small multiples with one legend."""
    look = look or Look()

    def draw(axes: Any, task: TaskInfo) -> None:
        points = _points(results, cost, task)
        _scatter(results, axes, points, look, up=task.higher_is_better, labels=False)
        if results.reference in points:
            axes.axhline(
                points[results.reference][1], color=look.theme.quiet, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1
            )
        axes.set_xlabel(
            "MACs" + _cost_title(results, cost).rpartition("model")[2] if cost == "macs" else "latency in ms"
        )
        _margins(axes, points, sideways=0.08)
        if not task.higher_is_better:
            axes.invert_yaxis()

    return _multiples(results, look, draw, markers=True)


def metric_curves(results: Results, look: Look | None = None) -> bytes:
    """Validation metric over epochs, better up: a panel per task, a line per row."""
    return _curves(results, look or Look(), lambda epoch: epoch.metric, loss=False)


def loss_curves(results: Results, look: Look | None = None) -> bytes:
    """Training loss over epochs: a panel per task, a line per row."""
    return _curves(results, look or Look(), lambda epoch: epoch.loss, loss=True)


def _curves(results: Results, look: Look, values: Callable[[Epoch], dict[str, float]], *, loss: bool) -> bytes:
    styles = row_styles(results)

    def draw(axes: Any, task: TaskInfo) -> None:
        for name, history in results.curves.items():
            known = [
                (e.epoch, values(e)[task.name]) for e in history if math.isfinite(values(e).get(task.name, math.nan))
            ]
            if known:
                style = styles[name]
                few = {"marker": style.marker, "markersize": 4} if len(known) < 6 else {}
                colour = style.colour(look.theme)
                axes.plot(*zip(*known, strict=True), color=colour, linestyle=style.dash, linewidth=1.6, **few)
        axes.set_xlabel("epoch")
        if loss:
            axes.set_ylabel("training loss")
        elif not task.higher_is_better:
            axes.invert_yaxis()

    return _multiples(results, look, draw, markers=False)


def _points(results: Results, cost: CostKey, task: TaskInfo | None) -> dict[str, tuple[float, float, float]]:
    """``{row: (cost, value, deviation)}`` of the rows that have both; Delta_MTL without a task."""
    scale = _cost_scale(results, cost)
    points = {}
    for row in results.rows:
        mean, deviation = score(row, task) if task else (row.delta_mtl_mean, row.delta_mtl_std)
        if task is None and row.name == results.reference and math.isnan(mean):
            mean = 0.0  # by definition
        price = cost_value(row.cost.deployed, cost) / scale
        if math.isfinite(mean) and math.isfinite(price):
            points[row.name] = (price, mean, deviation)
    return points


def _cost_scale(results: Results, cost: CostKey) -> float:
    return 1.0 if cost == "latency_ms" else scale_for(row.cost.deployed.macs for row in results.rows)[0]


def _scatter(
    results: Results, axes: Any, points: dict[str, tuple[float, float, float]], look: Look, *, up: bool, labels: bool
) -> list[Any]:
    """Points with error bars and the Pareto front through the best; returns the texts of the labels, not yet placed."""
    styles, theme = row_styles(results), look.theme
    front = pareto_front({name: (x, y if up else -y) for name, (x, y, _) in points.items()})
    if len(front) > 1:
        corners = [points[name][:2] for name in front]
        axes.plot(
            *zip(*corners, strict=True), color=theme.quiet, linewidth=5, alpha=0.28, zorder=1.2, solid_capstyle="round"
        )
    texts = []
    for name, (x, y, deviation) in points.items():
        style: RowStyle = styles[name]
        colour = style.colour(theme)
        if math.isfinite(deviation):
            axes.errorbar(x, y, yerr=deviation, color=colour, elinewidth=1.1, capsize=2.5, zorder=2)
        size = 120 if style.marker == "*" else 58
        edge = theme.ink if name in front else theme.panel
        axes.scatter([x], [y], s=size, marker=style.marker, color=colour, edgecolors=edge, linewidths=1.0, zorder=3)
        if labels:
            words = textwrap.fill(results.row(name).label, 20 if look.narrow else 28, max_lines=3, placeholder=" …")
            texts.append(axes.text(x, y, words, fontsize=8.5, color=colour, zorder=4, linespacing=1.05))
    return texts


def _multiples(results: Results, look: Look, draw: Callable[[Any, TaskInfo], None], *, markers: bool) -> bytes:
    """A panel per task and one legend under all of them."""
    tasks = results.tasks
    across = 1 if look.narrow else min(len(tasks), 4 if len(tasks) in (4, 7, 8) else 3)
    down = math.ceil(len(tasks) / across)
    legend_columns = 1 if look.narrow else 3
    legend_height = 0.25 * math.ceil(len(results.rows) / legend_columns) + 0.15
    width, panel_height = (3.5, 2.4) if look.narrow else (10.4, 2.75)
    height = panel_height * down + legend_height
    with _style(look):
        figure = _figure((width, height))
        grid = figure.subplots(down, across, squeeze=False)
        for axes, task in zip(grid.flat, tasks, strict=False):
            draw(axes, task)
            direction = "higher is better" if task.higher_is_better else "lower is better"
            unit = f" [{task.unit}]" if task.unit else ""
            axes.set_title(task.name, loc="left", fontweight="bold")
            if not axes.get_ylabel():
                axes.set_ylabel(f"{task.primary}{unit}, {direction}")
        for axes in list(grid.flat)[len(tasks) :]:
            axes.set_axis_off()
        figure.legend(
            handles=[_handle(results, name, look, markers=markers) for name in row_styles(results)],
            loc="outside lower left",
            ncols=legend_columns,
            frameon=False,
            labelcolor=look.theme.ink,
        )
        return _bytes(figure, look)


def _handle(results: Results, name: str, look: Look, *, markers: bool) -> Line2D:
    style = row_styles(results)[name]
    words = textwrap.shorten(results.row(name).label, 44, placeholder=" …")
    colour = style.colour(look.theme)
    if markers:
        return Line2D([], [], color=colour, marker=style.marker, linestyle="", markersize=7, label=words)
    line = Line2D([], [], color=colour, linewidth=2, label=words)
    line.set_linestyle(style.dash)
    return line


def _cost_title(results: Results, cost: CostKey) -> str:
    if cost == "latency_ms":
        return "median latency of the deployed model in ms"
    prefix = scale_for(row.cost.deployed.macs for row in results.rows)[1]
    return f"multiply-adds of the deployed model in {prefix}" if prefix else "multiply-adds of the deployed model"


def _margins(axes: Any, points: dict[str, tuple[float, float, float]], *, sideways: float) -> None:
    """Costs over more than a decade stand on a logarithmic axis, others start at zero; room for labels on the sides."""
    costs = [x for x, _, _ in points.values() if x > 0]
    if costs and max(costs) > 12 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=sideways, y=0.16)
        return
    axes.margins(y=0.16)
    axes.set_xlim(0, max(costs, default=1.0) * (1 + sideways))


def _lines(points: dict[str, tuple[float, float, float]]) -> list[tuple[Point, Point]]:
    """What words should not cover: the error bars and the front."""
    bars = [((x, y - d), (x, y + d)) for x, y, d in points.values() if math.isfinite(d)]
    front = [points[name][:2] for name in pareto_front({name: (x, y) for name, (x, y, _) in points.items()})]
    return [*bars, *pairwise(front)]


def recolour(svg: bytes) -> bytes:
    """A light SVG figure in the dark theme's colours, without drawing it again."""
    changed = {getattr(LIGHT, name): getattr(DARK, name) for name in ("background", "panel", "ink", "quiet", "line")}
    changed |= dict(zip(LIGHT.rows, DARK.rows, strict=True))
    return re.sub(rb"#[0-9a-f]{6}\b", lambda found: changed.get(found[0].decode(), found[0].decode()).encode(), svg)


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    return figure


def _style(look: Look) -> Any:
    """Settings of matplotlib for one figure. Names come from users, so ``$`` in them is a plain character."""
    theme = look.theme
    return mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.labelsize": 9,
            "axes.edgecolor": theme.line,
            "axes.facecolor": theme.panel,
            "axes.labelcolor": theme.quiet,
            "axes.titlecolor": theme.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": theme.line,
            "grid.linewidth": 0.6,
            "figure.facecolor": theme.panel,
            "legend.fontsize": 9,
            "savefig.facecolor": theme.panel,
            "svg.fonttype": "path",
            "svg.hashsalt": "frugalmtl",
            "text.color": theme.ink,
            "text.parse_math": False,
            "xtick.color": theme.quiet,
            "ytick.color": theme.quiet,
        }
    )


def _bytes(figure: Figure, look: Look) -> bytes:
    buffer = io.BytesIO()
    # No date in the file: the same results give the same bytes.
    metadata = {"Date": None} if look.form == "svg" else {"Software": None}
    figure.savefig(buffer, format=look.form, metadata=metadata)
    return buffer.getvalue()
