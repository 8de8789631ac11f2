"""Conflict between tasks at a glance: pairs of tasks against models, means over the training."""

from __future__ import annotations

from collections.abc import Iterator

from frugalmtl.core.types import Heatmap
from frugalmtl.report.drawing.histories import PerPair, around_zero, names_in, over_epochs, per_pair
from frugalmtl.report.pictures.base import Drawing, Picture, heat_map_drawing
from frugalmtl.report.pictures.cosines import COSINE
from frugalmtl.report.results import Results

_OFTEN = "How often: in which share of the compared steps the gradients of two tasks pointed against each other."


class PairSummaries(Picture):
    """One heat map of how often gradients are in conflict, one of how strongly."""

    section = "interference"
    order = 50

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where any row compared gradients."""
        kinds: tuple[tuple[PerPair, str, str], ...] = (
            ("conflicts", "Share of steps in conflict", _OFTEN),
            ("cosines", "Mean cosine of gradients", f"How strongly: {COSINE}"),
        )
        for kind, title, words in kinds:
            if picture := summary(results, kind):
                caption = f"{words} Mean over epochs."
                alarming = kind == "conflicts"
                yield heat_map_drawing(
                    f"interference_{kind}", title, results.name, picture, caption=caption, alarming=alarming
                )


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
