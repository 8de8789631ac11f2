"""Class-balanced binary cross-entropy for maps in which one class is rare (HED: Xie and Tu, 2015)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from frugalmtl.core.checks import fraction
from frugalmtl.losses._classes import of_classes
from frugalmtl.losses._masking import full_precision, mask_like, mean_over


@of_classes
def balanced_bce(raw: Tensor, target: Tensor, valid: Tensor, *, positive_weight: float | None = None) -> Tensor:
    """Class-balanced binary cross-entropy.

    ``L = 1/|V| [w sum_pos l + (1 - w) sum_neg l]`` with ``l`` the cross-entropy of the sigmoid; sums and ``|V|`` run
    over the valid positions of the whole batch (Xie and Tu 2015, HED, eq. 2; weights as in Vandenhende et al. 2021).

    Args:
        raw: logits ``[B, 1, H, W]``.
        target: probability or 0/1 ``[B, 1, H, W]``; positive from 0.5 on; any value, also NaN, where not valid.
        valid: bool ``[B, H, W]``.
        positive_weight: w in [0, 1]; ``None`` takes the share of negatives among the batch's valid positions.

    Raises:
        UserError: ``positive_weight`` lies outside [0, 1].
    """
    logits = full_precision(raw)
    mask = mask_like(valid, raw).expand_as(logits)
    positive = (target >= 0.5) & mask
    count = mask.sum()
    if positive_weight is None:
        weight = 1.0 - mean_over(positive.sum().to(logits.dtype), count)
    else:
        weight = logits.new_full((), fraction("positive_weight", positive_weight))
    weights = torch.where(positive, weight, 1.0 - weight) * mask
    total = F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), weight=weights, reduction="sum")
    return mean_over(total, count)
