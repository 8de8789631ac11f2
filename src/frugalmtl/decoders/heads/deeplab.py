"""DeepLab-v3+ head: atrous pyramid on the coarsest level, joined with the finest (Chen et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import fraction, positive
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.base import resize
from frugalmtl.decoders.heads.base import Head
from frugalmtl.layers.aspp import AtrousPyramid
from frugalmtl.layers.blocks import conv_bn_relu


class DeepLab(Head):
    """Atrous spatial pyramid pooling on the coarsest level, resized and joined with the finest, two 3x3 convolutions.

    Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution" (arXiv:1802.02611), section 3.1: 48 channels
    of the finest level, which the paper found best. Convolutions are plain, not depthwise separable, as in the paper's
    ResNet rows. ASTMT (Maninis et al. 2019) takes it with ``width: 64, rates: [6, 12, 18]`` on networks of output
    stride 16.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: channels of the prediction.
        width: channels inside the head.
        low_width: channels of the finest level that are joined.
        rates: dilations of the 3x3 branches in positions.
        dropout: probability that an element is dropped after the atrous pyramid, in training.

    Raises:
        UserError: a width or a rate is not positive, ``dropout`` lies outside [0, 1].
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        outputs: int,
        *,
        width: int = 256,
        low_width: int = 48,
        rates: tuple[int, ...] = (6, 12, 18),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        positive("width", width)
        positive("low_width", low_width)
        for rate in rates:
            positive("each of rates", rate)
        self.stride = strides[0]
        self.pyramid: nn.Module = AtrousPyramid(channels[-1], width, rates, fraction("dropout", dropout))
        self.low = conv_bn_relu(channels[0], low_width)
        self.refine = nn.Sequential(
            conv_bn_relu(width + low_width, width, kernel=3), conv_bn_relu(width, width, kernel=3)
        )
        self.out = nn.Conv2d(width, outputs, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, h, w]`` of the finest level."""
        low = self.low(pyramid[0])
        height, width = low.shape[-2:]
        high = resize(self.pyramid(pyramid[-1]), (height, width))
        prediction: Tensor = self.out(self.refine(torch.cat([high, low], dim=1)))
        return prediction

    def deploy(self) -> nn.Module:
        """The atrous pyramid without concatenation, its pooled branch a bias per image."""
        if isinstance(self.pyramid, AtrousPyramid):
            self.pyramid = self.pyramid.deploy()
        return self
