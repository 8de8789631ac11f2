"""Edge (boundary) detection."""

from __future__ import annotations

from typing import Literal

from frugalmtl.core.registry import Spec
from frugalmtl.tasks._binary import binary_map
from frugalmtl.tasks.base import Task, kind_of_task


@kind_of_task
def edges(
    *,
    name: str = "edges",
    weight: float = 50.0,
    positive_weight: float = 0.95,
    matching: Literal["exact", "dilation"] = "exact",
    max_distance: float = 0.0075,
    auxiliary: bool = False,
) -> Task:
    """Edges: balanced binary cross-entropy, F-measure at the best threshold of the whole set (ODS, higher is better).

    Args:
        name: key of the task in the dataset.
        weight: fixed loss weight (protocol of ASTMT and the survey: 50).
        positive_weight: w in the balanced loss (survey: 0.95).
        matching: how predicted and true boundary pixels are paired: exact assignment, or the fast approximation by
            dilation, whose score is called ``ods_f_approx``.
        max_distance: how far a pair may lie apart, as a share of the image diagonal (PASCAL 0.0075, NYUD 0.011).
        auxiliary: the task only helps others.
    """
    return binary_map(
        name=name,
        kind="edges",
        loss=Spec("balanced_bce", {"positive_weight": positive_weight}),
        metrics=(Spec("boundary_f", {"matching": matching, "max_distance": max_distance}),),
        primary="ods_f" if matching == "exact" else "ods_f_approx",
        weight=weight,
        reads="white: a boundary",
        auxiliary=auxiliary,
    )
