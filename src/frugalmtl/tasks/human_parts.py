"""Human part segmentation: background and body parts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from frugalmtl.core.registry import Spec
from frugalmtl.tasks._drawing import draw_classes, legend_of, palette
from frugalmtl.tasks.base import Task, kind_of_task
from frugalmtl.tasks.segmentation import not_ignored, segmentation

PARTS = ("background", "head", "torso", "upper_arm", "lower_arm", "upper_leg", "lower_leg")


def valid_with_people(label: Tensor, ignore: int) -> Tensor:
    """An image without people counts nowhere: it says nothing about parts (protocol: its label becomes all-ignore)."""
    labelled = not_ignored(label, ignore)
    if not (labelled & (label > 0)).any():
        return torch.zeros_like(labelled)
    return labelled


@kind_of_task
def human_parts(
    *,
    parts: tuple[str, ...] = PARTS,
    name: str = "human_parts",
    ignore: int = 255,
    weight: float = 2.0,
    absent: str = "zero",
    auxiliary: bool = False,
) -> Task:
    """Human parts: softmax cross-entropy, mean IoU over the parts *and* background, images without people left out.

    Args:
        parts: names, background first.
        name: key of the task in the dataset.
        ignore: stored value of pixels without a label.
        weight: fixed loss weight (protocol of ASTMT and the survey on PASCAL-Context: 2).
        absent: see :func:`frugalmtl.tasks.segmentation.segmentation`.
        auxiliary: the task only helps others.

    Raises:
        UserError: fewer than two parts, or ``ignore`` is one of them.
    """
    plain = segmentation(classes=parts, name=name, ignore=ignore, weight=weight, absent=absent, auxiliary=auxiliary)
    metric = Spec("mean_iou", {"num_classes": len(parts), "absent": absent, "skip_background_only_images": True})
    colours = palette(len(parts), background=True)
    return replace(
        plain,
        kind="human_parts",
        metrics=(metric,),
        valid=partial(valid_with_people, ignore=ignore),
        draw=partial(draw_classes, colours=colours, ignore=ignore),
        legend=legend_of(parts, colours),
    )
