"""Arrays of the label's own values."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from frugalmtl.data.encodings.base import Encoding, Marker, markers, without
from frugalmtl.data.files.stored import StoredLabel
from frugalmtl.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Values(Encoding):
    """Arrays (.npy) or float images of the label's own values: metres, unit vectors, 0 and 1.

    Attributes:
        invalid: stored values that mean "no label": a number or colour, or a list of them. NaN always does.
    """

    invalid: Marker = field(default_factory=list)

    def check(self, task: Task) -> None:
        """Refuse values of 'invalid' that no pixel can hold."""
        markers(self.invalid, task.label_channels)

    def decode(self, stored: StoredLabel, task: Task, /) -> Tensor:
        """``[C, H, W]`` float, NaN for "no label"."""
        values = stored.channels(task.label_channels)
        return without(values, values, self.invalid)
