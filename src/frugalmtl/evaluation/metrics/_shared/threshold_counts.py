"""Counts of a probability map against a binary label at many thresholds, and the two published protocols for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from frugalmtl.core.checks import known

Definition = Literal["survey", "atrc"]


@dataclass(frozen=True)
class ThresholdProtocol:
    """The protocol by which a probability map becomes a score.

    Attributes:
        thresholds: ascending.
        inclusive: a pixel is predicted where ``p >= t`` (True) or ``p > t`` (False).
        pooled: counts are summed over the set (True), or scores are averaged over images (False).
        beta_squared: weight of recall in F.
    """

    thresholds: tuple[float, ...]
    inclusive: bool
    pooled: bool
    beta_squared: float


def _steps(first: int, last: int) -> tuple[float, ...]:
    """Thresholds 0.05 apart, from per cent."""
    return tuple(per_cent / 100 for per_cent in range(first, last + 1, 5))


_PROTOCOLS: dict[str, ThresholdProtocol] = {
    "survey": ThresholdProtocol(_steps(20, 90), inclusive=False, pooled=False, beta_squared=1.0),
    "atrc": ThresholdProtocol(_steps(5, 95), inclusive=True, pooled=True, beta_squared=0.3),
}


def protocol(definition: str) -> ThresholdProtocol:
    """The published protocol of that name.

    Raises:
        UserError: unknown name.
    """
    return _PROTOCOLS[known("definition", definition, _PROTOCOLS)]


def threshold_counts(
    prediction: Tensor, target: Tensor, valid: Tensor, thresholds: tuple[float, ...], *, inclusive: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Hits, predicted and actual foreground pixels per image and threshold.

    One histogram over (image, label, number of thresholds passed) gives the counts at all thresholds at once.

    Args:
        prediction: probabilities ``[B, 1, H, W]``.
        target: ``[B, 1, H, W]``, foreground above 0.5.
        valid: bool ``[B, H, W]``.
        thresholds: T ascending values.
        inclusive: pixels equal to a threshold pass it.

    Returns:
        Three int64 tensors ``[B, T]``.
    """
    images, levels = len(prediction), len(thresholds) + 1
    edges = torch.tensor(thresholds, device=prediction.device, dtype=prediction.dtype)
    passed = torch.bucketize(prediction[:, 0].nan_to_num(0.0).contiguous(), edges, right=inclusive)
    image = torch.arange(images, device=prediction.device)[:, None, None]
    code = (2 * image + (target[:, 0] > 0.5)) * levels + passed
    unused = 2 * images * levels
    histogram = torch.bincount(code.masked_fill(~valid, unused).flatten(), minlength=unused + 1)[:-1]
    at_least = histogram.view(images, 2, levels).flip(-1).cumsum(-1).flip(-1)
    hits, predicted = at_least[:, 1, 1:], at_least[:, :, 1:].sum(1)
    return hits, predicted, at_least[:, 1, :1].expand_as(hits)


def ratio(numerator: Tensor, denominator: Tensor, *, empty: float) -> Tensor:
    """Quotient in float64, ``empty`` where the denominator is zero."""
    return torch.where(denominator > 0, numerator.double() / denominator.clamp(min=1), empty)
