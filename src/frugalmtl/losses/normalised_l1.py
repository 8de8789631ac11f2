"""L1 loss between unit vectors and predictions scaled to unit length."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from frugalmtl.layers.vectors import unit_vectors
from frugalmtl.losses._masking import full_precision, mask_like, mean_over

_SHORTEST = 1e-6  # our choice: bounds the gradient of a prediction of length zero


def normalised_l1(
    raw: Tensor, target: Tensor, valid: Tensor, *, normaliser: Literal["elements", "pixels"] = "elements"
) -> Tensor:
    """L1 distance to the L2-normalised prediction.

    ``L = 1/N sum_{p in V} sum_c |raw_pc / ||raw_p|| - target_pc|``.

    Args:
        raw: vectors of any length ``[B, C, H, W]``.
        target: unit vectors ``[B, C, H, W]``; any value, also NaN, where not valid.
        valid: bool ``[B, H, W]``.
        normaliser: what N counts: valid ``"elements"`` (C per pixel; ASTMT, Vandenhende et al.) or valid ``"pixels"``
            (ATRC, InvPT; C times larger).
    """
    prediction = unit_vectors(full_precision(raw), dim=1, shortest=_SHORTEST)
    mask = mask_like(valid, raw)
    difference = torch.where(mask, prediction - target.to(prediction.dtype), 0.0)
    per_pixel = raw.shape[1] if normaliser == "elements" else 1
    return mean_over(difference.abs().sum(), mask.sum() * per_pixel)
