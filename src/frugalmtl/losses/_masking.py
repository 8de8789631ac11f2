"""Precision, masks and means that all losses share."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(raw: Tensor) -> Tensor:
    """Half precision -> float32; float32 and float64 stay as they are."""
    return raw if raw.dtype == torch.float64 else raw.float()


def mask_like(valid: Tensor, raw: Tensor) -> Tensor:
    """``[B, H, W]`` -> ``[B, 1, H, W]`` beside a map of predictions; another mask has the prediction's shape."""
    return valid.unsqueeze(1) if raw.ndim == 4 else valid


def mean_over(total: Tensor, count: Tensor) -> Tensor:
    """``total / count``, and ``total`` (a zero with a graph) where nothing counts."""
    return total / count.clamp(min=1).to(total.dtype)
