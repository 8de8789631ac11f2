"""Dice loss for classes of which some are rare (Milletari et al., 2016)."""

from __future__ import annotations

from torch import Tensor

from frugalmtl.losses._segmentation_models import masked_loss


def dice(raw: Tensor, target: Tensor, valid: Tensor, *, weights: tuple[float, ...] | None = None) -> Tensor:
    """One minus the soft Dice coefficient of each class over the batch, mean over all classes.

    ``L = 1/C sum_c [c in labels] (1 - 2 sum_p min(p_pc, y_pc) / sum_p (p_pc + y_pc))`` over the valid pixels of the
    batch, with p the softmax and y the one-hot label (of which the minimum is the product); a class that no label of
    the batch holds adds 0 (Milletari et al. 2016, V-Net; as ``DiceLoss`` of segmentation_models.pytorch, which computes
    it).

    Args:
        raw: logits ``[B, C, H, W]``.
        target: class indices ``[B, H, W]``; any value where not valid.
        valid: bool ``[B, H, W]``.
        weights: of the classes in the mean, C of them; all alike if not given.

    Raises:
        UserError: segmentation_models.pytorch is not installed.
    """
    return masked_loss("DiceLoss", raw, target, valid, class_weights=weights)
