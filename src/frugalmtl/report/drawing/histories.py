"""Histories of weights and gradients over training, in the order of the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from frugalmtl.report.formatting import finite
from frugalmtl.report.results import Epoch, Results

PerTask = Literal["weights", "norms"]
PerPair = Literal["cosines", "conflicts"]

History = list[tuple[float, dict[str, float]]]
"""``[(epoch, {task or pair: value})]`` of a row."""
Histories = dict[str, History]
"""``{row: history}``."""

_EVEN = 1e-4
"""Relative weights that differ less from 1 are all alike."""
_NOTHING = 1e-12
"""Values that are smaller need no scale of their own."""


def per_task(results: Results, kind: PerTask) -> Histories:
    """Values of every row and epoch, divided by their mean size over the tasks of that epoch.

    What a method's weights add up to is its convention, and gradients of different models are taken at different
    places: only how the tasks of one model relate to each other can be compared between models. Epochs and rows with
    fewer than two tasks are left out, and so are rows whose tasks are known to share nothing.
    """
    return _sharing(results, _kept(results, lambda epoch: _relative(getattr(epoch, kind))))


def per_pair(results: Results, kind: PerPair) -> Histories:
    """Values of every row and epoch by :func:`pair_name`; rows whose tasks share nothing are left out."""

    def named(epoch: Epoch) -> dict[str, float]:
        values: Mapping[str, float] = getattr(epoch, kind)
        return {pair_name(results, *key.split("~", 1)): value for key, value in _finite(values).items() if "~" in key}

    return _sharing(results, _kept(results, named))


def pair_name(results: Results, one: str, other: str) -> str:
    """``"depth ~ normals"``: two tasks in the report's order, whichever way round the log has them."""
    first, second = ordered(results, (one, other))
    return f"{first} ~ {second}"


def tasks_of(name: str) -> list[str]:
    """The tasks of a pair, or the task itself."""
    return name.split(" ~ ")


def ordered(results: Results, names: Iterable[str]) -> list[str]:
    """Tasks in the report's order; those that it does not list (auxiliary ones) last, by name."""
    places = {task.name: place for place, task in enumerate(results.tasks)}
    return sorted(dict.fromkeys(names), key=lambda name: (places.get(name, len(places)), name))


def names_in(results: Results, histories: Histories) -> list[str]:
    """Tasks, or pairs of tasks, that any row has a value for, in the report's order."""
    names = dict.fromkeys(name for history in histories.values() for _, values in history for name in values)
    place = {name: index for index, name in enumerate(ordered(results, (t for n in names for t in tasks_of(n))))}
    return sorted(names, key=lambda name: [place[task] for task in tasks_of(name)])


def points(history: History, name: str) -> list[tuple[float, float]]:
    """``(epoch, value)`` of one task or pair."""
    return [(epoch, values[name]) for epoch, values in history if name in values]


def of_task(history: History, task: str) -> list[tuple[float, float]]:
    """``(epoch, mean over the pairs that the task is part of)``."""
    means = [(epoch, mean(v for pair, v in values.items() if task in tasks_of(pair))) for epoch, values in history]
    return [(epoch, value) for epoch, value in means if math.isfinite(value)]


def over_epochs(history: History, name: str) -> float:
    """Mean over the epochs that have a value; NaN if none has."""
    return mean(value for _, value in points(history, name))


def values_of(histories: Histories) -> list[float]:
    """Every value."""
    return [value for history in histories.values() for _, values in history for value in values.values()]


def even_left_out(histories: Histories) -> Histories:
    """Rows that do not give all tasks the same weight throughout."""
    return {
        row: history
        for row, history in histories.items()
        if any(abs(value - 1) > _EVEN for value in values_of({row: history}))
    }


def positive(histories: Histories) -> Histories:
    """The values that a logarithmic axis can show."""
    return {
        row: [(epoch, {task: value for task, value in values.items() if value > 0}) for epoch, values in history]
        for row, history in histories.items()
    }


def extremes(histories: Histories) -> str:
    """The tasks with most and with least, over epochs and rows, in a sentence."""
    tasks = dict.fromkeys(name for history in histories.values() for _, values in history for name in values)
    means = {task: mean(over_epochs(history, task) for history in histories.values()) for task in tasks}
    most, least = max(means, key=lambda task: means[task]), min(means, key=lambda task: means[task])
    return (
        f"Relative to the mean over tasks: most in {most} ({means[most]:.2g}), least in {least} ({means[least]:.2g})."
    )


def around_zero(values: list[list[float]], most: float = math.inf) -> tuple[float, float]:
    """Limits as far below 0 as above it, at the next 1, 2 or 5 with zeros, that hold ``values``."""
    largest = max((abs(value) for row in values for value in finite(row)), default=0.0)
    if largest < _NOTHING:
        return -min(1.0, most), min(1.0, most)
    step = 10.0 ** math.floor(math.log10(largest))
    edge = min(most, next(edge for edge in (step, 2 * step, 5 * step, 10 * step) if edge >= largest * (1 - 1e-9)))
    return -edge, edge


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are numbers; NaN if none is."""
    known = finite(values)
    return math.fsum(known) / len(known) if known else math.nan


def _kept(results: Results, read: Callable[[Epoch], dict[str, float]]) -> Histories:
    histories = {}
    for row in results.rows:
        history = [(epoch.epoch, values) for epoch in results.curves.get(row.name, []) if (values := read(epoch))]
        if history:
            histories[row.name] = history
    return histories


def _sharing(results: Results, histories: Histories) -> Histories:
    """Without rows whose cosines are all exactly 0: their gradients never met."""
    kept = {}
    for row, history in histories.items():
        cosines = [value for epoch in results.curves[row] for value in epoch.cosines.values()]
        if any(cosines) or not cosines:
            kept[row] = history
    return kept


def _relative(values: Mapping[str, float]) -> dict[str, float]:
    known = _finite(values)
    size = mean(map(abs, known.values()))
    return {name: value / size for name, value in known.items()} if len(known) > 1 and size > 0 else {}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
