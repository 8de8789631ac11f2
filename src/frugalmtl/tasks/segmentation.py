"""Semantic segmentation: one class per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from frugalmtl.core.checks import UserError, shown
from frugalmtl.core.registry import Spec
from frugalmtl.tasks._decoding import CLASS_INDEX
from frugalmtl.tasks._drawing import draw_classes, legend_of, palette
from frugalmtl.tasks.base import Task, kind_of_task


def not_ignored(label: Tensor, ignore: int) -> Tensor:
    """Where a class map holds a class."""
    return label != ignore


def no_class(name: str, ignore: int, classes: Sequence[str]) -> None:
    """Refuse an ignore value that is a class: that class would never be trained nor scored.

    Raises:
        UserError: it is.
    """
    if 0 <= ignore < len(classes):
        free = 65535 if len(classes) <= 65535 else -1
        raise UserError(
            f"task {name!r}: 'ignore' is {ignore}, which is also class {shown(classes[ignore])} of {len(classes)}: "
            f"state an 'ignore' outside 0..{len(classes) - 1} (ignore: {free})"
        )


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
        UserError: fewer than two classes, or ``ignore`` is one of them (more than 255 classes have to state another).
    """
    if len(classes) < 2:
        raise UserError(f"task {name!r} needs at least two classes, but got {list(classes)!r}")
    no_class(name, ignore, classes)
    colours = palette(len(classes))
    return Task(
        name=name,
        kind="segmentation",
        channels=len(classes),
        loss=Spec("cross_entropy"),
        metrics=(Spec("mean_iou", {"num_classes": len(classes), "absent": absent}),),
        primary="miou",
        higher_is_better=True,
        decode=CLASS_INDEX,
        label_type="classes",
        classes=tuple(classes),
        ignore=ignore,
        valid=partial(not_ignored, ignore=ignore),
        weight=weight,
        draw=partial(draw_classes, colours=colours, ignore=ignore),
        legend=legend_of(classes, colours),
        auxiliary=auxiliary,
    )
