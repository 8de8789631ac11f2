"""Confusion matrices: which class is taken for which, a heat map for every row and task with classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from frugalmtl.core.types import Heatmap
from frugalmtl.evaluation.confusion import Confusion
from frugalmtl.report.pictures.base import Drawing, Picture, file_name, heat_map_drawing
from frugalmtl.report.results import Results

_TITLE = "% of the pixels of a class (line) that are predicted as a class (column)"
_CAPTION = "On the diagonal: right. Hatched: no such label in the split."


class Confusions(Picture):
    """A heat map per task, row by row."""

    section = "classes"
    order = 45

    def drawings(self, results: Results) -> Iterator[Drawing]:
        """Where the evaluation counted them."""
        classes = {task.name: task.classes for task in results.tasks}
        for place, row in enumerate(results.rows):
            for task, counts in row.confusions.items():
                confusion = Confusion(classes[task], counts)
                values = [[100 * share for share in line] for line in confusion.shares()]
                picture = Heatmap("confusion", _TITLE, classes[task], classes[task], values, limits=(0.0, 100.0))
                drawing = heat_map_drawing(
                    f"confusion_{file_name(row, place)}_{task}", f"Classes of {task}", row.label, picture,
                    caption=_CAPTION, row=row.name,
                )  # fmt: skip
                yield replace(drawing, text=in_words(confusion))


def in_words(confusion: Confusion) -> str:
    """The main facts: how much of every class is right, and what it is taken for most often.

    >>> in_words(Confusion(["floor", "wall", "lamp"], [[8, 2, 0], [0, 5, 0], [0, 0, 0]]))
    'Predictions by class: floor 80 % right, else mostly wall (20 %); wall 100 % right; lamp: no label.'
    """
    facts = []
    for place, (name, shares) in enumerate(zip(confusion.classes, confusion.shares(), strict=True)):
        if math.isnan(shares[place]):
            facts.append(f"{name}: no label")
            continue
        other = max((index for index in range(len(shares)) if index != place), key=shares.__getitem__)
        most = f", else mostly {confusion.classes[other]} ({100 * shares[other]:.3g} %)" if shares[other] > 0 else ""
        facts.append(f"{name} {100 * shares[place]:.3g} % right{most}")
    return f"Predictions by class: {'; '.join(facts)}."
