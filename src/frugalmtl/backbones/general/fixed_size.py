"""The only image size of a network, as the first block of its chain."""

from __future__ import annotations

from torch import Tensor, nn

from frugalmtl.core.checks import UserError


class FixedSize(nn.Module):
    """Passes images of one size, and refuses all others.

    Args:
        size: height and width.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> the same.

        Raises:
            UserError: another height or width.
        """
        height, width = self.size
        if image.shape[-2:] != (height, width):
            raise UserError(
                f"this network takes images of {height} x {width} only, but got {image.shape[-2]} x {image.shape[-1]}: "
                "resize them"
            )
        return image
