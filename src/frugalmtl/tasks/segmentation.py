"""Semantic segmentation: one class per pixel."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import Spec
from frugalmtl.tasks._drawing import draw_classes, legend_of, palette
from frugalmtl.tasks.base import Task, kind_of_task


def decode_classes(raw: Tensor) -> Tensor:
    """Logits ``[B, C, ...]`` -> class index ``[B, ...]``, the most likely one."""
    return raw.argmax(dim=1)


def not_ignored(label: Tensor, ignore: int) -> Tensor:
    """Where a class map holds a class."""
    return label != ignore


@kind_of_task
def segmentation(
    *,
    classes: tuple[str, ...],
    name: str = "segmentation",
    ignore: int = 255,
    weight: float = 1.0,
    absent: str = "zero",
    auxiliary: bool = False,
) -> Task:
    """Semantic segmentation: softmax cross-entropy, mean intersection over union (higher is better).

    Args:
        classes: names of the classes in the order of their indices; class 0 is a class like any other.
        name: key of the task in the dataset.
        ignore: stored value of pixels without a label.
        weight: fixed loss weight (protocol of ASTMT and the survey: 1).
        absent: score of a class that neither label nor prediction holds: ``"zero"`` (the survey's code) or ``"nan"``
            (leave it out of the mean).
        auxiliary: the task only helps others.

    Raises:
        UserError: fewer than two classes.
    """
    if len(classes) < 2:
        raise UserError(f"task {name!r} needs at least two classes, but got {list(classes)!r}")
    colours = palette(len(classes))
    return Task(
        name=name,
        kind="segmentation",
        channels=len(classes),
        loss=Spec("cross_entropy"),
        metrics=(Spec("mean_iou", {"num_classes": len(classes), "absent": absent}),),
        primary="miou",
        higher_is_better=True,
        decode=decode_classes,
        label_type="classes",
        classes=tuple(classes),
        ignore=ignore,
        valid=partial(not_ignored, ignore=ignore),
        weight=weight,
        draw=partial(draw_classes, colours=colours, ignore=ignore),
        legend=legend_of(classes, colours),
        auxiliary=auxiliary,
    )
