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
    loss: Literal["balanced_bce", "bce"] = "balanced_bce",
    positive_weight: float = 0.95,
    matching: Literal["exact", "dilation"] = "exact",
    max_distance: float = 0.0075,
    primary: Literal["ods", "loss"] = "ods",
    auxiliary: bool = False,
) -> Task:
    """Edges: binary cross-entropy, F-measure at the best threshold of the whole set (ODS), and the loss as a score.

    Args:
        name: key of the task in the dataset.
        weight: fixed loss weight (protocol of ASTMT and the survey: 50).
        loss: balanced (the survey), or ``"bce"``, in which all pixels count alike.
        positive_weight: w in the balanced loss (survey: 0.95).
        matching: how predicted and true boundary pixels are paired: exact assignment, or the fast approximation by
            dilation, whose score is called ``ods_f_approx``.
        max_distance: how far a pair may lie apart, as a share of the image diagonal (PASCAL 0.0075, NYUD 0.011).
        primary: what Delta_MTL reads: the F-measure (higher is better), or the ``"loss"`` over the split (lower is
            better), which tables print that were made without Matlab's scorer.
        auxiliary: the task only helps others.
    """
    balanced = {"positive_weight": positive_weight} if loss == "balanced_bce" else {}
    ods = "ods_f" if matching == "exact" else "ods_f_approx"
    return binary_map(
        name=name,
        kind="edges",
        loss=Spec(loss, balanced),
        metrics=(
            Spec("boundary_f", {"matching": matching, "max_distance": max_distance}),
            Spec("binary_cross_entropy", balanced),
        ),
        primary=ods if primary == "ods" else "loss",
        higher_is_better=primary == "ods",
        weight=weight,
        reads="white: a boundary",
        auxiliary=auxiliary,
    )
