"""Binary cross-entropy of independent attributes or maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from frugalmtl.losses._classes import of_classes
from frugalmtl.losses._masking import full_precision, mask_like, mean_over


@of_classes
def bce(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Sigmoid cross-entropy, mean over valid positions.

    Args:
        raw: logits ``[B, K]`` or ``[B, C, H, W]``.
        target: probability or 0/1, shape of ``raw``; any value, also NaN, where not valid.
        valid: bool ``[B, K]`` or ``[B, H, W]``.
    """
    logits = full_precision(raw)
    mask = mask_like(valid, raw).expand_as(logits)
    known = torch.where(mask, target.to(logits.dtype), 0.0)
    total = F.binary_cross_entropy_with_logits(logits, known, weight=mask.to(logits.dtype), reduction="sum")
    return mean_over(total, mask.sum())
