"""Mean intersection over union of class maps."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.metrics.base import Score, check_shapes


def class_iou(confusion: Tensor) -> Tensor:
    """``IoU_c = TP / (TP + FP + FN)`` ``[C]`` from a confusion matrix ``[C, C]``; NaN for an empty union."""
    hits = confusion.diagonal().double()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


class MeanIoU(Score):
    """Mean IoU over classes, and pixel accuracy, both from a confusion matrix pooled over the set.

    ``miou`` = mean over classes of TP / (TP + FP + FN), counts summed over all valid pixels of the set (Vandenhende et
    al. 2021, sec. 4.1; Everingham et al. 2010); ``pixel_accuracy`` = sum of TP / valid pixels. Background is a class
    like any other. Both lie in [0, 1] and are NaN where no valid pixel was seen.

    Prediction and target ``[B, H, W]`` long, valid ``[B, H, W]`` bool.

    Args:
        num_classes: C.
        absent: what a class scores that neither labels nor predictions hold: ``"zero"`` as in the code released with
            the survey and with ATRC, ``"nan"`` = left out of the mean, as in LibMTL.
        skip_background_only_images: leave out images whose valid labels are all class 0 (the published protocol for
            human parts; false positives on images without people then cost nothing).

    Raises:
        UserError: fewer than two classes; in ``update``, a valid label or a prediction outside ``0..C-1``.

    Example:
        >>> metric = MeanIoU(num_classes=3, absent="nan")
        >>> prediction, target = torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 0], [1, 1]]])
        >>> metric.update(prediction, target, torch.ones(1, 2, 2).bool())
        >>> {key: round(value.item(), 3) for key, value in metric.compute().items()}
        {'miou': 0.583, 'pixel_accuracy': 0.75}
    """

    directions = MappingProxyType({"miou": True, "pixel_accuracy": True})
    units = MappingProxyType({"miou": "", "pixel_accuracy": ""})

    confusion: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        absent: Literal["zero", "nan"] = "zero",
        skip_background_only_images: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError(f"num_classes of mean_iou must be 2 or more, but got {num_classes}")
        if absent not in ("zero", "nan"):
            raise UserError(f"absent of mean_iou must be 'zero' or 'nan', but got {absent!r}")
        self.num_classes = num_classes
        self.absent = absent
        self.skip_background_only_images = skip_background_only_images
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Count one batch."""
        check_shapes("mean_iou", prediction, target, valid)
        if self.skip_background_only_images:
            valid = valid & (valid & (target > 0)).flatten(1).any(1)[:, None, None]
        predicted, labels = prediction[valid], target[valid]
        if len(labels) == 0:
            return
        self._check_range("prediction", predicted)
        self._check_range("label", labels)
        self.confusion += multiclass_confusion_matrix(predicted, labels, self.num_classes, validate_args=False)

    def _check_range(self, what: str, values: Tensor) -> None:
        low, high = (int(bound) for bound in values.aminmax())
        if low < 0 or high >= self.num_classes:
            raise UserError(
                f"mean_iou met {what} {low if low < 0 else high} at a valid pixel: with num_classes={self.num_classes} "
                f"expected 0..{self.num_classes - 1}; mask other values out"
            )

    def confusion_matrix(self) -> Tensor:
        """Counts ``[C, C]`` of labels (rows) by predictions (columns), of the joint set of all processes."""
        with self.sync_context():
            return self.confusion.clone()

    def per_class(self) -> Tensor:
        """IoU of every class ``[C]``; NaN for a class that neither labels nor predictions hold."""
        return class_iou(self.confusion)

    def explain(self, values: Mapping[str, Tensor]) -> dict[str, str]:
        """Why there is no value, or how absent classes count."""
        if self.confusion.sum() == 0:
            return super().explain(values)
        absent = int(self.per_class().isnan().sum())
        rule = "count as 0" if self.absent == "zero" else "are left out of the mean"
        line = f"{absent} of {self.num_classes} classes are in neither labels nor predictions and {rule}"
        return {"miou": f"{line} (absent: {self.absent})"} if absent else {}

    def compute(self) -> dict[str, Tensor]:
        """Score everything counted so far."""
        scores = self.per_class()
        pixels = self.confusion.sum()
        if self.absent == "zero" and pixels > 0:
            scores = scores.nan_to_num(0.0)
        return {"miou": scores.nanmean(), "pixel_accuracy": self.confusion.diagonal().sum().double() / pixels}
