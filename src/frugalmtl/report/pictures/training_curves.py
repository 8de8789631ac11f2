"""Training curves: validation metric and training loss over epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.small_multiples import epoch_line, multiples, row_handles
from frugalmtl.report.formatting import finite
from frugalmtl.report.palette import row_styles
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results, TaskInfo

Recorded = Literal["metric", "loss"]


class TrainingCurves(Picture):
    """A panel per task, a line per row."""

    section = "training"
    order = 30

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """One figure of the metric, one of the loss, where any row recorded them."""
        kinds: tuple[tuple[Recorded, str, str], ...] = (
            ("metric", "Validation metric, better is up", "Validation metric"),
            ("loss", "Training loss", "Training loss"),
        )
        for kind, title, words in kinds:
            if any(finite(getattr(epoch, kind).values()) for history in results.curves.values() for epoch in history):
                text = f"{words} per epoch, one panel per task, one line per model."
                yield Drawing(f"curves_{kind}", title, text, partial(training_curves, results, kind))


def training_curves(results: Results, kind: Recorded, look: Look | None = None) -> bytes:
    """Validation metric (better up) or training loss over epochs: a panel per task, a line per row."""
    look = look or Look()
    styles = row_styles(results)

    def draw(axes: Any, task: TaskInfo) -> None:
        for name, history in results.curves.items():
            points = [(epoch.epoch, getattr(epoch, kind).get(task.name, math.nan)) for epoch in history]
            epoch_line(axes, points, styles[name], look)
        axes.set_xlabel("epoch")
        if kind == "loss":
            axes.set_ylabel("training loss")
        elif not task.higher_is_better:
            axes.invert_yaxis()

    return multiples(results, look, draw, row_handles(results, results.curves, look))
