"""Monocular depth in metres."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError, positive, shown
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


def has_depth(label: Tensor, near: float = 0.0, far: float = math.inf) -> Tensor:
    """Stored 0 (or anything not finite) means that the sensor saw nothing; beyond the range nothing counts."""
    return (torch.isfinite(label) & (label > 0) & (label >= near) & (label <= far)).all(dim=0)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "linear": None,
    "log": torch.exp,
    "softplus": torch.nn.functional.softplus,
}
"""Raw output -> metres, by the option ``output``."""
_STEPS = {"linear": (), "log": (Step("exp"),), "softplus": (Step("softplus"),)}
_INVERSE: dict[str, Callable[[float], float]] = {
    "linear": float,
    "log": math.log,
    "softplus": lambda metres: metres + math.log(-math.expm1(-metres)),
}


def _checked_range(name: str, ends: tuple[float, float] | None) -> tuple[float, float]:
    near, far = (LEAST, math.inf) if ends is None else ends
    if not 0 < near < far or (ends is not None and not math.isfinite(far)):
        raise UserError(
            f"'range' of task {name!r} must be two distances in metres above 0, the nearer one first, but got "
            f"{shown(ends)}"
        )
    return near, far


@kind_of_task
def depth(
    *,
    name: str = "depth",
    weight: float = 1.0,
    reduction: Literal["pixel", "image"] = "pixel",
    far: float = 100.0,
    auxiliary: bool = False,
    range: tuple[float, float] | None = None,
    output: Literal["linear", "log", "softplus"] = "linear",
    start: float | Literal["median", "random"] = "median",
) -> Task:
    """Depth: L1 over valid pixels, root mean square error in metres (lower is better).

    From the raw output r of the network, metres are ``r`` (linear), ``exp(r)`` (log) or ``log(1 + exp(r))`` (softplus,
    about r from a few metres on). The loss and all scores compare metres.

    Args:
        name: key of the task in the dataset.
        weight: fixed loss weight (survey, NYUD: 1).
        reduction: ``"pixel"`` pools all valid pixels of the set (survey); ``"image"`` averages per-image errors
            (ASTMT).
        far: metres; a stored map whose median lies beyond is refused, since it is likely in another unit.
        auxiliary: the task only helps others.
        range: nearest and farthest depth in metres: labels beyond do not count, and predictions are clipped to it.
        output: how the network's output becomes metres; log and softplus are never negative, log weighs distances by
            their ratio.
        start: metres that the last layers' biases begin with: the median of the training labels, counted when a
            training begins (of up to 256 of them) and kept with the run; a number; or as drawn, about zero.

    Raises:
        UserError: ``far``, ``start`` or an end of ``range`` is not positive, or the ends stand the other way round.
    """
    near, limit = _checked_range(name, range)
    far = positive(f"'far' of task {name!r}", far)
    metres = None if isinstance(start, str) else positive(f"'start' of task {name!r}", start)
    clip = Step("clip", low=LEAST) if range is None else Step("clip", low=near, high=limit)
    return Task(
        name=name,
        kind="depth",
        channels=1,
        loss=Spec("l1"),
        metrics=(Spec("root_mean_square_error", {"reduction": reduction}), Spec("absolute_relative_error")),
        primary="rmse",
        higher_is_better=False,
        decode=Decoding((*_STEPS[output], clip), "metres"),
        activate=ACTIVATIONS[output],
        begin=None if metres is None else _INVERSE[output](metres),
        from_labels={"start": "median"} if start == "median" else {},
        label_channels=1,
        scale=scale_depth,
        stored=LabelValues(
            low=0.0,
            median=(NEAR, far if range is None else max(far, limit)),
            unit="metres",
            remedy="state the unit in its encoding ({name: scaled, scale: 0.001} reads millimetres), values without a "
            "depth as 'invalid', or where the scene is that wide the task's 'far'",
        ),
        valid=has_depth if range is None else partial(has_depth, near=near, far=limit),
        weight=weight,
        draw=draw_depth,
        colour_scale=depth_scale,
        reads="bright is near, dark is far (a scale of 1/depth, one for all pictures of an image)",
        auxiliary=auxiliary,
    )
