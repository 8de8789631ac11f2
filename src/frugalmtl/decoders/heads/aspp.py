"""ASPP head: the head of DeepLab-v3 (Chen et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from frugalmtl.core.checks import fraction, positive
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head
from frugalmtl.layers.aspp import AtrousPyramid
from frugalmtl.layers.blocks import conv_bn_relu
from frugalmtl.layers.folding import folded


class ASPP(Head):
    """Atrous spatial pyramid pooling on the coarsest level, 3x3 convolution, normalisation, ReLU, 1x1 to the outputs.

    Chen et al. 2017 (arXiv:1706.05587), in the form that the survey (Vandenhende et al. 2021) gives to ResNets
    dilated to stride 8: 16.1 M parameters on 2048 channels, 4.7 M on 512.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: channels of the prediction.
        width: channels inside the head.
        rates: dilations of the 3x3 branches in positions.
        dropout: probability that an element is dropped after the pyramid, in training.

    Raises:
        UserError: ``width`` or a rate is not positive, ``dropout`` lies outside [0, 1].
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        outputs: int,
        *,
        width: int = 256,
        rates: tuple[int, ...] = (12, 24, 36),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        positive("width", width)
        for rate in rates:
            positive("each of rates", rate)
        self.stride = strides[-1]
        self.pyramid: nn.Module = AtrousPyramid(channels[-1], width, rates, fraction("dropout", dropout))
        self.refine = conv_bn_relu(width, width, kernel=3)
        self.out = nn.Conv2d(width, outputs, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, h, w]`` of the coarsest level."""
        prediction: Tensor = self.out(self.refine(self.pyramid(pyramid[-1])))
        return prediction

    def deploy(self) -> nn.Module:
        """Normalisation folded, the pooled branch a bias per image."""
        if isinstance(self.pyramid, AtrousPyramid):
            self.pyramid = self.pyramid.deploy()
            self.refine = nn.Sequential(folded(self.refine[0], self.refine[1]), self.refine[2])  # type: ignore[arg-type]
        return self
