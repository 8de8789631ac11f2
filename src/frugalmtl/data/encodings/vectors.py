"""Unit vectors in the channels of an 8-bit image."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.data.encodings.base import Encoding, Marker, markers, without
from frugalmtl.data.files.stored import StoredLabel
from frugalmtl.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Vectors(Encoding):
    """Unit vectors in the channels of an 8-bit image: n = 2 v / 255 - 1; vectors shorter than 0.1 mean "no label".

    Attributes:
        signs: factor of each axis (1 or -1), for files whose axes point elsewhere than right, up, towards the camera.
        invalid: colours that mean "no label": a number for a grey (0: black), ``'#rrggbb'``, ``[red, green, blue]``,
            or a list of them.
    """

    signs: tuple[int, int, int] = (1, 1, 1)
    invalid: Marker = field(default_factory=list)

    def check(self, task: Task) -> None:
        """Refuse signs that are none, and tasks without three channels."""
        if task.label_channels != 3:
            raise UserError(f"'vectors' reads three channels, but the task has {task.label_channels}")
        if any(sign not in (1, -1) for sign in self.signs):
            raise UserError(f"'signs' must be 1 or -1 each, but got {list(self.signs)}")
        markers(self.invalid, 3)

    def decode(self, stored: StoredLabel, _task: Task, /) -> Tensor:
        """``[3, H, W]`` float, as stored (not yet normalised); zero for "no label"."""
        levels = stored.channels(3)
        if levels.dtype.kind == "f" or levels.dtype.itemsize > 1:
            raise stored.refuse(
                f"holds values of the type {levels.dtype}", "8-bit colours", "use the encoding 'values' or 'scaled'"
            )
        values = without(levels, levels, self.invalid).mul_(2.0 / 255.0).sub_(1.0)
        if self.signs != (1, 1, 1):
            values *= torch.tensor(self.signs, dtype=torch.float32)[:, None, None]
        if self.invalid != []:
            values.nan_to_num_(0.0)
        values *= values.square().sum(dim=0) > 0.01
        return values
