"""Angle between predicted and true directions."""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from frugalmtl.evaluation.metrics.base import Score, check_shapes

_LIMITS = (11.25, 22.5, 30.0)
_BINS_PER_DEGREE = 1000


def angles(prediction: Tensor, target: Tensor) -> Tensor:
    """Angles in degrees ``[B, H, W]`` between vectors ``[B, 3, H, W]``.

    ``2 atan2(|p - t|, |p + t|)`` of the unit vectors: unlike ``acos(<p, t>)`` it is exact near 0 and 180 degrees. A
    zero vector is 90 degrees away from everything. In float64, for vectorised float32 arctangents depend on a pixel's
    place.
    """
    prediction, target = _unit(prediction.double()), _unit(target.double())
    return 2 * torch.atan2(_length(prediction - target), _length(prediction + target)).rad2deg()


def _length(vectors: Tensor) -> Tensor:
    """Lengths ``[B, H, W]``; ``Tensor.norm`` along a strided axis takes some forty times as long on the CPU."""
    return vectors.square().sum(1).sqrt()


def _unit(vectors: Tensor) -> Tensor:
    return vectors / _length(vectors).clamp(min=1e-12)[:, None]


class AngularError(Score):
    """Mean and median angular error in degrees, and shares of pixels below 11.25, 22.5 and 30 degrees.

    ``mean`` is taken over all valid pixels of the set (Vandenhende et al. 2021, "mErr"; Eigen & Fergus 2015 for the
    rest). ``median`` comes from a histogram of bins 0.001 degrees wide, so it is off by at most 0.0005 degrees and
    needs the same memory for any number of pixels (our choice). NaN where no valid pixel was seen.

    Prediction and target ``[B, 3, H, W]`` float, normalised here once more; valid ``[B, H, W]`` bool.

    Raises:
        UserError: in ``update``, shapes that do not match.

    Example:
        >>> metric = AngularError()
        >>> up, right = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> metric.update(up.view(1, 3, 1, 1), right.view(1, 3, 1, 1), torch.ones(1, 1, 1).bool())
        >>> round(metric.compute()["mean"].item(), 3)
        90.0
    """

    directions = MappingProxyType({"mean": False, "median": False, **{f"within_{limit:g}": True for limit in _LIMITS}})
    units = MappingProxyType({"mean": "°", "median": "°", **{f"within_{limit:g}": "" for limit in _LIMITS}})

    total: Tensor
    within: Tensor
    histogram: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("within", torch.zeros(len(_LIMITS), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("histogram", torch.zeros(180 * _BINS_PER_DEGREE, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add one batch."""
        check_shapes("angular_error", prediction, target, valid, channels=3)
        degrees = angles(prediction, target)[valid]
        self.total += degrees.sum()
        self.within += torch.stack([(degrees < limit).sum() for limit in _LIMITS])
        bins = (degrees.nan_to_num(180.0) * _BINS_PER_DEGREE).long().clamp(max=len(self.histogram) - 1)
        self.histogram += torch.bincount(bins, minlength=len(self.histogram))

    def _median(self, count: Tensor) -> Tensor:
        """Centre of the bin of the middle value; of two middle values, the mean."""
        middle = torch.stack([(count + 1) // 2, count // 2 + 1])  # ranks from 1; the same one twice for an odd count
        bins = torch.searchsorted(self.histogram.cumsum(0), middle).clamp(max=len(self.histogram) - 1)
        return (bins.double() + 0.5).mean() / _BINS_PER_DEGREE

    def compute(self) -> dict[str, Tensor]:
        """Score everything added so far."""
        count = self.histogram.sum()
        nothing = self.total.new_tensor(float("nan"))
        shares = self.within.double() / count
        return {
            "mean": self.total / count,
            "median": self._median(count) if count > 0 else nothing,
            **{f"within_{limit:g}": share for limit, share in zip(_LIMITS, shares, strict=True)},
        }
