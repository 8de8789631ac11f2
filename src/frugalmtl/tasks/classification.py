"""Whole-image classification: several yes/no attributes, or one class out of many."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import Spec
from frugalmtl.tasks._decoding import CLASS_INDEX, PROBABILITY
from frugalmtl.tasks.base import Task, kind_of_task
from frugalmtl.tasks.segmentation import no_class


def _known_attributes(label: Tensor) -> Tensor:
    return (label >= 0) & (label <= 1)


def _known_class(label: Tensor, ignore: int) -> Tensor:
    return label != ignore


def _attribute_words(decoded: Tensor, classes: tuple[str, ...]) -> list[str]:
    return [name for name, value in zip(classes, decoded.tolist(), strict=True) if value > 0.5]


def _class_word(decoded: Tensor, classes: tuple[str, ...]) -> list[str]:
    return [classes[int(decoded)]]


@kind_of_task
def classification(
    *,
    classes: tuple[str, ...],
    name: str = "classification",
    exclusive: bool = False,
    ignore: int = 255,
    weight: float = 1.0,
    auxiliary: bool = False,
) -> Task:
    """Classification: binary attributes (BCE) or exclusive classes (cross-entropy), accuracy (higher is better).

    Args:
        classes: names of the attributes or classes.
        name: key of the task in the dataset.
        exclusive: exactly one of ``classes`` holds (softmax) instead of any number of them (one sigmoid each).
        ignore: stored value that means "no label"; for attributes any value outside [0, 1] means so.
        weight: fixed loss weight.
        auxiliary: the task only helps others.

    Raises:
        UserError: no class, a single exclusive one, or ``ignore`` is one of them.
    """
    if len(classes) < (2 if exclusive else 1):
        raise UserError(
            f"task {name!r} needs {'two classes' if exclusive else 'one attribute'} or more, got {list(classes)!r}"
        )
    names = tuple(classes)
    if exclusive:
        no_class(name, ignore, names)
    return Task(
        name=name,
        kind="classification",
        channels=len(names),
        dense=False,
        classes=names,
        loss=Spec("cross_entropy" if exclusive else "bce"),
        metrics=(Spec("accuracy"),),
        primary="accuracy",
        higher_is_better=True,
        decode=CLASS_INDEX if exclusive else PROBABILITY,
        label_type="classes" if exclusive else "continuous",
        ignore=ignore if exclusive else None,
        valid=partial(_known_class, ignore=ignore) if exclusive else _known_attributes,
        weight=weight,
        describe=partial(_class_word if exclusive else _attribute_words, classes=names),
        auxiliary=auxiliary,
    )
