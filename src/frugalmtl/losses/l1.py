"""L1 loss: mean absolute difference."""

from __future__ import annotations

import torch
from torch import Tensor

from frugalmtl.losses._masking import full_precision, mask_like, mean_over


def l1(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """L1 distance, mean over valid positions (the channels of a position count one each).

    ``L = 1/(C |V|) sum_{p in V} sum_c |raw_pc - target_pc|``, in the label's unit (Vandenhende et al. 2021, sec. 4).

    Args:
        raw: ``[B, C, H, W]`` or ``[B, C]``.
        target: shape of ``raw``; any value, also NaN, where not valid.
        valid: bool ``[B, H, W]`` or ``[B, C]``.
    """
    prediction = full_precision(raw)
    mask = mask_like(valid, raw).expand_as(prediction)
    difference = torch.where(mask, prediction - target.to(prediction.dtype), 0.0)
    return mean_over(difference.abs().sum(), mask.sum())
