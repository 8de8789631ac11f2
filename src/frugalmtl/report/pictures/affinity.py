"""Inter-task affinity (Fifty et al., 2021): the effect of one task's step on the losses of the others."""

from __future__ import annotations

import math
from collections.abc import Iterator

from frugalmtl.core.types import Heatmap
from frugalmtl.report.drawing.histories import around_zero, ordered
from frugalmtl.report.formatting import finite
from frugalmtl.report.pictures.base import Drawing, Picture, file_name, heat_map_drawing
from frugalmtl.report.results import Results


class Affinity(Picture):
    """A heat map of tasks against tasks for every row that measured it."""

    section = "affinity"
    order = 90

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Row by row."""
        pictures = affinity_maps(results)
        for place, row in enumerate(results.rows):
            if row.name in pictures:
                yield heat_map_drawing(f"affinity_{file_name(row, place)}", row.label, row.label, pictures[row.name])


def affinity_maps(results: Results) -> dict[str, Heatmap]:
    """``{row: effect of a task's step (rows) on a task's loss (columns), in percent}``, all on one scale.

    The scale is that of the other tasks' losses: a task's own gain is often many times as large.
    """
    rows = {row.name: row.affinity for row in results.rows}
    cells = [
        (step == task, 100 * value)
        for affinity in rows.values()
        for step, effects in affinity.items()
        for task, value in effects.items()
    ]
    others = [value for itself, value in cells if not itself]
    limits = around_zero([others or [value for _, value in cells]])
    maps = {}
    for name, affinity in rows.items():
        if not finite(value for effects in affinity.values() for value in effects.values()):
            continue
        steps = ordered(results, affinity)
        tasks = ordered(results, (task for effects in affinity.values() for task in effects))
        values = [[100 * affinity[step].get(task, math.nan) for task in tasks] for step in steps]
        title = "by how many % the row's step lowers the column's loss"
        maps[name] = Heatmap("affinity", title, steps, tasks, values, limits=limits)
    return maps
