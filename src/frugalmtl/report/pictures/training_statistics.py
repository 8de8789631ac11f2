"""Statistics of the encoders over training: gates, policies, temperatures, group by group."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.histories import Histories, mean, over_epochs
from frugalmtl.report.drawing.small_multiples import history_lines
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results

MOST = 12
"""Panels of a group; larger ones are drawn by their mean alone."""
_SINGLE = ""
"""The group of statistics without a dot in their names."""
_CAPTION = "Mean of an epoch over the steps in which the encoder gave it, first seed."


class TrainingStatistics(Picture):
    """A figure per group of statistics, a panel per member, a line per row."""

    section = "training"
    order = 35

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where any row's encoder gave statistics."""
        for place, (group, histories) in enumerate(groups(results).items()):
            many = len(names_of(histories))
            shown = averaged(histories) if many > MOST else histories
            title = f"Statistics {group}.* over training" if group else "Statistics over training"
            stem = re.sub(r"[^A-Za-z0-9_-]+", "_", group) or "single"
            caption = f"{_CAPTION} The group has {many} members: their mean is drawn." if many > MOST else _CAPTION
            yield Drawing(
                f"curves_statistics_{place}_{stem}",
                title,
                _words(shown),
                partial(statistic_curves, results, shown, bool(group)),
                caption=caption,
            )


def groups(results: Results) -> dict[str, Histories]:
    """``{group: {row: [(epoch, {member: value})]}}``; names without a dot are one group, with the name ``""``."""
    grouped: dict[str, Histories] = {}
    for row, history in results.curves.items():
        for epoch in history:
            values: dict[str, dict[str, float]] = {}
            for name, value in epoch.statistics.items():
                group, dot, member = name.partition(".")
                if math.isfinite(value):
                    values.setdefault(group if dot else _SINGLE, {})[member if dot else name] = value
            for group, members in values.items():
                grouped.setdefault(group, {}).setdefault(row, []).append((epoch.epoch, members))
    return dict(sorted(grouped.items(), key=lambda item: item[0] == _SINGLE))


def names_of(histories: Histories) -> list[str]:
    """The members that any row has a value for, in order of appearance."""
    return list(dict.fromkeys(name for history in histories.values() for _, values in history for name in values))


def averaged(histories: Histories) -> Histories:
    """The mean over the members of every epoch, as the only one."""
    return {
        row: [(epoch, {"mean over the group": mean(values.values())}) for epoch, values in history]
        for row, history in histories.items()
    }


def statistic_curves(results: Results, histories: Histories, same_scale: bool, look: Look | None = None) -> bytes:
    """The members of a group over epochs: a panel per member, a line per row; a group of one kind shares its scale."""

    def finish(axes: Any) -> None:
        axes.set_ylabel("mean of the epoch")

    return history_lines(results, look or Look(), histories, names_of(histories), finish, same_scale=same_scale)


def _words(histories: Histories) -> str:
    """Every member's mean over epochs and rows, and its last values from row to row."""
    facts = []
    for name in names_of(histories):
        ends = [[values[name] for _, values in history if name in values] for history in histories.values()]
        last = [values[-1] for values in ends if values]
        average = mean(over_epochs(history, name) for history in histories.values())
        facts.append(f"{name} {average:.3g} (at the end {min(last):.3g} to {max(last):.3g})")
    return f"Means over epochs and models: {', '.join(facts)}. One panel per statistic, one line per model."
