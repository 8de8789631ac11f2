"""Binary maps and attributes: probabilities, and the values that are labels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from frugalmtl.tasks._decoding import PROBABILITY
from frugalmtl.tasks._drawing import draw_probability
from frugalmtl.tasks.base import LabelValues, Task


def at_most_one(label: Tensor) -> Tensor:
    """Where a binary map ``[1, H, W]`` holds 0..1; other stored values (255) mean no label."""
    return ((label >= 0) & (label <= 1)).all(dim=0)


def binary_map(**facts: Any) -> Task:
    """A task of one map of probabilities; ``facts`` are the other fields, and it is better with a higher score."""
    return Task(
        channels=1,
        decode=PROBABILITY,
        label_channels=1,
        stored=LabelValues(
            low=0.0,
            high=1.0,
            remedy="read black and white (0 and 255) by the encoding 'binary', and state a value without a label as "
            "'invalid'",
        ),
        valid=at_most_one,
        draw=draw_probability,
        **{"higher_is_better": True, **facts},
    )
