"""Focal loss: cross-entropy in which pixels that are predicted well hardly count (Lin et al., 2017)."""

from __future__ import annotations

from torch import Tensor

from frugalmtl.core.checks import not_negative
from frugalmtl.losses._classes import of_classes
from frugalmtl.losses._segmentation_models import masked_loss


@of_classes
def focal(
    raw: Tensor, target: Tensor, valid: Tensor, *, gamma: float = 2.0, weights: tuple[float, ...] | None = None
) -> Tensor:
    """Focal loss of each class against all others, mean over classes and valid pixels.

    ``L = 1/(C |V|) sum_c sum_{p in V} (1 - q_pc)^gamma (-log q_pc)`` with ``q_pc = sigmoid(raw_pc)`` where p is of
    class c and ``1 - sigmoid(raw_pc)`` elsewhere (Lin et al. 2017, eq. 4; per class as ``FocalLoss`` of
    segmentation_models.pytorch, which computes it). Logits of classes are trained as independent scores; the largest
    still wins.

    Args:
        raw: logits ``[B, C, H, W]``.
        target: class indices ``[B, H, W]``; any value where not valid.
        valid: bool ``[B, H, W]``.
        gamma: how fast the weight of a pixel falls; 0 is binary cross-entropy of each class.
        weights: of the classes in the mean, C of them; all alike if not given.

    Raises:
        UserError: ``gamma`` is negative, or segmentation_models.pytorch is not installed.
    """
    return masked_loss("FocalLoss", raw, target, valid, gamma=not_negative("gamma", gamma), class_weights=weights)
