"""Softmax cross-entropy over classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from frugalmtl.losses._classes import of_classes
from frugalmtl.losses._masking import full_precision, mean_over

_IGNORE = -100


@of_classes
def cross_entropy(raw: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Softmax cross-entropy, mean over valid positions.

    ``L = -1/|V| sum_{p in V} log softmax(raw_p)[target_p]`` (Vandenhende et al. 2021, sec. 4).

    Args:
        raw: logits ``[B, C, H, W]`` or ``[B, C]``.
        target: class indices ``[B, H, W]`` or ``[B]``; any value where not valid.
        valid: bool, shape of ``target``.
    """
    classes = target.masked_fill(~valid, _IGNORE)
    total = F.cross_entropy(full_precision(raw), classes, ignore_index=_IGNORE, reduction="sum")
    return mean_over(total, valid.sum())
