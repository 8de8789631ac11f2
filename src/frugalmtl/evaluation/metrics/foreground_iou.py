"""IoU of the foreground of a probability map at the best threshold."""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from frugalmtl.evaluation.metrics._shared.threshold_counts import Definition, protocol, ratio, threshold_counts
from frugalmtl.evaluation.metrics.base import Score, check_shapes


class ForegroundIoU(Score):
    """``iou``: the largest foreground IoU over a list of thresholds, one threshold for the whole set.

    ``"survey"`` (Vandenhende et al. 2021 and ASTMT, there called mIoU of saliency): the Jaccard index of the foreground
    alone, per image, 1 where label and prediction are both empty, averaged over images; thresholds .20, .25 ... .90, p
    > t. ``"atrc"``: the same index from counts pooled over the set, with the thresholds (.05, .10 ... .95) and
    comparison (p >= t) that ATRC and InvPT use for maximal F; those papers report maximal F only, so this pairing is
    our own. Images without a valid pixel do not count. NaN where no valid pixel of the whole
    set is foreground: a network that predicts none would score 1 there.

    Prediction (probabilities) and target ``[B, 1, H, W]`` float, foreground above 0.5; valid ``[B, H, W]`` bool.

    Args:
        definition: see above.

    Raises:
        UserError: unknown ``definition``; in ``update``, shapes that do not match.
    """

    directions = MappingProxyType({"iou": True})
    units = MappingProxyType({"iou": ""})
    nothing = "no label holds any foreground"

    sums: Tensor
    images: Tensor
    foreground: Tensor

    def __init__(self, *, definition: Definition = "survey") -> None:
        super().__init__()
        self.protocol = protocol(definition)
        # Rows: intersection and union in pixels (pooled), or the index summed over images.
        shape = (2 if self.protocol.pooled else 1, len(self.protocol.thresholds))
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("foreground", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add one batch."""
        check_shapes("foreground_iou", prediction, target, valid, channels=1)
        hits, predicted, actual = threshold_counts(
            prediction, target, valid, self.protocol.thresholds, inclusive=self.protocol.inclusive
        )
        union = predicted + actual - hits
        seen = valid.flatten(1).any(1)
        self.images += seen.sum()
        self.foreground += actual[:, 0].sum()
        if self.protocol.pooled:
            self.sums += torch.stack([hits, union]).sum(1)
        else:
            self.sums[0] += ratio(hits, union, empty=1.0)[seen].sum(0)

    def compute(self) -> dict[str, Tensor]:
        """Score everything added so far."""
        if self.foreground == 0:
            return {"iou": self.sums.new_tensor(float("nan"))}
        scores = ratio(*self.sums, empty=1.0) if self.protocol.pooled else self.sums / self.images
        return {"iou": scores.max()}
