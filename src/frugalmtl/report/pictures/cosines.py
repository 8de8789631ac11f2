"""Agreement of gradients over training: cosines by epoch, per pair of tasks or per task."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from frugalmtl.core.types import Heatmap
from frugalmtl.report.drawing.axes import level_line
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.histories import (
    around_zero,
    names_in,
    of_task,
    ordered,
    over_epochs,
    per_pair,
    points,
    tasks_of,
    values_of,
)
from frugalmtl.report.drawing.small_multiples import history_lines
from frugalmtl.report.pictures.base import Drawing, Picture, file_name, heat_map_drawing
from frugalmtl.report.results import Results, Row

COSINE = (
    "1 where two tasks want the same, 0 where they have nothing to do with each other, below 0 where a step that helps "
    "one hurts the other."
)
_MOST_PAIRS = 6
"""Up to so many pairs of tasks have a panel each."""
_MOST_EPOCHS = 40
"""Most columns of a heat map over epochs; of longer trainings neighbouring epochs are averaged."""


class Cosines(Picture):
    """A line per row; where pairs are too many for panels, a heat map of pairs and epochs for every row as well."""

    section = "interference"
    order = 60

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where any row compared gradients in two epochs."""
        if not any(len(history) > 1 for history in per_pair(results, "cosines").values()):
            return
        each = "pair of tasks" if has_panels(results) else "task: the mean over its pairs with all other tasks"
        text = f"Cosine of gradients per epoch, one line per model, one panel per {each}; conflict lies below 0."
        caption = (
            f"Cosine of the tasks' gradients, one panel per {each}. Below 0, on grey ground, tasks are in conflict."
        )
        draw = partial(cosine_curves, results)
        yield Drawing("curves_cosines", "Agreement of gradients over training", text, draw, caption=caption)
        for place, row in enumerate([] if has_panels(results) else results.rows):
            if picture := pairs_over_epochs(results, row):
                name, title = f"cosines_{file_name(row, place)}", "Agreement of gradients, pair by pair"
                yield heat_map_drawing(name, title, row.label, picture, caption=f"Cosine: {COSINE}", row=row.name)


def has_panels(results: Results) -> bool:
    """True if the pairs of tasks are few enough for a panel each."""
    return len(names_in(results, per_pair(results, "cosines"))) <= _MOST_PAIRS


def pairs_over_epochs(results: Results, row: Row) -> Heatmap | None:
    """Cosine of every pair (rows) in every epoch (columns) of one model; long trainings by means of some epochs."""
    histories = per_pair(results, "cosines")
    history = histories.get(row.name, [])
    if len(history) < 2:
        return None
    length = math.ceil(len(history) / _MOST_EPOCHS)
    parts = [history[start : start + length] for start in range(0, len(history), length)]
    pairs = names_in(results, {row.name: history})
    values = [[over_epochs(part, pair) for part in parts] for pair in pairs]
    names = [f"{part[0][0]:g}" if len(part) == 1 else f"{part[0][0]:g}–{part[-1][0]:g}" for part in parts]
    # One scale for all rows, so that their colours compare.
    limits = around_zero([values_of(histories)], most=1.0)
    return Heatmap("cosines", "cosine of the gradients by epoch", pairs, names, values, limits=limits)


def cosine_curves(results: Results, look: Look | None = None) -> bytes:
    """Cosines over epochs, a line per row: a panel per pair, or per task if there are too many pairs."""
    look = look or Look()
    histories = per_pair(results, "cosines")
    pairs = names_in(results, histories)
    read = points if has_panels(results) else of_task
    names = pairs if has_panels(results) else ordered(results, (task for pair in pairs for task in tasks_of(pair)))
    known = [value for name in names for history in histories.values() for _, value in read(history, name)]
    low, high = min(*known, -0.05, 0.0), max(*known, 0.05, 0.0)
    air = 0.06 * (high - low)

    def finish(axes: Any) -> None:
        axes.set_ylim(low - air, high + air)
        axes.axhspan(low - air, 0, color=look.theme.line, alpha=0.45, linewidth=0, zorder=0)
        level_line(axes, 0, look.theme)
        axes.set_ylabel("cosine of gradients")

    return history_lines(results, look, histories, names, finish, read)
