"""Relative error of a positive map."""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.metrics._shared.pooled_error import PooledError, Reduction

_SMALLEST = 1e-9  # the survey's evaluation clamps predicted depth to this value


class AbsoluteRelativeError(PooledError):
    """Absolute relative error, and the share of pixels within 25 per cent (Eigen et al. 2014).

    ``abs_rel = mean |p - t| / t`` (lower is better); ``delta1`` = share of pixels with ``max(p / t, t / p) < 1.25``
    (higher is better), where a prediction below 1e-9 counts as 1e-9. NaN where no valid pixel was seen.

    Prediction and target ``[B, 1, H, W]`` float, valid ``[B, H, W]`` bool.

    Args:
        reduction: ``"pixel"`` pools all valid pixels of the set, ``"image"`` averages per-image values.

    Raises:
        UserError: unknown ``reduction``; in ``update``, shapes that do not match or a valid label that is not above
            zero.
    """

    directions = MappingProxyType({"abs_rel": False, "delta1": True})
    units = MappingProxyType({"abs_rel": "", "delta1": ""})

    def __init__(self, *, reduction: Reduction = "pixel") -> None:
        super().__init__(reduction=reduction)

    def errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Relative error and whether the ratio lies within 1.25, ``[2, B, H, W]``."""
        if not (target > 0).all():
            raise UserError("absolute_relative_error met a label that is not above 0 at a valid pixel: mask it out")
        ratio = prediction.clamp(min=_SMALLEST) / target
        within = torch.maximum(ratio, 1 / ratio) < 1.25
        return torch.stack([(prediction - target).abs() / target, within.to(prediction.dtype)])
