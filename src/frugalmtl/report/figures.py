"""The report's figures: one function per figure, each returns the bytes of a PNG or SVG.

Drawn with matplotlib's Agg without its global state: nothing needs a display, figures do not influence each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from frugalmtl.report._canvas import Look, recolour
from frugalmtl.report._drawing import Drawing, file_name
from frugalmtl.report._heatmaps import HALF_PAGE, heat_map, heat_map_words
from frugalmtl.report._interference import interference
from frugalmtl.report._multiples import epoch_line, multiples, row_handles
from frugalmtl.report._tradeoff import CostKey, delta_tradeoff, metric_tradeoff, spots
from frugalmtl.report.formatting import finite
from frugalmtl.report.palette import row_styles
from frugalmtl.report.results import Epoch, Results, TaskInfo

__all__ = [
    "Drawing",
    "Look",
    "delta_tradeoff",
    "drawings",
    "heat_map",
    "loss_curves",
    "metric_curves",
    "metric_tradeoff",
    "recolour",
]


def drawings(results: Results) -> list[Drawing]:
    """The figures that ``results`` has numbers for."""
    overall, each = [], []
    costs: tuple[tuple[CostKey, str], ...] = (("macs", "multiply-adds"), ("latency_ms", "latency"))
    for key, words in costs:
        if len(spots(results, key, None)) > 1:
            alt = (
                f"Delta_MTL of each model against the {words} of its deployed form; the results table has the numbers."
            )
            draw = partial(delta_tradeoff, results, key)
            overall.append(Drawing(f"delta_{key}", f"Δ_MTL against {words}", alt, draw, wide=False))
        if any(spots(results, key, task) for task in results.tasks):
            alt = f"Primary metric of each task against the {words} of the deployed model; better is up in every panel."
            draw = partial(metric_tradeoff, results, key)
            each.append(Drawing(f"metrics_{key}", f"Each task against {words}", alt, draw))
    curves = []
    histories = list(results.curves.values())
    if any(finite(epoch.metric.values()) for history in histories for epoch in history):
        alt = "Validation metric per epoch, one panel per task, one line per model."
        draw = partial(metric_curves, results)
        curves.append(Drawing("curves_metric", "Validation metric, better is up", alt, draw, section="training"))
    if any(finite(epoch.loss.values()) for history in histories for epoch in history):
        alt = "Training loss per epoch, one panel per task, one line per model."
        draw = partial(loss_curves, results)
        curves.append(Drawing("curves_loss", "Training loss", alt, draw, section="training"))
    return [*overall, *each, *curves, *_decisions(results), *interference(results)]


def _decisions(results: Results) -> list[Drawing]:
    """The heat maps of every row."""
    made = []
    for place, row in enumerate(results.rows):
        for picture in row.pictures:
            made.append(
                Drawing(
                    name=f"decisions_{file_name(row, place)}_{picture.name}",
                    title=picture.title,
                    text=heat_map_words(picture),
                    draw=partial(heat_map, row.label, picture),
                    wide=len(picture.columns) > HALF_PAGE,
                    section="decisions",
                    row=row.name,
                    caption=picture.caption,
                )
            )
    return made


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
            points = [(epoch.epoch, values(epoch).get(task.name, math.nan)) for epoch in history]
            epoch_line(axes, points, styles[name], look)
        axes.set_xlabel("epoch")
        if loss:
            axes.set_ylabel("training loss")
        elif not task.higher_is_better:
            axes.invert_yaxis()

    return multiples(results, look, draw, row_handles(results, styles, look))
