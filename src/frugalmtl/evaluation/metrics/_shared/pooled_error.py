"""Errors per pixel, averaged over the pixels of the set or over its images."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.metrics.base import Score, check_shapes

Reduction = Literal["pixel", "image"]


class PooledError(Score):
    """Mean of K per-pixel quantities; K = number of ``directions``, in their order.

    ``reduction="pixel"``: ``finish(sum over all valid pixels of the set / their number)``. ``reduction="image"``: the
    mean over images of ``finish(mean over the image's valid pixels)``; images without a valid pixel do not count.
    """

    totals: Tensor
    weight: Tensor

    def __init__(self, *, reduction: Reduction) -> None:
        super().__init__()
        if reduction not in ("pixel", "image"):
            raise UserError(f"reduction must be 'pixel' or 'image', but got {reduction!r}")
        self.reduction = reduction
        self.add_state("totals", torch.zeros(len(self.directions), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @abstractmethod
    def errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Per-pixel quantities ``[K, B, H, W]`` of maps ``[B, H, W]``."""

    def finish(self, mean: Tensor) -> Tensor:
        """What turns a mean into the score."""
        return mean

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add one batch."""
        check_shapes(type(self).__name__, prediction, target, valid, channels=1)
        # Ones where nothing counts: whatever is stored there (0, NaN, 255) cannot reach a quotient or a sum.
        target = torch.where(valid, target[:, 0], 1.0)
        errors = torch.where(valid, self.errors(prediction[:, 0], target), 0.0)
        sums, counts = errors.flatten(2).sum(-1, dtype=torch.float64), valid.flatten(1).sum(-1)
        if self.reduction == "pixel":
            self.totals += sums.sum(1)
            self.weight += counts.sum()
        else:
            seen = counts > 0
            self.totals += torch.where(seen, self.finish(sums / counts.clamp(min=1)), 0.0).sum(1)
            self.weight += seen.sum()

    def compute(self) -> dict[str, Tensor]:
        """Score everything added so far."""
        means = self.totals / self.weight
        scores = self.finish(means) if self.reduction == "pixel" else means
        return dict(zip(self.directions, scores, strict=True))
