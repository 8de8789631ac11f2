"""Weights of the tasks over training, relative to their mean."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from frugalmtl.report.drawing.axes import level_line
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.histories import even_left_out, extremes, names_in, per_task, values_of
from frugalmtl.report.drawing.small_multiples import history_lines, logarithmic_panel
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results

_CAPTION = (
    "Weight of a task's loss, or of its gradient at what the tasks share, divided by the mean size of the weights of "
    "the same model and epoch: 1 is as much as the average task."
)
_LOG_FROM = 20.0
"""Weights whose largest is so many times the smallest stand on a logarithmic axis."""


class TaskWeights(Picture):
    """A panel per task, a line per row that does not weigh all alike."""

    section = "interference"
    order = 80

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where any row weighs its tasks differently."""
        histories = per_task(results, "weights")
        uneven = even_left_out(histories)
        if not uneven:
            return
        text = f"{extremes(uneven)} One panel per task, one line per model."
        even = [results.row(name).label for name in histories if name not in uneven]
        rest = f" Not drawn, since all their tasks weigh 1 throughout: {', '.join(even)}." if even else ""
        draw = partial(weight_curves, results)
        yield Drawing("curves_weights", "Weights of the tasks over training", text, draw, caption=_CAPTION + rest)


def weight_curves(results: Results, look: Look | None = None) -> bytes:
    """Relative weights over epochs: a panel per task, a line per row that does not weigh all alike."""
    look = look or Look()
    histories = even_left_out(per_task(results, "weights"))
    known = values_of(histories)
    wide = min(known) > 0 and max(known) > _LOG_FROM * min(known)

    def finish(axes: Any) -> None:
        if wide:
            logarithmic_panel(axes, known)
        else:
            axes.set_ylim(min(0.0, 1.08 * min(known)), 1.08 * max(known))
        level_line(axes, 1, look.theme)
        axes.set_ylabel("weight / mean weight")

    return history_lines(results, look, histories, names_in(results, histories), finish)
