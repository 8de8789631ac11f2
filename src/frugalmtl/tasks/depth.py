"""Monocular depth in metres."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from frugalmtl.core.checks import positive
from frugalmtl.core.registry import Spec
from frugalmtl.tasks._decoding import Decoding, Step
from frugalmtl.tasks._drawing import depth_scale, draw_depth
from frugalmtl.tasks.base import LabelValues, Task, kind_of_task

NEAR = 0.001
"""Metres; a median below is likely in another unit."""
LEAST = 1e-9
"""Metres; predictions are clamped there, as the survey's evaluation does."""


def scale_depth(label: Tensor, factor: float) -> Tensor:
    """Magnifying an image by ``factor`` brings everything nearer: metres / factor."""
    return label / factor


def has_depth(label: Tensor) -> Tensor:
    """Stored 0 (or anything not finite) means that the sensor saw nothing."""
    return (torch.isfinite(label) & (label > 0)).all(dim=0)


@kind_of_task
def depth(
    *,
    name: str = "depth",
    weight: float = 1.0,
    reduction: Literal["pixel", "image"] = "pixel",
    far: float = 100.0,
    auxiliary: bool = False,
) -> Task:
    """Depth: L1 over valid pixels, root mean square error in metres (lower is better).

    Args:
        name: key of the task in the dataset.
        weight: fixed loss weight (survey, NYUD: 1).
        reduction: ``"pixel"`` pools all valid pixels of the set (survey); ``"image"`` averages per-image errors
            (ASTMT).
        far: metres; a stored map whose median lies beyond is refused, since it is likely in another unit.
        auxiliary: the task only helps others.
    """
    return Task(
        name=name,
        kind="depth",
        channels=1,
        loss=Spec("l1"),
        metrics=(Spec("root_mean_square_error", {"reduction": reduction}), Spec("absolute_relative_error")),
        primary="rmse",
        higher_is_better=False,
        decode=Decoding((Step("clip", low=LEAST),), "metres"),
        label_channels=1,
        scale=scale_depth,
        stored=LabelValues(
            low=0.0,
            median=(NEAR, positive(f"'far' of task {name!r}", far)),
            unit="metres",
            remedy="state the unit in its encoding ({name: scaled, scale: 0.001} reads millimetres), values without a "
            "depth as 'invalid', or where the scene is that wide the task's 'far'",
        ),
        valid=has_depth,
        weight=weight,
        draw=draw_depth,
        colour_scale=depth_scale,
        reads="bright is near, dark is far (a scale of 1/depth, one for all pictures of an image)",
        auxiliary=auxiliary,
    )
