"""Losses of segmentation_models.pytorch, with masks in place of its ignored index."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.losses._masking import full_precision

_IGNORE = -100


def masked_loss(name: str, raw: Tensor, target: Tensor, valid: Tensor, **options: Any) -> Tensor:
    """A loss of that library over the valid pixels of a batch, in float32 or better; 0 with a graph without any.

    Args:
        name: of its class, such as ``"DiceLoss"``.
        raw: logits ``[B, C, H, W]``.
        target: class indices ``[B, H, W]``; any value where not valid.
        valid: bool ``[B, H, W]``.
        options: of the class, hashable.

    Raises:
        UserError: the library is not installed.
    """
    loss = _loss(name, **options)
    logits = full_precision(raw)
    if not valid.any():  # means over nothing are NaN there
        return logits.sum() * 0.0
    return loss(logits, target.masked_fill(~valid, _IGNORE))


@cache
def _loss(
    name: str, class_weights: tuple[float, ...] | None = None, **options: Any
) -> Callable[[Tensor, Tensor], Tensor]:
    if find_spec("segmentation_models_pytorch") is None:
        raise UserError(
            f"{name} is a loss of segmentation_models.pytorch, which is not installed: pip install "
            "'frugalmtl[segmentation]', or take another loss"
        )
    from segmentation_models_pytorch import losses

    weights = {} if class_weights is None else {"class_weights": list(class_weights)}
    loss: Callable[[Tensor, Tensor], Tensor] = getattr(losses, name)(
        mode="multiclass", ignore_index=_IGNORE, **weights, **options
    )
    return loss
