"""F-measure of a probability map at the best threshold."""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from frugalmtl.evaluation.metrics._shared.threshold_counts import Definition, protocol, ratio, threshold_counts
from frugalmtl.evaluation.metrics.base import Score, check_shapes


def f_measure(precision: Tensor, recall: Tensor, beta_squared: float = 1.0) -> Tensor:
    """``F = (1 + b) P R / (b P + R)`` with ``b = beta_squared``; 0 where both are 0."""
    below = beta_squared * precision + recall
    return torch.where(below > 0, (1 + beta_squared) * precision * recall / below.clamp(min=1e-300), 0.0)


class MaxF(Score):
    """``maxf``: the largest F over a list of thresholds on foreground probability, one threshold for the whole set.

    | definition | thresholds | foreground | beta^2 | precision and recall |
    |---|---|---|---|---|
    | ``"survey"`` (Vandenhende et al. 2021, ASTMT) | .20, .25 ... .90 | p > t | 1 | per image, then averaged |
    | ``"atrc"`` (Bruggemann et al. 2021, InvPT) | .05, .10 ... .95 | p >= t | .3 | from counts pooled over the set |

    A precision or recall of no pixels is 0 (both protocols). Images without a valid pixel do not count. NaN where no
    valid pixel of the whole set is foreground. The two definitions differ by many points and must not share a column.

    Prediction (probabilities) and target ``[B, 1, H, W]`` float, foreground above 0.5; valid ``[B, H, W]`` bool.

    Args:
        definition: see above.

    Raises:
        UserError: unknown ``definition``; in ``update``, shapes that do not match.
    """

    directions = MappingProxyType({"maxf": True})
    units = MappingProxyType({"maxf": ""})
    nothing = "no label holds any foreground"

    sums: Tensor
    images: Tensor
    foreground: Tensor

    def __init__(self, *, definition: Definition = "survey") -> None:
        super().__init__()
        self.protocol = protocol(definition)
        # Rows: hits, predicted and actual pixels (pooled), or precision and recall summed over images.
        shape = (3 if self.protocol.pooled else 2, len(self.protocol.thresholds))
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("foreground", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add one batch."""
        check_shapes("max_f", prediction, target, valid, channels=1)
        counts = threshold_counts(
            prediction, target, valid, self.protocol.thresholds, inclusive=self.protocol.inclusive
        )
        hits, predicted, actual = counts
        self.images += valid.flatten(1).any(1).sum()
        self.foreground += actual[:, 0].sum()
        if self.protocol.pooled:
            self.sums += torch.stack(counts).sum(1)
        else:
            self.sums += torch.stack([ratio(hits, predicted, empty=0.0), ratio(hits, actual, empty=0.0)]).sum(1)

    def compute(self) -> dict[str, Tensor]:
        """Score everything added so far."""
        if self.foreground == 0:
            return {"maxf": self.sums.new_tensor(float("nan"))}
        if self.protocol.pooled:
            hits, predicted, actual = self.sums
            precision, recall = ratio(hits, predicted, empty=0.0), ratio(hits, actual, empty=0.0)
        else:
            precision, recall = self.sums / self.images
        return {"maxf": f_measure(precision, recall, self.protocol.beta_squared).max()}
