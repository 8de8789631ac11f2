"""Mark of the losses that are cross-entropies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def of_classes(loss: Function) -> Function:
    """Declare that a loss is the negative logarithm of the probability of classes (yes or no are two of them),
    however much each pixel counts.

    Methods that read a loss as a likelihood treat it unlike distances, which stand for a density.
    """
    loss.__dict__["of_classes"] = True
    return loss
