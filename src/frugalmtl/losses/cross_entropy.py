"""Softmax cross-entropy over classes."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from frugalmtl.losses._classes import of_classes
from frugalmtl.losses._masking import full_precision, mean_over

_IGNORE = -100


@of_classes
def cross_entropy(raw: Tensor, target: Tensor, valid: Tensor, *, weights: tuple[float, ...] | None = None) -> Tensor:
    """Softmax cross-entropy, mean over valid positions; with weights of classes, their weighted mean.

    ``L = -1/W sum_{p in V} w_{target_p} log softmax(raw_p)[target_p]`` with ``W = sum_{p in V} w_{target_p}``, which is
    ``|V|`` without weights (Vandenhende et al. 2021, sec. 4; weights as in ``torch.nn.functional.cross_entropy``).

    Args:
        raw: logits ``[B, C, H, W]`` or ``[B, C]``.
        target: class indices ``[B, H, W]`` or ``[B]``; any value where not valid.
        valid: bool, shape of ``target``.
        weights: of the classes, C of them; all alike if not given.
    """
    classes, logits = target.masked_fill(~valid, _IGNORE), full_precision(raw)
    if weights is None:
        return mean_over(F.cross_entropy(logits, classes, ignore_index=_IGNORE, reduction="sum"), valid.sum())
    by_class = _on(weights, logits.dtype, logits.device)
    total = F.cross_entropy(logits, classes, by_class, ignore_index=_IGNORE, reduction="sum")
    counted = torch.where(valid, by_class[target.where(valid, 0)], 0.0).sum()
    return total / torch.where(counted > 0, counted, 1.0)


@cache
def _on(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights on a device, copied there once: no step waits for them."""
    return torch.tensor(weights, dtype=dtype, device=device)
