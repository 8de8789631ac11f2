"""ASPP-L head: the head of DeepLab-v2 (Chen et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from frugalmtl.core.checks import UserError, fraction, positive
from frugalmtl.core.types import Pyramid
from frugalmtl.decoders.heads.base import Head


class DeepLabV2(Head):
    """Sum of parallel branches on the coarsest level, each with a dilation of its own.

    A branch is a 3x3 convolution, ReLU, dropout, a 1x1 convolution, ReLU, dropout, and a 1x1 convolution to the
    outputs; none has normalisation, and all convolutions have a bias. With C input channels, width w, O outputs and B
    branches it costs ``B (9 C w + w^2 + w O)`` multiply-adds per position: 19.4 G on 512 channels at 29 x 29.

    Source: Chen, Papandreou, Kokkinos, Murphy, Yuille, "DeepLab: Semantic Image Segmentation with Deep Convolutional
    Nets, Atrous Convolution, and Fully Connected CRFs" (TPAMI 2018): the variant ASPP-L. There the width is 1024 and
    the last layer of a branch scores the classes. AdaShare's code has this head for all of its dense tasks.

    The 3x3 convolutions read the same map at different dilations and cannot be one. The last layers could be, over the
    concatenated branches, with as many operations; the copy makes that 2 to 11 % slower (CPU, 512 channels, 29 x 29,
    batch 1 and 4), so the deployed form keeps the sum.

    Args:
        channels: channels of the pyramid's levels.
        strides: strides of the pyramid's levels.
        outputs: channels of the prediction.
        width: channels inside each branch.
        rates: dilations of the 3x3 convolutions in positions, one per branch.
        dropout: probability that an element is dropped after each ReLU, in training.

    Raises:
        UserError: no rates, ``width`` or a rate is not positive, ``dropout`` lies outside [0, 1].
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        outputs: int,
        *,
        width: int = 1024,
        rates: tuple[int, ...] = (6, 12, 18, 24),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        positive("width", width)
        fraction("dropout", dropout)
        if not rates:
            raise UserError("rates must name at least one dilation, but got none: each is a branch of the head")
        for rate in rates:
            positive("each of rates", rate)
        self.stride = strides[-1]
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels[-1], width, 3, padding=rate, dilation=rate),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Conv2d(width, width, 1),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Conv2d(width, outputs, 1),
            )
            for rate in rates
        )

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Pyramid -> ``[B, outputs, h, w]`` of the coarsest level."""
        first, *others = self.branches
        prediction: Tensor = first(pyramid[-1])
        for branch in others:
            prediction = prediction + branch(pyramid[-1])
        return prediction

    def last_layers(self) -> list[nn.Module]:
        """The last layer of every branch."""
        return [list(branch.children())[-1] for branch in self.branches]

    def deploy(self) -> nn.Module:
        """Dropout taken out."""
        self.branches = nn.ModuleList(
            nn.Sequential(*(layer for layer in branch.children() if not isinstance(layer, nn.Dropout)))
            for branch in self.branches
        )
        return self
