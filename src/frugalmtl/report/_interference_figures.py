"""Figures of weights and gradients: pairs of tasks against models, lines over epochs, what a step does to others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from matplotlib.ticker import LogLocator, NullFormatter

from frugalmtl.core.types import Heatmap
from frugalmtl.report._canvas import Look
from frugalmtl.report._multiples import epoch_line, panels, row_handles
from frugalmtl.report._records import (
    Histories,
    History,
    PerPair,
    even_left_out,
    names_in,
    of_task,
    ordered,
    over_epochs,
    per_pair,
    per_task,
    points,
    positive,
    tasks_of,
    values_of,
)
from frugalmtl.report.formatting import finite
from frugalmtl.report.palette import row_styles
from frugalmtl.report.results import Results, Row

MOST_PAIRS = 6
"""Up to so many pairs of tasks have a panel each."""
_MOST_EPOCHS = 40
"""Most columns of a heat map over epochs; of longer trainings neighbouring epochs are averaged."""
_LOG_FROM = 20.0
"""Weights whose largest is so many times the smallest stand on a logarithmic axis."""
_NOTHING = 1e-12
"""Values that are smaller need no scale of their own."""
_DASHED = (0, (5, 4))


def has_panels(results: Results) -> bool:
    """Whether the pairs of tasks are few enough for a panel each."""
    return len(names_in(results, per_pair(results, "cosines"))) <= MOST_PAIRS


def summary(results: Results, kind: PerPair) -> Heatmap | None:
    """Mean over epochs of every pair of tasks (rows) in every model (columns); None where nothing was compared."""
    histories = per_pair(results, kind)
    if not histories:
        return None
    pairs = names_in(results, histories)
    values = [[over_epochs(history, pair) for history in histories.values()] for pair in pairs]
    labels = [results.row(name).label for name in histories]
    if kind == "conflicts":
        return Heatmap("conflicts", "share of steps with a cosine below 0", pairs, labels, values)
    limits = around_zero(values, most=1.0)
    return Heatmap("cosines", "mean cosine of the gradients", pairs, labels, values, limits=limits)


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


def affinity_maps(results: Results) -> dict[str, Heatmap]:
    """``{row: what a step of a task (rows) does to a task's loss (columns), in percent}``, all on one scale.

    The scale is that of the other tasks' losses: a task's own gain is often many times as large.
    """
    rows = {row.name: row.affinity for row in results.rows if _cells(row.affinity)}
    others = [
        100 * value for given in rows.values() for one, felt in given.items() for t, value in felt.items() if t != one
    ]
    limits = around_zero([others or [100 * value for given in rows.values() for value in _cells(given)]])
    made = {}
    for name, given in rows.items():
        steps = ordered(results, given)
        felt = ordered(results, (task for values in given.values() for task in values))
        values = [[100 * given[one].get(other, math.nan) for other in felt] for one in steps]
        title = "by how many % the row's step lowers the column's loss"
        made[name] = Heatmap("affinity", title, steps, felt, values, limits=limits)
    return made


def around_zero(values: list[list[float]], most: float = math.inf) -> tuple[float, float]:
    """Limits as far below 0 as above it, at the next 1, 2 or 5 with zeros, that hold ``values``."""
    largest = max((abs(value) for row in values for value in finite(row)), default=0.0)
    if largest < _NOTHING:
        return -min(1.0, most), min(1.0, most)
    step = 10.0 ** math.floor(math.log10(largest))
    edge = min(most, next(edge for edge in (step, 2 * step, 5 * step, 10 * step) if edge >= largest * (1 - 1e-9)))
    return -edge, edge


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
        axes.axhline(0, color=look.theme.quiet, linewidth=0.9, linestyle=_DASHED, zorder=1)
        axes.set_ylabel("cosine of gradients")

    return _lines(results, look, histories, names, read, finish)


def weight_curves(results: Results, look: Look | None = None) -> bytes:
    """Relative weights over epochs: a panel per task, a line per row that does not weigh all alike."""
    look = look or Look()
    histories = even_left_out(per_task(results, "weights"))
    known = values_of(histories)
    spread = min(known) > 0 and max(known) > _LOG_FROM * min(known)

    def finish(axes: Any) -> None:
        if spread:
            _logarithmic(axes, known)
        else:
            axes.set_ylim(min(0.0, 1.08 * min(known)), 1.08 * max(known))
        axes.axhline(1, color=look.theme.quiet, linewidth=0.9, linestyle=_DASHED, zorder=1)
        axes.set_ylabel("weight / mean weight")

    return _lines(results, look, histories, names_in(results, histories), points, finish)


def norm_curves(results: Results, look: Look | None = None) -> bytes:
    """Relative lengths of gradients over epochs, logarithmic: a panel per task, a line per row."""
    look = look or Look()
    histories = positive(per_task(results, "norms"))

    def finish(axes: Any) -> None:
        _logarithmic(axes, values_of(histories))
        axes.axhline(1, color=look.theme.quiet, linewidth=0.9, linestyle=_DASHED, zorder=1)
        axes.set_ylabel("length / mean length")

    return _lines(results, look, histories, names_in(results, histories), points, finish)


def _lines(
    results: Results,
    look: Look,
    histories: Histories,
    names: list[str],
    read: Callable[[History, str], list[tuple[float, float]]],
    finish: Callable[[Any], None],
) -> bytes:
    """A panel per name, a line per row, all panels on one scale."""
    styles = row_styles(results)

    def draw(name: str, axes: Any) -> None:
        for row, history in histories.items():
            epoch_line(axes, read(history, name), styles[row], look)
        axes.xaxis.get_major_locator().set_params(integer=True)
        finish(axes)

    return panels(
        {name: partial(draw, name) for name in names}, look, row_handles(results, histories, look), same_scale=True
    )


def _logarithmic(axes: Any, known: list[float]) -> None:
    axes.set_yscale("log")
    low, high = min(known), max(known)
    axes.set_ylim(min(low / 1.2, 0.4), max(high * 1.2, 2.5))
    subs = (1.0, 2.0, 5.0) if max(high, 2.5) < 1e3 * min(low, 0.4) else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _cells(affinity: Mapping[str, Mapping[str, float]]) -> list[float]:
    return finite(value for felt in affinity.values() for value in felt.values())
