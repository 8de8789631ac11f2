"""Semantic segmentation: one class per pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

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


def _weights(
    name: str, weights: Sequence[float] | str | None, classes: Sequence[str], loss: str
) -> tuple[float, ...] | None:
    """Weights of classes, checked."""
    if weights is not None and loss == "lovasz":
        raise UserError(f"task {name!r}: the loss lovasz takes no class_weights: take another loss, or leave them out")
    if weights is None or isinstance(weights, str):
        return None
    sound = len(weights) == len(classes) and all(math.isfinite(value) and value >= 0 for value in weights)
    if not sound or not any(weights):
        raise UserError(
            f"task {name!r}: class_weights must be {len(classes)} numbers of 0 or more, one for each class, but got "
            f"{shown(list(weights))}"
        )
    return tuple(float(value) for value in weights)


@kind_of_task
def segmentation(
    *,
    classes: tuple[str, ...],
    name: str = "segmentation",
    ignore: int = 255,
    weight: float = 1.0,
    absent: str = "zero",
    auxiliary: bool = False,
    loss: Literal["cross_entropy", "dice", "focal", "lovasz"] = "cross_entropy",
    class_weights: tuple[float, ...] | Literal["balanced", "median_frequency"] | None = None,
) -> Task:
    """Semantic segmentation: softmax cross-entropy, mean intersection over union (higher is better).

    Rare classes: with n_c pixels of class c among the N labelled ones of the training split, in which K classes occur,
    ``class_weights: balanced`` is ``w_c = N / (K n_c)`` (scikit-learn's). ``median_frequency`` is ``w_c = median(f) /
    f_c`` with f_c the share of c among the labelled pixels of the images that hold it (Eigen and Fergus 2015, section
    4.3.2). They are counted when a training begins and kept with the run. A class without a training pixel has the
    weight 1.

    Args:
        classes: names of the classes in the order of their indices; class 0 is a class like any other.
        name: key of the task in the dataset.
        ignore: stored value of pixels without a label.
        weight: fixed loss weight (protocol of ASTMT and the survey: 1).
        absent: score of a class that neither label nor prediction holds: ``"zero"`` (the survey's code) or ``"nan"``
            (leave it out of the mean).
        auxiliary: the task only helps others.
        loss: softmax cross-entropy; Lovász-softmax; or dice or focal, which segmentation_models.pytorch computes
            (``pip install 'frugalmtl[segmentation]'``).
        class_weights: a weight for each class in the loss (Lovász takes none), or how they are counted from the data.

    Raises:
        UserError: fewer than two classes, weights that are not one positive number (or 0) for each class or that the
            loss does not take, or ``ignore`` is one of them (more than 255 classes have to state another).
    """
    if len(classes) < 2:
        raise UserError(f"task {name!r} needs at least two classes, but got {list(classes)!r}")
    no_class(name, ignore, classes)
    counted = class_weights if isinstance(class_weights, str) else None
    weights = _weights(name, class_weights, classes, loss)
    colours = palette(len(classes))
    return Task(
        name=name,
        kind="segmentation",
        channels=len(classes),
        loss=Spec(loss, {} if weights is None else {"weights": weights}),
        from_labels={"class_weights": counted} if counted else {},
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
