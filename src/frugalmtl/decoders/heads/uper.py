"""UPerNet head: pooling at four scales and a feature pyramid (Xiao et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from torch import Tensor, nn

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head


class Uper(Head):
    """Pyramid pooling on the coarsest level, a feature pyramid down to the finest, all scales joined there.

    Xiao et al. 2018, "Unified Perceptual Parsing for Scene Understanding" (arXiv:1807.10221), section 3, as
    segmentation_models.pytorch computes it: levels are normalised over their channels first.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: channels of the prediction.
        width: channels inside the head (the paper: 512).

    Raises:
        UserError: segmentation_models.pytorch is not installed, or ``width`` is not positive.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], outputs: int, *, width: int = 256) -> None:
        super().__init__()
        positive("width", width)
        if find_spec("segmentation_models_pytorch") is None:
            raise UserError(
                "uper is a head of segmentation_models.pytorch, which is not installed: pip install "
                "'frugalmtl[segmentation]', or take another head"
            )
        from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder

        self.stride = strides[0]
        # It leaves out the first two of the levels that it is told of, the image and stride 2.
        self.decoder = UPerNetDecoder([0, 0, *channels], max(3, len(channels) + 1), width)
        self.out = nn.Conv2d(width, outputs, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, h, w]`` of the finest level.

        Raises:
            UserError: one image in training mode; what is pooled to one value per channel has no batch statistics.
        """
        if self.training and pyramid[0].shape[0] == 1:
            raise UserError(
                "the head uper in training needs at least 2 images per batch and process, but got 1: raise batch_size"
            )
        unread = pyramid[0]
        prediction: Tensor = self.out(self.decoder([unread, unread, *pyramid]))
        return prediction
