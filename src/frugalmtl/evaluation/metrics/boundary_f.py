"""F-measure of boundaries at the best threshold of the set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError, known, positive
from frugalmtl.evaluation.metrics._shared.boundary_matching import BoolMap, BoundaryMatcher, Matching, Thinning, thinned
from frugalmtl.evaluation.metrics._shared.threshold_counts import ratio
from frugalmtl.evaluation.metrics.base import Score, check_shapes
from frugalmtl.evaluation.metrics.max_f import f_measure


class BoundaryF(Score):
    """Boundary F at the optimal data-set scale: ``ods_f`` with exact matching, ``ods_f_approx`` with the approximation.

    For every threshold k / (n + 1): binarise (p >= t), thin, match to the thinned label within ``max_distance`` times
    the image diagonal; precision and recall from pixel counts pooled over the set; ``F = 2 P R / (P + R)``; the score
    is the largest F over thresholds (Martin, Fowlkes & Malik 2004; the measure "fb" of Pont-Tuset & Marques 2016 that
    the survey and ASTMT report as odsF). Pixels that are not valid are background in both maps. NaN where no valid
    label pixel is a boundary, for then nothing was to be found.

    Runs on the CPU, image by image, wherever its inputs lie. The approximation is optimistic: several predicted pixels
    may claim one true pixel. It is named differently so that the two never share a column.

    Prediction (probabilities) and target ``[B, 1, H, W]`` float, boundary above 0.5; valid ``[B, H, W]`` bool.

    Args:
        matching: ``"exact"`` one-to-one assignment, or ``"dilation"``, the fast tolerance test.
        max_distance: largest distance of a pair as a share of the image diagonal (PASCAL 0.0075, NYUD 0.011).
        thresholds: how many, n; the published number is 99.
        thinning: ``"zhang_suen"``, or the slower ``"guo_hall"``, which is what the Matlab code of the published numbers
            uses.

    Raises:
        UserError: unknown option or a value out of range; in ``update``, shapes that do not match.
    """

    counts: Tensor
    nothing = "no label holds a boundary"

    def __init__(
        self,
        *,
        matching: Matching = "exact",
        max_distance: float = 0.0075,
        thresholds: int = 99,
        thinning: Thinning = "zhang_suen",
    ) -> None:
        super().__init__()
        known("matching of boundary_f", matching, ("exact", "dilation"))
        known("thinning of boundary_f", thinning, ("zhang_suen", "guo_hall"))
        positive("thresholds of boundary_f", thresholds)
        if not 0 <= max_distance < 1:
            raise UserError(
                f"max_distance of boundary_f is a share of the diagonal in [0, 1), but got {max_distance!r}"
            )
        self.matching = matching
        self.max_distance = max_distance
        self.thresholds = tuple(k / (thresholds + 1) for k in range(1, thresholds + 1))
        self.thinning = thinning
        self.key = "ods_f" if matching == "exact" else "ods_f_approx"
        self.directions = {self.key: True}
        self.units = {self.key: ""}
        # Rows: predicted pixels with a partner, predicted pixels, true pixels with a partner, true pixels.
        self.add_state("counts", torch.zeros(4, thresholds, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add one batch."""
        check_shapes("boundary_f", prediction, target, valid, channels=1)
        probabilities = torch.where(valid, prediction[:, 0].float(), 0.0).cpu().numpy()
        truths = ((target[:, 0] > 0.5) & valid).cpu().numpy()
        total = np.zeros(self.counts.shape, dtype=np.int64)
        for probability, truth in zip(probabilities, truths, strict=True):
            total += self._image_counts(probability, truth)
        self.counts += torch.from_numpy(total).to(self.counts.device)

    def _image_counts(self, probability: npt.NDArray[np.float32], truth: BoolMap) -> npt.NDArray[np.int64]:
        distance = self.max_distance * float(np.hypot(*truth.shape))
        matcher = BoundaryMatcher(thinned(truth, self.thinning), distance, self.matching)
        columns: list[tuple[int, int, int, int]] = []
        pixels = -1
        for threshold in self.thresholds:
            mask = probability >= np.float32(threshold)
            # Masks shrink as the threshold grows, so an equal number of pixels means an equal mask.
            if mask.sum() != pixels:
                pixels = int(mask.sum())
                lines = thinned(mask, self.thinning)
                near, matched = matcher(lines)
                column = (near, int(lines.sum()), matched, matcher.count)
            columns.append(column)
        return np.array(columns).T

    def compute(self) -> dict[str, Tensor]:
        """Score everything added so far."""
        near, predicted, matched, actual = self.counts
        if actual[0] == 0:
            return {self.key: torch.full((), float("nan"), dtype=torch.float64, device=self.counts.device)}
        scores = f_measure(ratio(near, predicted, empty=0.0), ratio(matched, actual, empty=0.0))
        return {self.key: scores.max()}
