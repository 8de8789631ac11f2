"""Yes/no maps: 1 where the stored value lies above a threshold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.encodings.base import Encoding, Marker, blank, markers, without
from frugalmtl.data.files.stored import StoredLabel
from frugalmtl.tasks import Task

HALF = 127.0
"""Threshold if none is stated: half of an 8-bit white."""


@dataclass(frozen=True, kw_only=True)
class Binary(Encoding):
    """Yes/no maps: 1 where the stored value lies above a threshold. Palette and 1-bit images are read as they look.

    A file whose values all lie on one side of the threshold although they differ (only 0 and 1) is refused as long as
    no ``above`` is stated: it would lose what it shows. All-black and all-white masks are as good as any.

    Attributes:
        above: threshold in stored units; if none is stated 127, half of an 8-bit white.
        invalid: stored values that mean "no label": a number or grey, or a list of them. NaN always does.
    """

    above: float | None = None
    invalid: Marker = field(default_factory=list)

    def check(self, task: Task) -> None:
        """Refuse values of 'invalid' that no pixel can hold, and tasks of several channels."""
        if task.label_channels != 1:
            raise UserError(f"'binary' reads one channel, but the task has {task.label_channels}")
        markers(self.invalid, 1)

    def decode(self, stored: StoredLabel, _task: Task, /) -> Tensor:
        """``[1, H, W]`` float of 0 and 1, NaN for "no label"."""
        values = stored.channels(1)
        if values.dtype == np.bool_:
            return without(values, values, self.invalid)
        positive = values > (HALF if self.above is None else self.above)
        if self.above is None and not stored.lossy:
            self._check_both_sides(values, positive, stored)
        label = without(positive, values, self.invalid)
        if values.dtype.kind == "f":
            label[:, np.isnan(values[0])] = np.nan
        return label

    def _check_both_sides(self, values: npt.NDArray[Any], positive: npt.NDArray[np.bool_], stored: StoredLabel) -> None:
        if self.invalid == [] and positive.any() and not positive.all():
            return
        labelled = ~blank(values, self.invalid)
        if values.dtype.kind == "f":
            labelled &= ~np.isnan(values[0])
        kept = values[0][labelled]
        if kept.size == 0 or (positive[0][labelled] != positive[0][labelled][0]).any():
            return
        low, high = float(kept.min()), float(kept.max())
        white = low > HALF
        if low == high and (white or low == 0.0):
            return
        between = (low + high) / 2 if white else low if low < high else 0.0
        raise stored.refuse(
            f"holds values from {low:g} to {high:g}, all {'above' if white else 'at or below'} the threshold {HALF:g}",
            "black and white (0 and 255)",
            f"state the threshold: {{name: binary, above: {between:g}}}, or above: {HALF:g} if it is right as it is",
        )
