"""Mean absolute error of a continuous map."""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor

from frugalmtl.evaluation.metrics._shared.pooled_error import PooledError, Reduction


class MeanAbsoluteError(PooledError):
    """``abs_err = sum |p - t| / N`` over valid pixels, in the unit of the map; what MTAN and LibMTL report for depth.

    ``reduction="pixel"`` weights by valid pixels (LibMTL), ``"image"`` every image the same (MTAN at batch size 1). NaN
    where no valid pixel was seen. Prediction and target ``[B, 1, H, W]`` float, valid ``[B, H, W]`` bool.

    Args:
        reduction: what is averaged, see above.
        unit: unit of the map; metres for depth.

    Raises:
        UserError: unknown ``reduction``; in ``update``, shapes that do not match.
    """

    directions = MappingProxyType({"abs_err": False})

    def __init__(self, *, reduction: Reduction = "pixel", unit: str = "m") -> None:
        super().__init__(reduction=reduction)
        self.units = {"abs_err": unit}

    def errors(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Absolute error ``[1, B, H, W]``."""
        return (prediction - target).abs()[None]
