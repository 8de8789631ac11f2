"""Patches of transformers whose side is no power of two."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


def power_of_two(length: int) -> int:
    """The power of two nearest to a length on a logarithmic scale: 16 for 14 pixels."""
    return int(2 ** round(math.log2(length)))


class PatchResize(nn.Module):
    """Resizes an image so that patches lie at a stride that decoders know, bilinearly (our choice).

    A model with patches of 14 pixels sees an image 14/16 as large, and so gives as many tokens as one with patches of
    16. Decoders, which know strides of powers of two, and image sizes stay what they are for all other backbones.

    Args:
        patch: height and width of a patch in the resized image.
        stride: pixels of the image along one side of a patch.
    """

    def __init__(self, patch: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.patch, self.stride = patch, stride

    def forward(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> ``[B, 3, H p/s, W p/s]``."""
        size = [length // self.stride * patch for length, patch in zip(image.shape[-2:], self.patch, strict=True)]
        return F.interpolate(image, size=size, mode="bilinear", align_corners=False)
