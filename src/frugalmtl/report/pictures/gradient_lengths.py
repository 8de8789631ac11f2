"""Lengths of the tasks' gradients over training, relative to their mean."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from frugalmtl.report.drawing.axes import level_line
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.histories import extremes, names_in, per_task, positive, values_of
from frugalmtl.report.drawing.small_multiples import history_lines, logarithmic_panel
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results

_CAPTION = (
    "Length of the gradient of a task's loss, without the task's weight, divided by the mean length over the tasks of "
    "the same model and epoch. Weighed alike, a task far above 1 decides where the shared parameters go, and one far "
    "below is hardly heard."
)


class GradientLengths(Picture):
    """A panel per task, a line per row, logarithmic."""

    section = "interference"
    order = 70

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where any row has the lengths of two tasks."""
        if histories := positive(per_task(results, "norms")):
            text = f"{extremes(histories)} One panel per task, one line per model, logarithmic."
            draw = partial(norm_curves, results)
            yield Drawing("curves_norms", "Length of gradients over training", text, draw, caption=_CAPTION)


def norm_curves(results: Results, look: Look | None = None) -> bytes:
    """Relative lengths of gradients over epochs, logarithmic: a panel per task, a line per row."""
    look = look or Look()
    histories = positive(per_task(results, "norms"))

    def finish(axes: Any) -> None:
        logarithmic_panel(axes, values_of(histories))
        level_line(axes, 1, look.theme)
        axes.set_ylabel("length / mean length")

    return history_lines(results, look, histories, names_in(results, histories), finish)
