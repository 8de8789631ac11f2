"""Stops a run before something that is not a number reaches the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError


def require_finite(values: Mapping[str, Tensor], step: int, samples: Sequence[str]) -> None:
    """Check scalars of one optimiser step; one synchronisation with the device.

    Args:
        values: ``{what it is: scalar}``, e.g. the loss of each task and the norm of the gradient.
        step: optimiser steps before this one, of the whole run.
        samples: names of the samples in the step.

    Raises:
        UserError: one of them is infinite or not a number; names it, the step and the samples.
    """
    if not values:
        return
    numbers = torch.stack([value.detach().float() for value in values.values()])
    if bool(numbers.isfinite().all()):
        return
    pairs = zip(values, numbers.tolist(), strict=True)
    bad = [f"{name} is {number}" for name, number in pairs if not math.isfinite(number)]
    shown = ", ".join(samples[:8]) + (f" and {len(samples) - 8} more" if len(samples) > 8 else "")
    raise UserError(
        f"training stopped at step {step}: {'; '.join(bad)} (samples: {shown or 'unnamed'}). The weights and the last "
        "checkpoint are untouched: check these samples, lower lr, or set clip_norm"
    )
