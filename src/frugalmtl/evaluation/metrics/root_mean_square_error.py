"""Root mean square error of a continuous map."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor

from frugalmtl.evaluation.metrics._shared.pooled_error import PooledError, Reduction


class RootMeanSquareError(PooledError):
    """``rmse = sqrt(sum (p - t)^2 / N)`` over valid pixels, in the unit of the map.

    ``reduction="pixel"`` pools all valid pixels of the set (Vandenhende et al. 2021); ``"image"`` is the mean of
    per-image values (ASTMT, Maninis et al. 2019), usually lower. NaN where no valid pixel was seen.

    Prediction and target ``[B, 1, H, W]`` float, valid ``[B, H, W]`` bool.

    Args:
        reduction: what is averaged, see above.
        unit: unit of the map; metres for depth.

    Raises:
        UserError: unknown ``reduction``; in ``update``, shapes that do not match.

    Example:
        >>> import torch
        >>> metric = RootMeanSquareError()
        >>> metric.update(torch.full((1, 1, 2, 2), 3.0), torch.ones(1, 1, 2, 2), torch.ones(1, 2, 2).bool())
        >>> metric.compute()["rmse"].item()
        2.0
    """

    directions = MappingProxyType({"rmse": False})

    def __init__(self, *, reduction: Reduction = "pixel", unit: str = "m") -> None:
        super().__init__(reduction=reduction)
        self.units = {"rmse": unit}

    def errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Squared error ``[1, B, H, W]``."""
        return (prediction - target).square()[None]

    def finish(self, mean: Tensor) -> Tensor:
        """Square root."""
        return mean.sqrt()
