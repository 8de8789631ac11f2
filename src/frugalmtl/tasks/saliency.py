"""Saliency: the pixels of the objects that one looks at first."""

from __future__ import annotations

from typing import Literal

from frugalmtl.core.registry import Spec
from frugalmtl.tasks._binary import binary_map
from frugalmtl.tasks.base import Task, kind_of_task


@kind_of_task
def saliency(
    *,
    name: str = "saliency",
    weight: float = 5.0,
    loss: Literal["balanced_bce", "bce"] = "balanced_bce",
    definition: Literal["survey", "atrc"] = "survey",
    primary: Literal["iou", "maxf"] = "iou",
    auxiliary: bool = False,
) -> Task:
    """Saliency: binary cross-entropy, foreground IoU and maximal F (higher is better).

    Args:
        name: key of the task in the dataset.
        weight: fixed loss weight (protocol of ASTMT and the survey: 5).
        loss: balanced per batch, or ``"bce"``, in which all pixels count alike.
        definition: thresholds and pooling of the metrics, as the survey (and ASTMT) or as ATRC (and InvPT) state them.
        primary: metric that Delta_MTL reads: ``"iou"`` (survey) or ``"maxf"``.
        auxiliary: the task only helps others.
    """
    return binary_map(
        name=name,
        kind="saliency",
        loss=Spec(loss, {"positive_weight": None} if loss == "balanced_bce" else {}),
        metrics=(Spec("foreground_iou", {"definition": definition}), Spec("max_f", {"definition": definition})),
        primary=primary,
        weight=weight,
        reads="white: what one looks at first",
        auxiliary=auxiliary,
    )
