"""Operations on the windows of a grid, and the merging of neighbouring patches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.backbones.views import WindowGrid
from frugalmtl.channels.operations import Channels, Mask, Operation, Rearrange, Sum


class Partition(Rearrange):
    """Cuts a grid into windows.

    Args:
        windows: of the grid.
    """

    def __init__(self, windows: WindowGrid) -> None:
        super().__init__()
        self.windows = windows

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, rows, columns, area, C]``."""
        return self.windows.partition(inputs[0])


class SumOfWindows(Sum):
    """Adds windows to the grid that they were cut from.

    Args:
        windows: of the grid.
    """

    def __init__(self, windows: WindowGrid) -> None:
        super().__init__()
        self.windows = windows

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[B, h, w, C]`` and ``[B, rows, columns, area, C]`` -> ``[B, h, w, C]``."""
        grid, windows = inputs
        return grid + self.windows.join(windows, grid.shape[1], grid.shape[2])


class MergePatches(Operation):
    """The channels of four neighbours behind each other: ``[B, h, w, C] -> [B, h/2, w/2, 4C]``, odd sides padded.

    Left above, left below, right above, right below. Their copies of a channel are kept or left out together.
    """

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, h/2, w/2, 4C]``."""
        return merge_patches(inputs[0])

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """The channels of which a copy is needed."""
        return [np.asarray(outputs.reshape(len(outputs), 4, widths[0]).any(1))]

    def outputs_of(self, channels: Channels, width: int) -> Channels:
        """The copies of input channels, in the order in which they come.

        Args:
            channels: of the input.
            width: all channels of the input.
        """
        return tuple(copy * width + channel for copy in range(4) for channel in channels)


def merge_patches(grid: Tensor) -> Tensor:
    """``[B, h, w, C]`` -> ``[B, h/2, w/2, 4C]``."""
    batch, height, width, channels = grid.shape
    padded = F.pad(grid, (0, 0, 0, width % 2, 0, height % 2))
    split = padded.reshape(batch, (height + 1) // 2, 2, (width + 1) // 2, 2, channels)
    return split.permute(0, 1, 3, 4, 2, 5).flatten(3)
