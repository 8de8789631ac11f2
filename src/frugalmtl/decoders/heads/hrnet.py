"""HRNet head: all levels in one map (Wang et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from frugalmtl.core.checks import positive
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head
from frugalmtl.layers.fusion import PyramidFusion


class HRNet(Head):
    """All levels resized to the finest and concatenated, 1x1 convolution, normalisation, ReLU, 1x1 to the outputs.

    Sun et al. 2019 (HRNetV2), as the survey (Vandenhende et al. 2021, sec. 4.1) uses it: 270 channels on HRNet-W18.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: channels of the prediction.
        width: channels between the two convolutions; the sum of ``channels`` (the survey's choice) by default, which
            is expensive on backbones with wide levels.

    Raises:
        UserError: ``width`` is not positive.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], outputs: int, *, width: int | None = None
    ) -> None:
        super().__init__()
        if width is not None:
            positive("width", width)
        self.stride = strides[0]
        self.fuse: nn.Module = PyramidFusion(channels, strides, width)
        self.out = nn.Conv2d(sum(channels) if width is None else width, outputs, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, h, w]`` of the finest level."""
        prediction: Tensor = self.out(self.fuse(pyramid))
        return prediction

    def deploy(self) -> nn.Module:
        """Convolves each level at its own resolution (see :class:`~frugalmtl.layers.fusion.LevelwiseFusion`)."""
        if isinstance(self.fuse, PyramidFusion):
            self.fuse = self.fuse.deploy()
        return self
