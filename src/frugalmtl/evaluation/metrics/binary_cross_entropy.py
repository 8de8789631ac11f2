"""Binary cross-entropy of probabilities, as a score."""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from frugalmtl.core.checks import fraction
from frugalmtl.evaluation.metrics._shared.pooled_error import PooledError, Reduction

SMALLEST = -100.0
"""Least logarithm of a probability, as in torch's loss."""


class BinaryCrossEntropy(PooledError):  # noqa: N818 (no exception: a mean of errors)
    """``loss = -sum w(t) log p(t) / N`` over valid pixels; tables without Matlab's edge scorer print it for edges.

    w is ``positive_weight`` where the label is 0.5 or more and 1 less it elsewhere, as in the balanced loss (HED: Xie
    and Tu, 2015), or 1 everywhere. ``reduction="pixel"`` weights by valid pixels, ``"image"`` every image the same. NaN
    where no valid pixel was seen. Prediction and target ``[B, 1, H, W]`` in [0, 1], valid ``[B, H, W]`` bool.

    Args:
        positive_weight: see above; None for 1 everywhere.
        reduction: what is averaged.

    Raises:
        UserError: ``positive_weight`` lies outside [0, 1]; unknown ``reduction``; in ``update``, shapes that do not
            match.
    """

    directions = MappingProxyType({"loss": False})
    units = MappingProxyType({"loss": ""})

    def __init__(self, *, positive_weight: float | None = None, reduction: Reduction = "pixel") -> None:
        super().__init__(reduction=reduction)
        self.positive_weight = positive_weight
        if positive_weight is not None:
            fraction("positive_weight", positive_weight)

    def errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Weighted cross-entropy ``[1, B, H, W]``."""
        positive, weight = target >= 0.5, self.positive_weight
        likelihood = torch.where(positive, prediction, 1.0 - prediction)
        entropy = -likelihood.log().clamp(min=SMALLEST)
        return (entropy if weight is None else entropy * torch.where(positive, weight, 1.0 - weight))[None]
