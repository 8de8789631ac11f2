"""Continuous maps in integers: value = stored * scale + offset."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from frugalmtl.data.encodings.base import Encoding, Marker, markers, without
from frugalmtl.data.files.stored import StoredLabel
from frugalmtl.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Scaled(Encoding):
    """Continuous maps in integers: value = stored * scale + offset, e.g. 16-bit depth in millimetres with scale 0.001.

    Attributes:
        scale: factor.
        offset: added after the factor.
        invalid: stored values that mean "no label": a number or colour, or a list of them. NaN always does.
    """

    scale: float
    offset: float = 0.0
    invalid: Marker = field(default_factory=list)

    def check(self, task: Task) -> None:
        """Refuse values of 'invalid' that no pixel can hold."""
        markers(self.invalid, task.label_channels)

    def decode(self, stored: StoredLabel, task: Task, /) -> Tensor:
        """``[C, H, W]`` float, NaN for "no label"."""
        values = stored.channels(task.label_channels)
        scaled = values.astype(np.float64)
        scaled *= self.scale
        if self.offset:
            scaled += self.offset
        return without(scaled, values, self.invalid)
