"""Small multiples: a panel per task and one legend under all of them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from typing import Any

from matplotlib.lines import Line2D

from frugalmtl.report import _canvas
from frugalmtl.report._canvas import Look
from frugalmtl.report.results import Results, TaskInfo


def multiples(results: Results, look: Look, draw: Callable[[Any, TaskInfo], None], handles: list[Line2D]) -> bytes:
    """A panel per task, drawn by ``draw(axes, task)``, over a legend of ``handles``."""
    tasks = results.tasks
    across = 1 if look.narrow else min(len(tasks), 4 if len(tasks) in (4, 7, 8) else 3)
    down = math.ceil(len(tasks) / across)
    legend_columns = 1 if look.narrow else 3
    legend_height = 0.25 * math.ceil(len(handles) / legend_columns) + 0.15
    width, panel_height = (3.5, 2.4) if look.narrow else (10.4, 2.75)
    height = panel_height * down + legend_height
    with _canvas.style(look):
        figure = _canvas.new_figure((width, height))
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
            handles=handles,
            loc="outside lower left",
            ncols=legend_columns,
            frameon=False,
            handlelength=3,
            labelcolor=look.theme.ink,
        )
        return _canvas.picture(figure, look)


def legend_words(text: str) -> str:
    """A name as it stands in a legend."""
    return textwrap.shorten(text, 44, placeholder=" …")
