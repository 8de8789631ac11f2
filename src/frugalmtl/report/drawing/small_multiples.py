"""Small multiples: a panel per task (or per pair of tasks), a line per model, one legend under all of them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.lines import Line2D

from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.axes import logarithmic
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.histories import Histories, History, points
from frugalmtl.report.palette import RowStyle, row_styles
from frugalmtl.report.results import Results, TaskInfo


def multiples(results: Results, look: Look, draw: Callable[[Any, TaskInfo], None], handles: list[Line2D]) -> bytes:
    """A panel per task, drawn by ``draw(axes, task)``, over a legend of ``handles``."""

    def one(task: TaskInfo, axes: Any) -> None:
        draw(axes, task)
        direction = "higher is better" if task.higher_is_better else "lower is better"
        unit = f" [{task.unit}]" if task.unit else ""
        if not axes.get_ylabel():
            axes.set_ylabel(f"{task.primary}{unit}, {direction}")

    return panels({task.name: partial(one, task) for task in results.tasks}, look, handles)


def panels(
    draw: Mapping[str, Callable[[Any], None]], look: Look, handles: list[Line2D], *, same_scale: bool = False
) -> bytes:
    """Panels side by side over a legend.

    Args:
        draw: ``{title: draws into the axes it is given}``.
        look: how it is drawn.
        handles: of the legend.
        same_scale: all panels have the same vertical axis.
    """
    count = len(draw)
    across = 1 if look.narrow else min(count, 4 if count in (4, 7, 8) else 3)
    down = math.ceil(count / across)
    legend_columns = 1 if look.narrow else 3
    legend_height = 0.25 * math.ceil(len(handles) / legend_columns) + 0.15
    width, panel_height = (3.5, 2.4) if look.narrow else (10.4, 2.75)
    height = panel_height * down + legend_height
    with canvas.style(look):
        figure = canvas.new_figure((width, height))
        grid = list(figure.subplots(down, across, squeeze=False, sharey=same_scale).flat)
        for axes, (title, fill) in zip(grid, draw.items(), strict=False):
            fill(axes)
            axes.set_title(title, loc="left", fontweight="bold")
            axes.tick_params(labelleft=True)
        for axes in grid[count:]:
            axes.set_axis_off()
        figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=legend_columns,
            frameon=False,
            handlelength=3,
            labelcolor=look.theme.ink,
        )
        return canvas.picture(figure, look)


def history_lines(
    results: Results,
    look: Look,
    histories: Histories,
    names: list[str],
    finish: Callable[[Any], None],
    read: Callable[[History, str], list[tuple[float, float]]] = points,
    *,
    same_scale: bool = True,
) -> bytes:
    """A panel per name, a line per row over epochs.

    Args:
        results: styles of the rows.
        look: how it is drawn.
        histories: what is drawn.
        names: titles of the panels.
        finish: sets up the axes of a panel.
        read: ``(epoch, value)`` of a name in a row's history.
        same_scale: all panels have the same vertical axis.
    """
    styles = row_styles(results)

    def draw(name: str, axes: Any) -> None:
        for row, history in histories.items():
            epoch_line(axes, read(history, name), styles[row], look)
        axes.xaxis.get_major_locator().set_params(integer=True)
        finish(axes)

    handles = row_handles(results, histories, look)
    return panels({name: partial(draw, name) for name in names}, look, handles, same_scale=same_scale)


def logarithmic_panel(axes: Any, known: list[float]) -> None:
    """A vertical logarithmic axis around 1 that holds ``known``."""
    low, high = min(known), max(known)
    axes.set_yscale("log")
    axes.set_ylim(min(low / 1.2, 0.4), max(high * 1.2, 2.5))
    logarithmic(axes.yaxis, (1.0, 2.0, 5.0) if max(high, 2.5) < 1e3 * min(low, 0.4) else (1.0,))


def epoch_line(axes: Any, values: Sequence[tuple[float, float]], style: RowStyle, look: Look) -> None:
    """The line of a row over ``(epoch, value)``; values that are not known are bridged, few ones marked."""
    known = [(epoch, value) for epoch, value in values if math.isfinite(value)]
    if known:
        few = {"marker": style.marker, "markersize": 4} if len(known) < 6 else {}
        colour = style.colour(look.theme)
        axes.plot(*zip(*known, strict=True), color=colour, linestyle=style.dash, linewidth=1.6, **few)
    axes.set_xlabel("epoch")


def row_handles(results: Results, names: Iterable[str], look: Look) -> list[Line2D]:
    """A line in the legend for each row that is named."""
    styles = row_styles(results)
    handles = []
    for name in names:
        words = legend_words(results.row(name).label)
        handle = Line2D([], [], color=styles[name].colour(look.theme), linewidth=2, label=words)
        handle.set_linestyle(styles[name].dash)
        handles.append(handle)
    return handles


def legend_words(text: str) -> str:
    """A name as it stands in a legend."""
    return textwrap.shorten(text, 44, placeholder=" …")
